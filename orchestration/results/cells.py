"""Assigns recorded trials to the cells of the grid. Pure.

A cell is a configuration without its seed. A trial belongs to a cell if the spec wants its key, as
in the plan of a sweep. If the key does not decide, its configuration does: the user's own modules
are part of a key, and a machine that reads a sweep may lack them. The cells of an experiment
without a spec are those of its trials.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import pandas as pd
import pydantic

from orchestration.model.counting_runs import runs_that_count
from orchestration.model.metric import TEST_ACCURACY, Metric, selected_on
from orchestration.model.run import has_result
from orchestration.model.sweep_kind import NETWORKS, SweepKind, sweep_kind
from orchestration.model.trial import recorded_configuration, trial_keys
from orchestration.reading.records import Records, TextRows
from orchestration.record.names import params_of
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.sweep.grid import axes_of
from orchestration.sweep.halving import TrialProgress, score
from orchestration.sweep.recorded_spec import read_spec
from orchestration.sweep.search import Search
from orchestration.sweep.space import TUNED_KEYS, Setting
from snn_norm.config import RunConfig
from snn_norm.references import is_reference

_Texts = frozenset[tuple[str, str]]
"""A configuration without its seed: the text of each of its keys."""

_KEY = re.compile("[0-9a-f]{16}")

_TIMES = ("started", "finished")

CONDITIONS = ("dataset", "epochs")
"""The keys in which two sweeps must agree for their accuracies to be comparable."""


@dataclass(frozen=True)
class Cells:
    """The cells of a sweep, and the trials in them.

    Args:
        axes: the names of the columns that distinguish cells.
        table: one row per cell, indexed by its number: one column per axis, ``dataset`` and
            ``epochs`` (missing if not recorded), ``n_expected`` (seeds), and ``selected_on`` and
            ``as_built``, which ``orchestration.results.columns`` explains.
        of_trial: the number of each trial's cell by run id; missing if it is in no cell.
        seeds: the seed of each trial that is in a cell, by run id.
        metric: the metric by which the sweep's trials are judged.
        kind: whether it is of this package's networks, and what follows from that.
        tried: of a search, its trials by run id: ``cell``, ``setting`` (its number) and ``seed``.
            These are in no cell: the trials of a cell are those that confirm its best setting.
        best_settings: of a search, the number of each cell's best setting; None where none is
            known.
    """

    axes: list[str]
    table: pd.DataFrame
    of_trial: pd.Series
    seeds: pd.Series
    metric: Metric = TEST_ACCURACY
    kind: SweepKind = NETWORKS
    tried: pd.DataFrame | None = None
    best_settings: Sequence[int | None] = ()

    def is_tried(self, run_ids: pd.Index[Any]) -> Any:
        """Whether each of these runs is one of a search, as an array."""
        return run_ids.isin([] if self.tried is None else self.tried.index)

    @property
    def series(self) -> str:
        """The axis whose values are compared, and drawn in different colours."""
        return self.kind.series(self.axes)


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
        search: the spec's section.
        settings: of a search, the cell and the setting of each place.
    """

    axes: list[str]
    table: pd.DataFrame
    of_key: dict[str, tuple[int, int]]
    of_config: dict[_Texts, int]
    seeds: dict[str, int]
    own: bool
    metric: Metric
    kind: SweepKind
    search: Search | None = None
    settings: Sequence[tuple[int, Setting]] = ()


def _value(text: str) -> Any:
    """The value of a recorded parameter: a number or a truth value if it is one, else its text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float):
        return value if math.isfinite(value) else text
    return value if isinstance(value, int) and abs(value) < 2**63 else text


def typed(texts: pd.Series) -> pd.Series:
    """A column of parameters in the type of its values, or as text if they have several types.

    Integers and truth values of which some are missing get pandas' nullable types.
    """
    values = {text: _value(text) for text in texts.dropna().unique()}
    dtype = _dtype([*values.values(), *([None] if texts.isna().any() else [])])
    return texts.astype("str") if dtype == "str" else texts.map(values).astype(dtype)


def _dtype(values: Iterable[Any]) -> Any:
    """The type of a column with these values; None is a missing one."""
    kinds = {type(value) for value in values}
    missing = type(None) in kinds
    kinds -= {type(None)}
    if kinds == {bool}:
        return "boolean" if missing else "bool"
    if kinds == {int}:
        return "Int64" if missing else "int64"
    return "float64" if kinds and kinds <= {int, float} else "str"


def _columns(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> pd.DataFrame:
    """A spec's values, one column each, in their type, or as MLflow's text if types differ."""
    texts = [params_of(row) for row in rows]
    columns = {}
    for name in names:
        dtype = _dtype(values := [row.get(name) for row in rows])
        if dtype == "str":
            values = [text.get(name) for text in texts]
        columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def params_of_runs(records: Records, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The parameters of runs; a key that was added after a run has the value that the run had."""
    params = records.params(run_ids)
    kinds = params.reindex(columns=["train", "architecture"]).astype(object).fillna("")
    for train, architecture in kinds.drop_duplicates().itertuples(index=False):
        of_it = (kinds["train"] == train) & (kinds["architecture"] == architecture)
        given = {"train": train} if train else {"architecture": architecture}
        for name, text in params_of(sweep_kind(train or None).later_keys(given)).items():
            known = params[name] if name in params else pd.Series(None, params.index, dtype=object)
            params[name] = known.where(known.notna() | ~of_it, text)
    return params.sort_index(axis="columns")


