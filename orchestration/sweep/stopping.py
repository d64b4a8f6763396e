"""When a sweep stops allocating seeds: ``seeds: {until: decided, …}`` and ``compare:``. Pure.

    seeds: {until: decided, alpha: 0.05, practically_equal: 0.005, at_least: 5, at_most: 80}
    compare:
      - {norm: [bntt, homeostatic]}    # every pair of these, in each setting of the other axes
      - {norm: [none], against: all}   # each of these with every other value of the axis

The comparisons are a family that is declared before the first trial.
``docs/sequential-tests.md`` explains how they are decided.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from orchestration.model.config import Config, Section
from orchestration.model.sweep_kind import sweep_kind
from orchestration.sweep.problems import Problems
from snn_norm.wording import described, did_you_mean

MOST_SEEDS = 200
"""The largest ``at_most``."""


class UntilDecided(Section):
    """How surely the declared comparisons are to be decided, and what that may cost."""

    until: Literal["decided"] = Field(description="decided")
    alpha: float = Field(0.05, gt=0, le=0.5, description="the largest family-wise error")
    practically_equal: float | None = Field(
        None, gt=0, description="differences of accuracy, or of metric, below it do not matter"
    )
    at_least: int = Field(5, ge=2, description="seeds of each cell, before the first decision")
    at_most: int = Field(40, le=MOST_SEEDS, description="seeds of each cell")
    gpu_hours: float | None = Field(None, gt=0, description="the most that the sweep may use")
    method: Literal["sequential", "spending"] = Field(
        "sequential", description="e-values, which may be looked at any time, or alpha spending"
    )
    assume: Literal["exchangeable", "normal"] | None = Field(
        None, description="what verdicts assume of both values of a pair, or of their differences"
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(
                f"at_most must be at least at_least, which is {self.at_least}, got {self.at_most}"
            )
        if self.method == "spending" and self.assume == "exchangeable":
            raise ValueError(
                "method: spending assumes normal differences, got assume: exchangeable: remove "
                "one of them"
            )
        return self

    @property
    def assumes(self) -> str:
        """What verdicts assume; a sweep that was recorded without the key began with ``normal``."""
        return self.assume or "normal"

    def begun(self, before: object) -> Self:
        """The rule of a sweep that begins with it, or that has begun with the rule ``before``.

        Where ``assume`` is missing, it is what the sweep has begun with, and ``exchangeable`` in a
        new one.
        """
        if self.assume is not None:
            return self
        if isinstance(before, UntilDecided) and before.method == self.method:
            return self.model_copy(update={"assume": before.assume})
        assume = "normal" if self.method == "spending" else "exchangeable"
        return self.model_copy(update={"assume": assume})

    def order(self, name: str) -> tuple[int, ...]:
        """The seeds of the sweep of this name, in the order in which they are allocated.

        Each has up to six digits, from a hash of the name and of 0, 1, 2, …: they are the same on
        every machine, and a larger ``at_most`` appends to them.
        """
        return _seeds(name)[: self.at_most]


@lru_cache(maxsize=16)
def _seeds(name: str) -> tuple[int, ...]:
    # Twice as many as can be needed: a few are equal by chance, and are kept once.
    hashes = (hashlib.sha256(f"{name} {i}".encode()).digest() for i in range(2 * MOST_SEEDS))
    return tuple(dict.fromkeys(int.from_bytes(digest[:8]) % 1_000_000 for digest in hashes))


@dataclass(frozen=True)
class Comparison:
    """Two cells that differ in one axis only.

    Args:
        first, second: the indices of the cells, in the spec's order.
    """

    axis: str
    first: int
    second: int

    @property
    def cells(self) -> tuple[int, int]:
        """The indices of both cells."""
        return self.first, self.second


def comparisons_of(
    declared: Sequence[Mapping[str, Sequence[Any]]],
    cells: Sequence[Config],
    axes: Sequence[str],
    problems: Problems,
) -> list[Comparison]:
    """The declared family, each pair of cells once, in the order of its declaration."""
    rows = [cell.given() for cell in cells]
    same = sweep_kind(rows[0].get("train") if rows else None).comparable
    comparisons: dict[frozenset[int], Comparison] = {}
    for number, entry in enumerate(declared):
        keys = [key for key in entry if key != "against"]
        if len(keys) != 1 or keys[0] not in axes:
            problems.add(
                ("compare", number),
                f"must name one axis of the grid ({', '.join(axes)}) and the values to compare, "
                f"got {', '.join(keys) or 'none'}",
            )
            continue
        axis = keys[0]
        values = {same(row[axis]): row[axis] for row in rows if axis in row}
        if _note_unknown(entry, axis, values, same, number, problems):
            continue
        others = entry.get("against", ())
        against = list(values) if others == ("all",) else list(map(same, others))
        pairs = list(_pairs(list(map(same, entry[axis])), against))
        rest = [key for key in axes if key != axis]
        settings: dict[tuple[Any, ...], dict[Any, int]] = {}
        for cell, row in enumerate(rows):
            setting = tuple(same(row[key]) if key in row else None for key in rest)
            if axis in row:
                settings.setdefault(setting, {})[same(row[axis])] = cell
        matches = [
            (cell_of[first], cell_of[second])
            for cell_of in settings.values()
            for first, second in pairs
            if first in cell_of and second in cell_of
        ]
        for a, b in matches:
            comparisons.setdefault(frozenset((a, b)), Comparison(axis, a, b))
        if not matches:
            problems.add(
                ("compare", number),
                "names no pair of cells: no two of the grid have such values of "
                f"{' and are alike in '.join(filter(None, (axis, ', '.join(rest))))}",
            )
    return list(comparisons.values())


def _pairs(values: Sequence[Any], others: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    if not others:
        return itertools.combinations(dict.fromkeys(values), 2)
    return ((a, b) for a, b in itertools.product(values, others) if a != b)


def _note_unknown(
    entry: Mapping[str, Sequence[Any]],
    axis: str,
    values: Mapping[Any, Any],
    same: Callable[[Any], Any],
    number: int,
    problems: Problems,
) -> bool:
    """Note values that no cell of the grid has; returns whether there are any."""
    unknown = [
        (key, index, value)
        for key, given in entry.items()
        for index, value in enumerate(given)
        if same(value) not in values and not (key == "against" and given == ("all",))
    ]
    for key, index, value in unknown:
        path = ("compare", number, key, index)
        if key == "against" and value == "all":
            problems.add(path, "must be either all, or values of the grid")
            continue
        valid = list(map(str, values.values())) + ["all"] * (key == "against")
        problems.add(
            path,
            f"must be a value of {axis} in the grid ({', '.join(valid)}), got {described(value)}"
            f"{did_you_mean(value, valid)}",
        )
    return bool(unknown)
