"""Draws a search's next settings from those that have ended: ``sampler: tpe``. Pure.

Settings are drawn in rounds. The first round is of Sobol's sequence. Each further one is asked of
Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), once all settings of the rounds
before have ended. Its study is made anew from the settings in the order of their numbers, so the
next round depends on neither the order in which trials end nor on what was in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.sweep.optuna_study import distribution_of, sampler, study_of
from orchestration.sweep.space import Setting, dimensions_of, setting_of, settings_of
from orchestration.sweep.spec import SweepSpec

_MOST_ASKED = 10
"""How often a setting is asked for, at most, until it is none that has been tried."""


def with_next_round(spec: SweepSpec, scores: Sequence[Sequence[float | None]]) -> SweepSpec:
    """The spec with a further round of settings for each cell whose settings have all ended.

    It is the same spec if there is no such cell, or if all settings have been drawn.

    Args:
        spec: a spec with a search by ``tpe``.
        scores: of each cell, the score of each of ``spec.settings()``, larger is better; None if
            the setting has not ended.
    """
    search = spec.search
    assert search is not None
    drawn = []
    for settings, given, count, known in zip(
        spec.settings(), spec.given(), spec.setting_counts(), scores, strict=True
    ):
        ended = [score for score in known if score is not None]
        wanted = min(search.round_size, count - len(settings))
        further: list[Setting] = []
        if wanted > 0 and len(ended) == len(settings):
            further = _further(spec, given, settings, ended, wanted)
        drawn.append([dict(one.values) for one in [*settings, *further][search.first_settings :]])
    updated = search.model_copy(update={"drawn": tuple(map(tuple, drawn))})
    return spec.model_copy(update={"search": updated}) if any(drawn) else spec


def _further(
    spec: SweepSpec,
    given: Mapping[str, Any],
    settings: Sequence[Setting],
    scores: Sequence[float],
    count: int,
) -> list[Setting]:
    """So many settings of a cell that have not been tried."""
    search, further = spec.search, list[Setting]()
    assert search is not None
    tried = {one.config for one in settings}

    def add(values: Mapping[str, Any]) -> None:
        one = setting_of(given, values, len(settings) + len(further) + 1)
        if one.config not in tried and len(further) < count:
            tried.add(one.config)
            further.append(one)

    dimensions = dimensions_of(search.space, given)
    study = study_of(dimensions, [one.values for one in settings], scores)
    study.sampler = sampler(f"{spec.name} {len(settings)}")
    distributions = {one.key: distribution_of(one) for one in dimensions}
    for _ in range(_MOST_ASKED * count):
        if len(further) < count:
            asked = study.ask(fixed_distributions=distributions).params
            add({one.key: one.chosen(asked[one.key]) for one in dimensions})
    # A space with few settings is nearly used up: what is left of it is taken in Sobol's order.
    for one in settings_of(search.space, "sobol", spec.name, search.trials, given):
        add(one.values)
    return further
