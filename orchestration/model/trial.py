"""A trial: one training run that a sweep wants, its cell, and the key that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from orchestration.model.config import Config, read_config, text_of
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.sweep_kind import sweep_kind


def recorded_configuration(params: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The configuration that a run's parameters describe: the text of each key, and the seed.

    A key that was added after the run was recorded has the value that the run had. Parameters that
    another program recorded are left out, except with the user's own training code, where they
    cannot be told from the user's keys.
    """
    kind = sweep_kind(params.get("train"))
    later = {name: text_of(value) for name, value in kind.later_keys(params).items()}
    return frozenset(item for item in {**later, **params}.items() if kind.is_key(item[0]))


@dataclass(frozen=True)
class Trial:
    """One training run that a sweep wants: a cell of its grid with one seed.

    Args:
        config: everything that decides the trial's numbers.
        key: 16 hexadecimal digits, a hash of the configuration. It is the same in every sweep
            that wants the trial.
        cell_label: the cell's values on the axes of this sweep, such as ``snn bntt``.
        metric: the metric that this sweep judges the trial by. It decides none of the numbers.
        chosen_by: of a trial that a search tries a setting with, the metric that chooses settings.
    """

    config: Config
    key: str
    cell_label: str
    metric: Metric = TEST_ACCURACY
    chosen_by: Metric | None = None

    @property
    def shown_metric(self) -> Metric:
        """The metric to show while it trains. A search does not look at the test set."""
        return self.chosen_by or self.metric

    @property
    def cell(self) -> Config:
        """The configuration with seed 0, which all trials of the cell share."""
        return self.config.model_copy(update={"seed": 0})

    @property
    def label(self) -> str:
        """The trial's name in this sweep, such as ``snn bntt seed 42``."""
        return f"{self.cell_label} seed {self.config.seed}"

    def to_dict(self) -> dict[str, Any]:
        """The trial as plain data, for JSON."""
        # `plan --json` and the logs of events share this, and name the key differently.
        fields = {
            "trial_key": self.key,
            "key": self.key,
            "label": self.label,
            "config": self.config.given(),
        }
        if self.metric != TEST_ACCURACY:
            fields["metric"] = asdict(self.metric)
        if self.chosen_by is not None:
            fields["chosen_by"] = asdict(self.chosen_by)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        config = read_config(fields["config"])
        metric = Metric(**fields["metric"]) if "metric" in fields else TEST_ACCURACY
        chosen_by = Metric(**fields["chosen_by"]) if "chosen_by" in fields else None
        cell_label = fields["label"].removesuffix(f" seed {config.seed}")
        return cls(config, fields["key"], cell_label, metric, chosen_by)


def cell_label(cell: Config, axes: Sequence[str]) -> str:
    """A cell's values on these axes, such as ``snn bntt num_steps=10``."""
    given = cell.given()
    unnamed = sweep_kind(given.get("train")).unnamed_axes
    return " ".join(
        str(given[axis]) if axis in unnamed else f"{axis}={given[axis]}"
        for axis in axes
        if axis in given
    )


def trial_key(config: Config, sources: Mapping[str, str] | None = None) -> str:
    """Hash of everything that decides a trial's numbers, and of nothing else.

    Args:
        sources: the digest of the source of each of the user's modules that it names.
    """
    return trial_keys(config, [config.seed], sources)[0]


def trial_keys(
    cell: Config, seeds: Iterable[int], sources: Mapping[str, str] | None = None
) -> list[str]:
    """The :func:`trial_key` of a cell with each of these seeds; the cell's seed is ignored."""
    later = sweep_kind(cell.given().get("train")).later_keys(cell.given())
    # Adding 0.0 makes -0.0 and 0.0, which train alike, the same text.
    given = {
        name: value + 0.0 if isinstance(value, float) else value
        for name, value in cell.given().items()
        if name not in later or value != later[name]
    }
    config = {**given, "seed": None}
    text = json.dumps({"config": config, "sources": dict(sources or {})}, sort_keys=True)
    # The seed is the only None, and quotes within a text would have backslashes before them.
    before, _, after = text.partition('"seed": null')
    return [
        hashlib.sha256(f'{before}"seed": {seed}{after}'.encode()).hexdigest()[:16] for seed in seeds
    ]
