"""Assigns recorded trials to the cells of the grid. Pure.

A cell is a configuration without its seed. A trial belongs to a cell if the spec wants its key, as
in the plan of a sweep. If the key does not decide, its configuration does: the user's own modules
are part of a key, and a machine that reads a sweep may lack them. The cells of an experiment
without a spec are those of its trials.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pandas as pd

from orchestration.model.counting_runs import runs_that_count
from orchestration.model.metric import TEST_ACCURACY, Metric, selected_on
from orchestration.model.run import has_result
from orchestration.model.sweep_kind import NETWORKS, SweepKind
from orchestration.model.trial import recorded_configuration
from orchestration.reading.records import Records, TextRows
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.results.spec_cells import CONDITIONS, SpecCells, is_as_built
from orchestration.results.typed_params import params_of_runs, typed, value_of
from orchestration.sweep.halving import TrialProgress, score
from orchestration.sweep.search import Search

_KEY = re.compile("[0-9a-f]{16}")

_TIMES = ("started", "finished")


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
        tried: of a search, its trials by run id: ``cell``, ``setting`` (its number) and ``seed``.
            These are in no cell: the trials of a cell are those that confirm its best setting.
        rankings: of a search, the numbers of each cell's settings that have trained to their end,
            the best first.
        beside_the_best: of a search, the ids of trials that confirm settings after the best one.
    """

    axes: list[str]
    table: pd.DataFrame
    of_trial: pd.Series
    seeds: pd.Series
    metric: Metric = TEST_ACCURACY
    kind: SweepKind = NETWORKS
    tried: pd.DataFrame | None = None
    rankings: Sequence[Sequence[int]] = ()
    beside_the_best: frozenset[str] = frozenset()

    def best_settings(self, rank: int = 0) -> list[int | None]:
        """The number of each cell's best setting in a search; None where none is known.

        Args:
            rank: 1 is the next best setting, and so on.
        """
        return [its[rank] if rank < len(its) else None for its in self.rankings]

    def is_of_search(self, run_ids: pd.Index[Any]) -> Any:
        """Whether each of these runs is of a search, and in no cell, as an array."""
        tried = [] if self.tried is None else self.tried.index.tolist()
        return run_ids.isin([*tried, *self.beside_the_best])

    @property
    def series(self) -> str:
        """The axis whose values are compared, and drawn in different colours."""
        return self.kind.series(self.axes)


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


def assign_cells(
    records: Records,
    spec: SpecCells | None,
    histories: Mapping[str, Sequence[float]] | None = None,
    rankings: Sequence[Sequence[int]] = (),
    rank: int = 0,
) -> Cells:
    """Assign each recorded trial to its cell.

    Of several trials with the same configuration, only one is in a cell: the one whose key the spec
    wants, or the newest if the key includes a user's module, whose code may have changed.

    Args:
        histories: of a search, the values by epoch of the metric that chooses settings, by run id.
        rankings: see ``Cells``; given in place of histories.
        rank: the trials of a cell are those of the setting with this place in its ranking.
    """
    if spec is None:
        return _from_trials(records)
    places = _places(records, spec)
    if spec.search is None:
        return _cells(spec, records, places)
    return _of_search(records, spec, spec.search, places, histories or {}, rankings, rank)


def _of_search(
    records: Records,
    spec: SpecCells,
    search: Search,
    places: Sequence[_Place],
    histories: Mapping[str, Sequence[float]],
    rankings: Sequence[Sequence[int]],
    rank: int,
) -> Cells:
    """Cells of a search: the trials of a cell are those that confirm its best setting."""
    tried = [
        (run_id, *_cell_and_number(spec, place[0]), place[1])
        for run_id, place in zip(records.runs.index, places, strict=True)
        if place is not None and place[1] < search.seeds
    ]
    table = pd.DataFrame(tried, columns=["run_id", "cell", "setting", "seed"]).set_index("run_id")
    rankings = rankings or _rankings(table, search, histories, len(spec.table))

    def confirmed(place: _Place, ranks: slice) -> _Place:
        if place is None or place[1] < search.seeds:
            return None
        cell, number = _cell_and_number(spec, place[0])
        return (cell, place[1]) if number in rankings[cell][ranks] else None

    cells = _cells(spec, records, [confirmed(place, slice(rank, rank + 1)) for place in places])
    others = slice(1, spec.confirmed)
    beside = [
        str(run)
        for run, place in zip(records.runs.index, places, strict=True)
        if confirmed(place, others)
    ]
    return replace(cells, tried=table, rankings=rankings, beside_the_best=frozenset(beside))


def _cell_and_number(spec: SpecCells, place: int) -> tuple[int, int]:
    cell, setting = spec.settings[place]
    return cell, setting.number


def _rankings(
    tried: pd.DataFrame, search: Search, histories: Mapping[str, Sequence[float]], n_cells: int
) -> list[list[int]]:
    """The numbers of the settings whose trials have all finished, by cell, the best first.

    A setting that was pruned is not among them.
    """
    ranked: list[list[tuple[float, int]]] = [[] for _ in range(n_cells)]
    of_setting = tried.groupby(["cell", "setting"]).groups
    for (cell, number), run_ids in cast("Mapping[tuple[int, int], Any]", of_setting).items():
        if len(run_ids) >= search.seeds:
            progress = [TrialProgress(histories.get(str(run), ()), True) for run in run_ids]
            ranked[cell].append((-score(progress, search.judged_by()), number))
    return [[number for _, number in sorted(of_cell)] for of_cell in ranked]


_Place = tuple[int, int] | None
"""A cell, or the place of a setting, and a seed; None where a spec does not want a trial."""


def _places(records: Records, spec: SpecCells) -> list[_Place]:
    runs = records.runs
    places = [spec.of_key.get(key) for key in runs["trial_key"]]
    unknown = [
        run_id
        for run_id, key, place in zip(runs.index, runs["trial_key"], places, strict=True)
        # A run without a key may come from another program.
        if place is None and (spec.own or not _KEY.fullmatch(key or ""))
    ]
    if unknown:
        taken = set(places)
        by_config = _by_config(records.param_rows(unknown), spec)
        others = {run_id: place for run_id, place in by_config.items() if place not in taken}
        newest = _newest(runs.loc[list(others)], others)
        places = [newest.get(run_id, at) for run_id, at in zip(runs.index, places, strict=True)]
    return places


def _cells(spec: SpecCells, records: Records, places: Sequence[_Place]) -> Cells:
    cells, seeds = (
        pd.Series([place and place[part] for place in places], records.runs.index, dtype="Int64")
        for part in (0, 1)
    )
    return Cells(spec.axes, spec.table, cells, seeds, spec.metric, spec.kind)


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
    given = params.reindex(columns=["seed"])["seed"].astype(object)
    texts = given.where(given.notna(), None).tolist()
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
    table[AS_BUILT] = [
        is_as_built({str(k): value_of(v) for k, v in config.items() if isinstance(v, str)}, axes)
        for config in params.loc[first.index].to_dict("records")
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
