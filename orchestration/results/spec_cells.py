"""The cells that a spec wants, and how to recognize their trials. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import pydantic

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import SweepKind
from orchestration.model.trial import trial_keys
from orchestration.record.names import params_of
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.results.typed_params import typed_columns
from orchestration.sweep.grid import axes_of
from orchestration.sweep.points import Setting
from orchestration.sweep.recorded_spec import read_spec
from orchestration.sweep.search import Search
from orchestration.sweep.space import TUNED_KEYS
from snn_norm.config import RunConfig
from snn_norm.references import is_reference

Texts = frozenset[tuple[str, str]]
"""A configuration without its seed: the text of each of its keys."""

CONDITIONS = ("dataset", "epochs")
"""The keys in which two sweeps must agree for their accuracies to be comparable."""


@dataclass(frozen=True)
class SpecCells:
    """A spec's cells in its order, and how to recognize their trials.

    Args:
        axes, table, metric, kind: see Cells.
        of_key: the cell and seed by a trial's key, unless a user's own module is part of the key.
            In a search, the place in ``settings`` stands for the cell.
        of_config: the cell by its configuration; in a search, as in ``of_key``.
        seeds: the seed by its text.
        own: whether some of the cells name a module of the user's own.
        settings: of a search, the cell and the setting of each place.
        confirmed: of a search, how many settings of each cell are confirmed.
    """

    axes: list[str]
    table: pd.DataFrame
    of_key: dict[str, tuple[int, int]]
    of_config: dict[Texts, int]
    seeds: dict[str, int]
    own: bool
    metric: Metric
    kind: SweepKind
    search: Search | None = None
    settings: Sequence[tuple[int, Setting]] = ()
    confirmed: int = 1


@lru_cache(maxsize=16)
def spec_cells(spec_json: str) -> SpecCells:
    """Expand a spec's grid; the result is cached, since a notebook reads the same sweep repeatedly.

    Raises:
        SpecError: it is not a valid spec.
    """
    spec = read_spec(spec_json)
    cells, seeds = spec.cells(), spec.seed_order()
    axes = list(axes_of(spec.grid, cells))
    given = [cell.given() for cell in cells]
    own = [any(map(is_reference, cell.named_code)) for cell in cells]
    names, metric = {*axes, *CONDITIONS}, spec.judged_by()
    table = typed_columns(given, names).assign(n_expected=len(spec.certain_seeds()))
    table[SELECTED_ON] = [spec.kind.selected_on(config, metric) for config in given]
    table[AS_BUILT] = [is_as_built(config, axes) for config in given]
    settings: list[tuple[int, Setting]] = []
    trained = list(enumerate(cells))
    if spec.search is not None:
        seeds = (*spec.search.seed_list(), *seeds)
        of_cells = enumerate(spec.settings())
        settings = [(cell, setting) for cell, of_cell in of_cells for setting in of_cell]
        trained = [(cell, setting.config) for cell, setting in settings]
    return SpecCells(
        axes,
        table,
        of_key={
            key: (number, seed)
            for number, (cell, config) in enumerate(trained)
            if not own[cell]
            for seed, key in zip(seeds, trial_keys(config, seeds), strict=True)
        },
        of_config={
            frozenset((name, text) for name, text in texts.items() if name != "seed"): number
            for number, texts in enumerate(params_of(config.given()) for _, config in trained)
        },
        seeds={str(seed): seed for seed in seeds},
        own=any(own),
        metric=metric,
        kind=spec.kind,
        search=spec.search,
        settings=settings,
        confirmed=spec.confirm.settings if spec.confirm else 1,
    )


def is_as_built(config: Mapping[str, Any], axes: Iterable[str]) -> bool:
    """Whether a configuration stays the same if the axes that are settings get their defaults."""
    tuned = set(axes).intersection(TUNED_KEYS)
    if not tuned:
        return True
    rest = {key: value for key, value in config.items() if key not in tuned}
    try:
        built = RunConfig(**{"seed": 0, **rest}).given()
    except pydantic.ValidationError:  # another program recorded it, or a key belongs to a tuned one
        return False
    return all(built.get(key) == config.get(key) for key in tuned)