def without_doubles(records: Records) -> Records:
    """Keep only the run that counts for each trial, by ``orchestration.model.counting_runs``.

    A run without a key belongs to the trial that has its configuration.
    """
    runs = records.runs
    finished = map(has_result, runs["status"], runs["outcome"])
    runs = runs[pd.Series(finished, runs.index, dtype=bool)]
    trial = runs["trial_key"]
    if trial.isna().any():
        params = params_of_runs(records, runs.index.tolist())
        config = params.groupby(list(params.columns), dropna=False).ngroup()
        known = trial.fillna(trial.groupby(config).transform("first"))
        runs = runs.assign(trial_key=known.astype(object).where(known.notna(), None))
        trial = known.fillna("configuration " + config.astype("str"))
    if trial.is_unique:
        return replace(records, runs=runs, metrics=records.metrics.loc[runs.index])
    times = (runs[name].astype(object).where(runs[name].notna(), None) for name in _TIMES)
    counted = runs_that_count(zip(trial, runs.index, *times, strict=True))
    kept = sorted(counted.values())
    return replace(records, runs=runs.loc[kept], metrics=records.metrics.loc[kept])


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
    table = _columns(given, names).assign(n_expected=len(spec.certain_seeds()))
    table[SELECTED_ON] = [spec.kind.selected_on(config, metric) for config in given]
    table[AS_BUILT] = [_is_as_built(config, axes) for config in given]
    settings: list[tuple[int, Setting]] = []
    trained = list(enumerate(cells))
    if spec.search is not None:
        seeds = (*spec.search.seed_list(), *seeds)
        settings = [(cell, one) for cell, tried in enumerate(spec.settings()) for one in tried]
        trained = [(cell, one.config) for cell, one in settings]
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
    )


def _is_as_built(config: Mapping[str, Any], axes: Iterable[str]) -> bool:
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


def assign_cells(
    records: Records,
    spec: SpecCells | None,
    histories: Mapping[str, Sequence[float]] | None = None,
    best_settings: Sequence[int | None] = (),
) -> Cells:
    """Assign each recorded trial to its cell.

    Of several trials with the same configuration, only one is in a cell: the one whose key the spec
    wants, or the newest if the key includes a user's module, whose code may have changed.

    Args:
        records: the trials.
        spec: the cells of the spec, if there is one.
        histories: of a search, the values by epoch of the metric that chooses settings, by run id.
        best_settings: as of Cells, instead of histories.
    """
    if spec is None:
        return _from_trials(records)
    places = _places(records, spec)
    if spec.search is None:
        return _cells(spec, records, places)
    return _of_search(records, spec, spec.search, places, histories or {}, best_settings)


def _of_search(
    records: Records,
    spec: SpecCells,
    search: Search,
    places: Sequence[_Place],
    histories: Mapping[str, Sequence[float]],
    best_settings: Sequence[int | None],
) -> Cells:
    """Cells of a search: the trials of a cell are those that confirm its best setting."""
    tried = [
        (run_id, *_cell_and_number(spec, place[0]), place[1])
        for run_id, place in zip(records.runs.index, places, strict=True)
        if place is not None and place[1] < search.seeds
    ]
    table = pd.DataFrame(tried, columns=["run_id", "cell", "setting", "seed"]).set_index("run_id")
    best = best_settings or _best_settings(table, search, histories, len(spec.table))

    def confirmed(place: _Place) -> _Place:
        if place is None or place[1] < search.seeds:
            return None
        cell, number = _cell_and_number(spec, place[0])
        return (cell, place[1]) if best[cell] == number else None

    cells = _cells(spec, records, list(map(confirmed, places)))
    return replace(cells, tried=table, best_settings=best)


def _cell_and_number(spec: SpecCells, place: int) -> tuple[int, int]:
    cell, setting = spec.settings[place]
    return cell, setting.number


def _best_settings(
    tried: pd.DataFrame, search: Search, histories: Mapping[str, Sequence[float]], n_cells: int
) -> list[int | None]:
    """The number of each cell's best setting, of those whose trials have all finished.

    A setting that was pruned cannot be the best: a score does not fall with further epochs.
    """
    best: dict[int, tuple[float, int]] = {}
    of_setting = tried.groupby(["cell", "setting"]).groups
    for (cell, number), run_ids in cast("Mapping[tuple[int, int], Any]", of_setting).items():
        if len(run_ids) < search.seeds:
            continue
        progress = [TrialProgress(histories.get(str(run), ()), True) for run in run_ids]
        rank = (score(progress, search.judged_by()), -number)
        best[cell] = max(best.get(cell, rank), rank)
    return [-best[cell][1] if cell in best else None for cell in range(n_cells)]


