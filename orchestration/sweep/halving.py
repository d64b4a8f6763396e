"""Where the search of a cell stands: which settings go on, and which one is the best. Pure.

All of it follows from the settings by their numbers and from what their trials have recorded; in
which order trials end does not matter. A search with ``prune`` is successive halving in rounds: no
setting goes on before all settings of the round have reached its epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestration.model.metric import Metric
from orchestration.sweep.search import Search


class TrialProgress(NamedTuple):
    """How far the trial of a setting is.

    Args:
        values: the metric that chooses settings, by epoch, from the first.
        has_ended: whether the trial has its result. It may have collapsed or diverged early.
    """

    values: Sequence[float] = ()
    has_ended: bool = False

    def has_reached(self, epoch: int | None) -> bool:
        """Whether it has trained this many epochs, or has ended; None stands for its end."""
        return self.has_ended or (epoch is not None and len(self.values) >= epoch)


@dataclass
class CellSearch:
    """Where the search of a cell stands.

    Args:
        target: the epoch up to which settings train now, by their index; None is the end.
        pruned: after which epoch a setting was dropped, by its index.
        ranking: the settings that have trained to their end, the best first; empty until the
            search has ended.
    """

    target: dict[int, int | None]
    pruned: dict[int, int] = field(default_factory=dict)
    ranking: Sequence[int] = ()

    @property
    def winner(self) -> int | None:
        """The index of the best setting; None until the search has ended."""
        return self.ranking[0] if self.ranking else None


def cell_search(trials: Sequence[Sequence[TrialProgress]], search: Search) -> CellSearch:
    """Where the search of a cell stands.

    Args:
        trials: of each setting, the trial of each seed.
    """
    metric, going_on, pruned = search.judged_by(), list(range(len(trials))), dict[int, int]()

    def ranked(settings: Sequence[int], epoch: int | None) -> list[int]:
        """Settings, the best first; of equal ones, the lower number first."""
        return sorted(settings, key=lambda one: (-score(trials[one], metric, epoch), one))

    epochs = search.prune.at if search.prune else ()
    for epoch, count in zip(epochs, search.kept(len(trials)), strict=True):
        if not all(trial.has_reached(epoch) for one in going_on for trial in trials[one]):
            return CellSearch(dict.fromkeys(going_on, epoch), pruned)
        order = ranked(going_on, epoch)
        pruned |= dict.fromkeys(order[count:], epoch)
        going_on = sorted(order[:count])
    target: dict[int, int | None] = dict.fromkeys(going_on)
    # A smaller search may have trained a setting to its end that this one would have pruned.
    ended = [one for one, its in enumerate(trials) if all(trial.has_ended for trial in its)]
    if set(going_on).issubset(ended):
        return CellSearch(target, pruned, ranking=ranked(ended, None))
    return CellSearch(target, pruned)


def score(trials: Sequence[TrialProgress], metric: Metric, epoch: int | None = None) -> float:
    """A setting's score: the mean over its seeds of each trial's best value; larger is better.

    Args:
        epoch: only values up to this epoch count; None is all.
    """
    scores = []
    for trial in trials:
        values = trial.values[:epoch]
        best = metric.best(values)
        scores.append(-math.inf if best is None else metric.sign * values[best])
    return math.fsum(scores) / len(scores) if all(map(math.isfinite, scores)) else -math.inf
