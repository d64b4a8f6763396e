"""The space of settings that a search draws from, and the settings of each cell. Pure.

    space:
      learning_rate: {log: [1e-4, 1e-2]}      # below 1e-3 as often as above
      threshold: {uniform: [0.2, 2.0]}
      init: [default, kaiming]

Every setting is a point of the unit cube, with one coordinate for each key of the space. A cell
takes the coordinates of the keys that its network has, so cells that share a key get the same
values of it. Points depend on the sweep's name, on the names of the keys and on a point's number
alone: a search with more trials has the settings of the shorter one, and further ones.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from orchestration.model.config import Config, OwnConfig, read_config
from orchestration.sweep.dimension import Dimension
from orchestration.sweep.problems import Problems
from snn_norm.config import MODEL_KEYS, NOT_OF_ANN, OPTIMIZATION_KEYS, RunConfig
from snn_norm.norms.table import ARCHITECTURES
from snn_norm.wording import in_words

TUNED_KEYS = ("init", "threshold", "surrogate", "slope", "beta", *OPTIMIZATION_KEYS)
"""The keys that are settings of one network: how it starts, and how it is trained. With any other
(data set, trunk, depth, width, time steps, epochs, …) it is another network, or another task."""

Sampler = Literal["sobol", "random", "tpe"]
Points = Literal["sobol", "random"]
"""The samplers whose settings do not depend on results."""


_MOST_POINTS = 64
"""How many points are drawn for each setting, at most, until all settings of a cell differ."""


@dataclass(frozen=True)
class Setting:
    """One point of a cell's space.

    Args:
        number: counts the settings of a cell, from 1.
        values: the values by key.
        config: the cell's configuration with these values, and with seed 0.
    """

    number: int
    values: Mapping[str, Any]
    config: Config


def dimensions_of(
    space: Mapping[str, Any], raw: Mapping[str, Any], problems: Problems | None = None
) -> list[Dimension]:
    """The dimensions that a cell has, in the order of the space.

    A list keeps the values that the cell's network can have.

    Args:
        problems: collects ranges that end at a value which the network cannot have.
    """
    cell = read_config({**raw, "seed": 0})
    if isinstance(cell, OwnConfig):
        return [Dimension.of(key, given, own=True) for key, given in space.items()]
    dimensions = []
    for key, given in space.items():
        if not _has(cell, key, space):
            continue
        dimension = Dimension.of(key, given, own=False)
        needs = {"optimizer": "sgd"} if key == "momentum" else {}
        wrong = {
            index: message
            for index, value in enumerate(dimension.values or (dimension.low, dimension.high))
            if (message := _wrong({**raw, **needs, key: value}, key))
        }
        if dimension.values:
            valid = [v for index, v in enumerate(dimension.values) if index not in wrong]
            dimension = Dimension(key, values=tuple(valid))
        elif problems is not None and wrong:
            ((scale, _),) = given.items()
            for index, message in wrong.items():
                where = f"of {cell.architecture} {cell.norm}"
                problems.add(("search", "space", key, scale, index), f"{where}: {message}")
        if dimension.values or isinstance(given, Mapping):
            dimensions.append(dimension)
    return dimensions


def settings_of(
    space: Mapping[str, Any], sampler: Points, name: str, trials: int, raw: Mapping[str, Any]
) -> list[Setting]:
    """The settings of a cell: as many as ``trials``, or all there are if these are fewer."""
    dimensions = dimensions_of(space, raw)
    settings: dict[Config, Setting] = {}
    most = 1 if not dimensions else _MOST_POINTS * trials
    for point in itertools.islice(_points(sampler, name, sorted(space), most), most):
        values = {one.key: one.at(point[one.key]) for one in dimensions}
        one = setting_of(raw, values, len(settings) + 1)
        settings.setdefault(one.config, one)
        if len(settings) == trials:
            break
    return list(settings.values())


def setting_of(raw: Mapping[str, Any], values: Mapping[str, Any], number: int) -> Setting:
    """The setting of a cell with these values, without a momentum if its optimizer has none."""
    has_momentum = values.get("optimizer", raw.get("optimizer")) == "sgd"
    values = {key: value for key, value in values.items() if key != "momentum" or has_momentum}
    return Setting(number, values, read_config({**raw, **values, "seed": 0}))


def _has(cell: RunConfig, key: str, space: Mapping[str, Any]) -> bool:
    """Whether a key of the space applies to a cell."""
    if key == "momentum":
        return "sgd" in (cell.optimizer, *space.get("optimizer", ()))
    if cell.architecture in ARCHITECTURES:
        return key in cell.given() and not (cell.architecture == "ann" and key in NOT_OF_ANN)
    return key in cell.given() or key in MODEL_KEYS


def _wrong(given: Mapping[str, Any], key: str) -> str:
    """What is wrong with the value of this key; empty if nothing is."""
    try:
        read_config({**given, "seed": 0})
    except pydantic.ValidationError as invalid:
        field = RunConfig.model_fields[key]
        return "; ".join(
            in_words(error, field.description) for error in invalid.errors(include_url=False)
        )
    return ""


def wrong_everywhere(
    space: Mapping[str, Any], raws: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The values of lists that no cell can have, with their paths and what is wrong with them."""
    for key, given in space.items():
        if isinstance(given, Mapping):
            continue
        needs = {"optimizer": "sgd"} if key == "momentum" else {}
        cells = [RunConfig(**{**raw, "seed": 0}) for raw in raws]
        having = [raw for raw, cell in zip(raws, cells, strict=True) if _has(cell, key, space)]
        for index, value in enumerate(given):
            messages = [_wrong({**raw, **needs, key: value}, key) for raw in having]
            if messages and all(messages):
                yield ("search", "space", key, index), messages[0]


def _points(
    sampler: Points, name: str, keys: Sequence[str], count: int
) -> Iterator[Mapping[str, float]]:
    """Points of the unit cube, each with one coordinate for each key."""
    if sampler == "random":
        for number in range(count):
            yield {key: _fraction(f"{name} {key} {number}") for key in keys}
        return
    # Imported here because it takes half a second, and most specs do not search.
    from scipy.stats import qmc

    # Shifted by a number for each key: scrambling might change with scipy's version.
    shifts = [_fraction(f"{name} {key}") for key in keys]
    sequence = qmc.Sobol(len(keys), scramble=False)
    for row in sequence.random_base2(max(1, count - 1).bit_length()):
        yield {
            key: (float(one) + shift) % 1.0
            for key, one, shift in zip(keys, row, shifts, strict=True)
        }


def _fraction(text: str) -> float:
    """A number from 0 to 1 (exclusive) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
