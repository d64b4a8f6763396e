"""Turns a spec's grid into the configurations of its trials, and checks each of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic

from orchestration.contract import params_of
from orchestration.names import References, wrong_names
from orchestration.problems import Problems, in_words
from orchestration.yaml_source import FieldPath
from snn_norm.config import RunConfig

if TYPE_CHECKING:
    from orchestration.spec import SweepSpec

__all__ = [
    "MAX_TRIALS",
    "Trial",
    "axes_of",
    "cells_of",
    "check_size",
    "later_params",
    "trial_key",
    "trial_keys",
    "trials_of",
]

MAX_TRIALS = 10_000

_LATER_KEYS: Mapping[str, Any] = {
    "precision": "float32",
    "validation_fraction": 0.0,
    "compile": "auto",
}
"""Keys that came after trials had been recorded, each with the value that it then stood for."""


@dataclass(frozen=True)
class Trial:
    """One training run that a sweep wants.

    Args:
        config: everything that decides its numbers.
        key: 16 hexadecimal digits that stand for that, the same in every sweep that wants it.
        label: what tells it apart in this sweep, such as ``snn bntt seed 42``.
    """

    config: RunConfig
    key: str
    label: str

    @property
    def cell(self) -> tuple[tuple[str, Any], ...]:
        """The configuration without its seed; ``dict(trial.cell)`` gives it by key."""
        return tuple((key, value) for key, value in self.config.given().items() if key != "seed")


def trial_key(config: RunConfig, sources: Mapping[str, str] | None = None) -> str:
    """Hash of everything that decides a trial's numbers, and of nothing else.

    Args:
        config: the trial's configuration.
        sources: digest of the source of each of the user's own modules it names.
    """
    return trial_keys(config, [config.seed], sources)[0]


def trial_keys(
    cell: RunConfig, seeds: Iterable[int], sources: Mapping[str, str] | None = None
) -> list[str]:
    """The :func:`trial_key` of a cell with each of these seeds; its own seed does not matter."""
    # Adding 0.0 makes -0.0 and 0.0, which train alike, the same text.
    given = {
        k: v + 0.0 if isinstance(v, float) else v
        for k, v in cell.given().items()
        if k not in _LATER_KEYS or v != _LATER_KEYS[k]
    }
    config = {**given, "seed": None}
    text = json.dumps({"config": config, "sources": dict(sources or {})}, sort_keys=True)
    # No value is None but this, and in a text the quotes would have backslashes.
    before, _, after = text.partition('"seed": null')
    return [
        hashlib.sha256(f'{before}"seed": {seed}{after}'.encode()).hexdigest()[:16] for seed in seeds
    ]


def later_params() -> dict[str, str]:
    """The params that a trial recorded by an earlier version lacks, and what that stands for."""
    return params_of(_LATER_KEYS)


def check_size(spec: SweepSpec, problems: Problems) -> None:
    """Count the trials without making them.

    Raises:
        SpecError: there are more than :data:`MAX_TRIALS`.
    """
    combinations = sum(math.prod(map(len, entry.values())) for entry in spec.grid)
    count = combinations * len(spec.seeds)
    if count > MAX_TRIALS:
        problems.add(
            ("grid",),
            f"may make at most {MAX_TRIALS:,} trials, got {count:,} "
            f"({combinations:,} combinations of {len(spec.seeds):,} seeds): "
            "split it into several sweeps",
        )
        problems.raise_any()


def cells_of(
    spec: SweepSpec, problems: Problems, references: References | None = None
) -> list[RunConfig]:
    """Each combination of the grid once, with the first seed, in the spec's order.

    Args:
        spec: of a checked size.
        problems: where to note what is wrong.
        references: imports and checks the user's own code; None leaves that unchecked.

    Raises:
        SpecError: a combination is not a valid configuration.
    """
    cells: dict[RunConfig, None] = {}
    for number, given in _combinations(spec):
        values = {key: one.value for key, one in given.items()}
        cell, wrong = _configured(values, spec.seeds[0])
        if cell is not None and references is not None and not wrong:
            wrong = references.wrong(cell)
        for key, message in wrong.items():
            missing_from: FieldPath = (
                (key,) if key in ("dataset", "epochs") else ("grid", number, key)
            )
            problems.add(given[key].path if key in given else missing_from, message)
        if cell is not None:
            cells[cell] = None
    problems.raise_any()
    return list(cells)


def trials_of(
    cells: Iterable[RunConfig], seeds: Sequence[int], axes: Sequence[str], references: References
) -> list[Trial]:
    """Each of the checked cells with each seed, cell by cell."""
    trials = []
    for cell in cells:
        sources = references.digests(cell)
        label = _label(cell, axes)
        for seed, key in zip(seeds, trial_keys(cell, seeds, sources), strict=True):
            config = cell.model_copy(update={"seed": seed})
            trials.append(Trial(config, key, f"{label} seed {seed}"))
    return trials


def axes_of(spec: SweepSpec, cells: list[RunConfig]) -> tuple[str, ...]:
    """The keys that tell the cells apart: architecture and norm always, then what else varies.

    A key varies if the cells that have it have more than one value of it (``num_steps`` given once
    for the spiking network alone does not), or if cells would look alike without it.
    """
    rows = [cell.given() for cell in cells]
    axes = ["architecture", "norm"]
    in_grid = {key for entry in spec.grid for key in entry}
    candidates = [key for key in RunConfig.model_fields if key in in_grid and key not in axes]
    for key in candidates:
        if len({row[key] for row in rows if key in row}) > 1:
            axes.append(key)
    for key in candidates:
        alike: dict[tuple[Any, ...], set[Any]] = {}
        for row in rows:
            alike.setdefault(tuple(row.get(axis) for axis in axes), set()).add(row.get(key))
        if any(len(values) > 1 for values in alike.values()):
            axes.append(key)
    return tuple(axes)


@dataclass(frozen=True)
class _Given:
    """A value and where it stands in the spec."""

    value: Any
    path: FieldPath


def _combinations(spec: SweepSpec) -> Iterator[tuple[int, dict[str, _Given]]]:
    """Each combination of each grid entry, over what the rest of the spec gives."""
    common = {key: _Given(value, ("training", key)) for key, value in spec.training.items()}
    if spec.dataset is not None:
        common["dataset"] = _Given(spec.dataset, ("dataset",))
    if spec.epochs is not None:
        common["epochs"] = _Given(spec.epochs, ("epochs",))
    if (rule := spec.stop_when_collapsed) is not None:
        path = ("stop_when_collapsed", "after_epochs")
        common["stop_when_collapsed_after"] = _Given(rule.after_epochs, path)
    for number, entry in enumerate(spec.grid):
        axes = [
            [_Given(value, ("grid", number, key, place)) for place, value in enumerate(values)]
            for key, values in entry.items()
        ]
        for combination in itertools.product(*axes):
            yield number, common | dict(zip(entry, combination, strict=True))


def _configured(values: dict[str, Any], seed: int) -> tuple[RunConfig | None, dict[str, str]]:
    """The configuration, if it is one; and what is wrong with it, by key."""
    wrong = wrong_names(values)
    try:
        return RunConfig(**values, seed=seed), wrong
    except pydantic.ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            if error["loc"]:
                key = str(error["loc"][0])
                description = RunConfig.model_fields[key].description
                wrong[key] = in_words(error, description)
            else:
                # A rule over several keys: its message begins with the key that breaks it.
                message = in_words(error)
                wrong[message.partition(" ")[0]] = message
        return None, wrong


def _label(cell: RunConfig, axes: Sequence[str]) -> str:
    given = cell.given()
    others = (f"{key}={given[key]}" for key in axes[2:] if key in given)
    return " ".join([cell.architecture, cell.norm, *others])
