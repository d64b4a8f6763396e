"""Turns a spec's grid into the configurations of its trials, and checks each of them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from orchestration.model.config import Config, read_config
from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import sweep_kind
from orchestration.model.trial import Trial, trial_keys
from orchestration.sweep.problems import Problems
from orchestration.sweep.user_code import References, wrong_names
from orchestration.sweep.yaml_file import FieldPath
from snn_norm.config import NOT_OF_ANN, RunConfig
from snn_norm.wording import in_words

MAX_TRIALS = 10_000

GridEntry = Mapping[str, Sequence[Any]]
"""An entry of a grid: values by key, of which every combination is trained."""


@dataclass(frozen=True)
class Located:
    """A value and its path in the spec."""

    value: Any
    path: FieldPath


def check_size(entries: Sequence[GridEntry], n_seeds: int, problems: Problems) -> None:
    """Check the number of trials without creating them.

    Raises:
        SpecError: there are more than :data:`MAX_TRIALS`.
    """
    combinations = _count(entries)
    count = combinations * n_seeds
    if count > MAX_TRIALS:
        problems.add(
            ("grid",),
            f"may make at most {MAX_TRIALS:,} trials, got {count:,} "
            f"({combinations:,} combinations of {n_seeds:,} seeds): "
            "split it into several sweeps",
        )
        problems.raise_any()


def most_seeds(entries: Sequence[GridEntry]) -> int:
    """How many trials each combination of the grid may have."""
    return MAX_TRIALS // _count(entries)


def _count(entries: Sequence[GridEntry]) -> int:
    return sum(math.prod(map(len, entry.values())) for entry in entries)


def cells_of(
    entries: Sequence[GridEntry],
    common: Mapping[str, Located],
    problems: Problems,
    references: References | None = None,
) -> list[Config]:
    """Each combination of the grid once, in the spec's order, with seed 0.

    Args:
        entries: the grid, of a checked size.
        references: imports and checks the user's own code; None leaves that unchecked.

    Raises:
        SpecError: a combination is not a valid configuration.
    """
    cells: dict[Config, None] = {}
    for number, given in _combinations(entries, common):
        values = {key: located.value for key, located in given.items()}
        cell, wrong = _configured(values)
        if cell is not None and references is not None and not wrong:
            wrong = references.wrong(cell)
        for key, message in wrong.items():
            at_top = key in ("dataset", "epochs", "train")
            missing_from: FieldPath = (key,) if at_top else ("grid", number, key)
            problems.add(given[key].path if key in given else missing_from, message)
        if cell is not None:
            cells[cell] = None
    problems.raise_any()
    return list(cells)


def given_of(
    entries: Sequence[GridEntry], common: Mapping[str, Located]
) -> dict[Config, dict[str, Any]]:
    """The keys that a checked spec sets for each cell, without defaults, in the spec's order."""
    given: dict[Config, dict[str, Any]] = {}
    for _, located in _combinations(entries, common):
        values = {key: one.value for key, one in located.items()}
        given.setdefault(read_config({**values, "seed": 0}), values)
    return given


def trials_of(
    cells: Iterable[Config],
    seeds_of_cells: Iterable[Sequence[int]],
    labels: Iterable[str],
    references: References,
    metric: Metric,
) -> list[Trial]:
    """Each of the checked cells with each of its seeds, cell by cell."""
    trials = []
    for cell, seeds, label in zip(cells, seeds_of_cells, labels, strict=True):
        sources = references.digests(cell)
        for seed, key in zip(seeds, trial_keys(cell, seeds, sources), strict=True):
            config = cell.model_copy(update={"seed": seed})
            trials.append(Trial(config, key, label, metric))
    return trials


def axes_of(entries: Sequence[GridEntry], cells: Sequence[Config]) -> tuple[str, ...]:
    """The keys that tell the cells apart: architecture and norm, then every other key that varies.

    For the user's own training code these are the keys that vary; if none does, ``train``.

    A key varies if the cells that have it have more than one value of it, or if two cells could
    not be told apart without it. A ``num_steps`` or ``compile`` that is set once, for the spiking
    network alone, does not vary.
    """
    # Values are compared as text: to the user's code, 1 and true are different.
    rows = [{key: json.dumps(value) for key, value in cell.given().items()} for cell in cells]
    kind = sweep_kind(next((row["train"] for row in rows if "train" in row), None))
    axes = list(kind.first_axes)
    in_grid = dict.fromkeys(key for entry in entries for key in entry)
    candidates = [key for key in kind.ordered(in_grid) if key not in axes]
    for key in candidates:
        applies = [
            row
            for row in rows
            if key in row and (key not in NOT_OF_ANN or row.get("architecture") != '"ann"')
        ]
        if len({row[key] for row in applies}) > 1:
            axes.append(key)
    for key in candidates:
        alike: dict[tuple[Any, ...], set[Any]] = {}
        for row in rows:
            alike.setdefault(tuple(row.get(axis) for axis in axes), set()).add(row.get(key))
        if any(len(values) > 1 for values in alike.values()):
            axes.append(key)
    return tuple(axes) or ("train",)


def _combinations(
    entries: Sequence[GridEntry], common: Mapping[str, Located]
) -> Iterator[tuple[int, dict[str, Located]]]:
    """Each combination of each entry, with the common values of the spec where it has none."""
    for number, entry in enumerate(entries):
        axes = [
            [Located(value, ("grid", number, key, index)) for index, value in enumerate(values)]
            for key, values in entry.items()
        ]
        for combination in itertools.product(*axes):
            yield number, dict(common) | dict(zip(entry, combination, strict=True))


def _configured(values: dict[str, Any]) -> tuple[Config | None, dict[str, str]]:
    """The configuration, or None if it is invalid; and what is wrong with it, by key."""
    wrong = {} if "train" in values else wrong_names(values)
    try:
        return read_config({**values, "seed": 0}), wrong
    except pydantic.ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            if error["loc"]:
                key = str(error["loc"][0])
                field = RunConfig.model_fields.get(key)
                wrong[key] = in_words(error, field.description if field else None)
            else:
                # A rule over several keys: its message begins with the key that breaks it.
                message = in_words(error)
                wrong[message.partition(" ")[0]] = message
        return None, wrong
