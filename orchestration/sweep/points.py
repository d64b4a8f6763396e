"""The settings that a search tries in each cell: points of its space. Pure.

Every setting is a point of the unit cube, with one coordinate for each key of the space. A cell
takes the coordinates of the keys that its network has, so cells that share a key get the same
values of it. Points depend on the sweep's name, on the names of the keys and on a point's number
alone: a search with more trials has the settings of the shorter one, and further ones.

If a sweep's space has changed, its settings begin with those that were trained before and lie in
the new space. Each of them takes the place of a new point in the part that was searched before, so
new settings lie in the other part until both are equally dense.
"""

from __future__ import annotations

import hashlib
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from orchestration.model.config import Config, read_config
from orchestration.sweep.dimension import Dimension, checked_dimension
from orchestration.sweep.space import Sampler, dimensions_of

_MOST_POINTS = 64
"""How many points are drawn for each setting, at most, until all settings of a cell differ."""

_LAST_POINT = 100_000
"""The largest number of a point that is read from a record."""

_Kept = tuple[int, int] | None
"""The earlier space that a setting is kept from, by its place, and its rank among those kept."""


@dataclass(frozen=True)
class Setting:
    """One point of a cell's space.

    Args:
        number: counts the settings of a cell, from 1.
        values: the values by key.
        config: the cell's configuration with these values, and with seed 0.
        point: the number of its point in the space that is searched now; None for any other.
        is_sampled: whether it belongs to a sample of the space. Settings that an earlier space had
            in excess do not, and neither do those that depend on results.
    """

    number: int
    values: Mapping[str, Any]
    config: Config
    point: int | None = None
    is_sampled: bool = True


@dataclass(frozen=True)
class SearchedSpace:
    """A space that a sweep has searched before.

    Args:
        points: the numbers of its points that have been trained in some cell.
    """

    space: Mapping[str, Any]
    points: tuple[int, ...]

    @classmethod
    def read(cls, space: Mapping[str, Any], points: Iterable[int]) -> Self:
        """What the record of a sweep has.

        Raises:
            AttributeError, TypeError, ValueError: this is something else.
        """
        numbers = tuple(map(operator.index, points))
        if not numbers or min(numbers) < 0 or max(numbers) > _LAST_POINT:
            raise ValueError("numbers of points are missing, or impossible")
        return cls({key: checked_dimension(given) for key, given in space.items()}, numbers)


def settings_of_cells(
    space: Mapping[str, Any],
    sampler: Sampler,
    name: str,
    counts: Sequence[int],
    raws: Sequence[Mapping[str, Any]],
    earlier: Sequence[SearchedSpace] = (),
) -> list[list[Setting]]:
    """The settings of each cell: as many as wanted, or all there are if these are fewer.

    Args:
        sampler: the points of ``tpe`` are those of ``sobol``.
        name: the sweep's name.
        counts: how many settings each cell has.
        raws: the keys that the spec sets for each cell.
        earlier: the spaces that the sweep has searched before.
    """
    in_cells = [dimensions_of(space, raw) for raw in raws]
    cells = [_Cell(*of_cell) for of_cell in zip(raws, in_cells, counts, strict=True)]
    before = [[dimensions_of(one.space, raw) for raw in raws] for one in earlier]
    left, first = [0] * len(earlier), 0
    for place, (one, dimensions) in enumerate(zip(earlier, before, strict=True)):
        for number, point in _points(sampler, name, one.space, range(1 + max(one.points))):
            values = _values(dimensions, point)
            if number in one.points and lie_within(in_cells, values):
                for cell, its in zip(cells, values, strict=True):
                    cell.add(its, kept=(place, left[place]))
                left[place] += 1
                first = max(first, number + 1)
    # New points have other numbers: one with the number of a kept point has the same values of
    # keys that have not changed, and would be the same setting in a cell that has no other keys.
    numbers = range(first, first + _MOST_POINTS * max(counts))
    for number, point in _points(sampler, name, space, numbers):
        if all(cell.is_full for cell in cells):
            break
        values = _values(in_cells, point)
        searched = (p for p, of_space in enumerate(before) if lie_within(of_space, values))
        taken = next((p for p in searched if left[p]), None)
        if taken is not None:
            left[taken] -= 1
        for cell, its in zip(cells, values, strict=True):
            if taken is None:
                cell.add(its, point=number)
            elif not cell.is_full:
                cell.replaced[taken] += 1
    return [cell.all() for cell in cells]


class _Cell:
    """Collects the settings of a cell."""

    def __init__(self, raw: Mapping[str, Any], dimensions: Sequence[Dimension], count: int) -> None:
        self._raw = raw
        self._most = count if dimensions else 1
        self._settings: dict[Config, tuple[Setting, _Kept]] = {}
        self.replaced = Counter[int]()
        """How many new points were replaced by settings of each earlier space, by its place."""

    @property
    def is_full(self) -> bool:
        """Whether it has as many settings as it needs."""
        return len(self._settings) == self._most

    def add(self, values: Mapping[str, Any], point: int | None = None, kept: _Kept = None) -> None:
        """Add a setting, unless there are enough, or an equal one."""
        if not self.is_full:
            one = setting_of(self._raw, values, len(self._settings) + 1)
            self._settings.setdefault(one.config, (replace(one, point=point), kept))

    def all(self) -> list[Setting]:
        """The settings in order."""
        return [
            replace(one, is_sampled=kept is None or kept[1] < self.replaced[kept[0]])
            for one, kept in self._settings.values()
        ]


def setting_of(raw: Mapping[str, Any], values: Mapping[str, Any], number: int) -> Setting:
    """The setting of a cell with these values, without a momentum if its optimizer has none."""
    has_momentum = values.get("optimizer", raw.get("optimizer")) == "sgd"
    values = {key: value for key, value in values.items() if key != "momentum" or has_momentum}
    return Setting(number, values, read_config({**raw, **values, "seed": 0}))


def lie_within(
    in_cells: Sequence[Sequence[Dimension]], values: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the values of a point in each cell are possible with these dimensions of each cell.

    A point is kept in all cells or in none, so that all of them have the same points.
    """
    return all(
        its.keys() == {one.key for one in dimensions}
        and all(one.has(its[one.key]) for one in dimensions)
        for dimensions, its in zip(in_cells, values, strict=True)
    )


def _values(
    in_cells: Sequence[Sequence[Dimension]], point: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The values of a point in each cell."""
    return [{one.key: one.at(point[one.key]) for one in dimensions} for dimensions in in_cells]


def _points(
    sampler: Sampler, name: str, space: Collection[str], numbers: range
) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Points of the unit cube by their numbers, with one coordinate for each key of a space."""
    keys = sorted(space)
    if sampler == "random":
        for number in numbers:
            yield number, {key: _fraction(f"{name} {key} {number}") for key in keys}
        return
    # Imported here because it takes half a second, and most specs do not search.
    from scipy.stats import qmc

    # Shifted by a number for each key: scrambling might change with scipy's version.
    shifts = [_fraction(f"{name} {key}") for key in keys]
    sequence = qmc.Sobol(len(keys), scramble=False)
    rows = sequence.random_base2(max(1, numbers.stop - 1).bit_length())
    for number in numbers:
        coordinates = zip(keys, rows[number], shifts, strict=True)
        yield number, {key: (float(one) + shift) % 1.0 for key, one, shift in coordinates}


def _fraction(text: str) -> float:
    """A number from 0 to 1 (exclusive) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