_Place = tuple[int, int] | None
"""A cell, or the place of a setting, and a seed; None where a spec does not want a trial."""


def _places(records: Records, spec: SpecCells) -> list[_Place]:
    runs = records.runs
    places = [spec.of_key.get(key) for key in runs["trial_key"]]
    unknown = [
        run_id
        for run_id, key, place in zip(runs.index, runs["trial_key"], places, strict=True)
        if place is None and (spec.own or not _is_key(key))
    ]
    if unknown:
        taken = set(places)
        by_config = _by_config(records.param_rows(unknown), spec)
        others = {run_id: place for run_id, place in by_config.items() if place not in taken}
        newest = _newest(runs.loc[list(others)], others)
        places = [newest.get(run_id, at) for run_id, at in zip(runs.index, places, strict=True)]
    return places


def _cells(spec: SpecCells, records: Records, places: Sequence[_Place]) -> Cells:
    index = records.runs.index
    cell, seed = (
        zip(*(place or (None, None) for place in places), strict=True) if places else ([], [])
    )
    return Cells(
        spec.axes,
        spec.table,
        pd.Series(cell, index, dtype="Int64"),
        pd.Series(seed, index, dtype="Int64"),
        spec.metric,
        spec.kind,
    )


def _is_key(text: str | None) -> bool:
    """Whether a text is a trial's key. A run without a key may come from another program."""
    return text is not None and _KEY.fullmatch(text) is not None


def _by_config(rows: TextRows, spec: SpecCells) -> dict[str, tuple[int, int]]:
    params: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, name, text in rows:
        params[run_id][name] = text
    places = {}
    for run_id, texts in params.items():
        config = dict(recorded_configuration(texts))
        seed = config.pop("seed", None)
        cell = spec.of_config.get(frozenset(config.items()))
        if cell is not None and seed in spec.seeds:
            places[run_id] = (cell, spec.seeds[seed])
    return places


def _newest(runs: pd.DataFrame, places: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """For each cell and seed, the run that finished last."""
    ordered = runs.sort_values(["finished", "trial_key"], na_position="first", kind="stable")
    last = {places[run_id]: run_id for run_id in ordered.index}
    return {run_id: place for place, run_id in last.items()}


def _from_trials(records: Records) -> Cells:
    """The cells of an experiment without a spec: its different configurations, with all seeds."""
    params = params_of_runs(records)
    texts = _texts(params, "seed")
    seeds = typed(pd.Series(texts, params.index, dtype="str"))
    params = params.drop(columns="seed", errors="ignore")
    varying = [str(name) for name in params if _varies(params, str(name))]
    # Architecture and norm are always axes, even if they do not vary or are missing.
    axes = list(dict.fromkeys(["architecture", "norm", *varying]))
    params = params.reindex(columns=list(dict.fromkeys([*params, *axes])))
    values = pd.DataFrame({name: typed(params[name]) for name in axes}, index=params.index)
    number = values.groupby(axes, dropna=False, sort=True).ngroup().astype("Int64")
    first = number.drop_duplicates().sort_values()
    table = values.loc[first.index].set_axis(pd.RangeIndex(len(first)))
    # If one of these varied it would be an axis, so all trials of a cell share the first one's.
    firsts = params.loc[first.index].reindex(columns=["validation_fraction", *CONDITIONS])
    firsts = firsts.set_axis(table.index)
    table = table.assign(**{name: typed(firsts[name]) for name in CONDITIONS})
    table["n_expected"] = seeds.nunique(dropna=False)
    table[SELECTED_ON] = list(map(selected_on, firsts["validation_fraction"]))
    given = params.loc[first.index].to_dict("records")
    table[AS_BUILT] = [
        _is_as_built({str(k): _value(v) for k, v in texts.items() if isinstance(v, str)}, axes)
        for texts in given
    ]
    places = dict(zip(params.index, zip(number, texts, strict=True), strict=True))
    counted = number.index.isin(list(_newest(records.runs, places)))
    return Cells(axes, table, number.where(counted), seeds)


def _varies(params: pd.DataFrame, name: str) -> bool:
    """Whether a key distinguishes cells; not if only one architecture has it, with one value."""
    if name == "architecture" or "architecture" not in params:
        return bool(params[name].nunique(dropna=False) > 1)
    of_each = params.groupby("architecture", dropna=False)[name]
    known = of_each.nunique(dropna=False).gt(1).any()
    return bool(known or params[name].nunique() > 1)


def _texts(params: pd.DataFrame, name: str) -> list[str | None]:
    if name not in params:
        return [None] * len(params)
    column = params[name]
    return column.where(column.notna(), None).tolist()
