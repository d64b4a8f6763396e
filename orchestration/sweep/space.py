"""The space of settings that a search draws from, and its dimensions in each cell. Pure.

space:
  learning_rate: {log: [1e-4, 1e-2]}      # below 1e-3 as often as above
  threshold: {uniform: [0.2, 2.0]}
  init: [default, kaiming]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pydantic

from orchestration.model.config import OwnConfig, read_config
from orchestration.sweep.dimension import Dimension
from orchestration.sweep.problems import Problems
from snn_norm.config import MODEL_KEYS, NOT_OF_ANN, OPTIMIZATION_KEYS, RunConfig
from snn_norm.norms.table import ARCHITECTURES
from snn_norm.wording import in_words

TUNED_KEYS = ("init", "threshold", "surrogate", "slope", "beta", *OPTIMIZATION_KEYS)
"""The keys that are settings of one network: how it starts, and how it is trained. With any other
(data set, trunk, depth, width, time steps, epochs, …) it is another network, or another task."""

Sampler = Literal["sobol", "random", "tpe"]


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
