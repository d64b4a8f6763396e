"""The tables of a sweep's searches."""

from __future__ import annotations

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import Metric
from orchestration.model.run import PRUNED
from orchestration.results import frames
from orchestration.results.cells import assign_cells
from orchestration.results.effects.search_budget import best_of_settings
from orchestration.results.effects.search_importance import search_importance
from orchestration.results.effects.searching import (
    dimensions_of_cells,
    search_table,
    searched_cells,
)
from orchestration.results.spec_cells import spec_cells
from orchestration.results.sweep_reader import SweepReader, declaring_spec, with_or_without_cell
from orchestration.sweep.dimension import Dimension
from orchestration.sweep.recorded_spec import read_spec
from orchestration.sweep.search import Search


class SearchResults(SweepReader):
    """The part of ``Results`` that is about searches."""

    def search(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per setting that a search tries, cell by cell.

        ``orchestration.results.effects.searching.search_table`` describes the columns.
        """
        records, cells = self._read([])
        text = records.spec
        if cells.tried is None or text is None:
            raise InputError("search() is of sweeps whose spec has a search; this one has none")
        spec, of_spec = read_spec(text), spec_cells(text)
        assert spec.search is not None
        tried = cells.tried
        outcomes = {str(run): outcome for run, outcome in records.runs["outcome"].items()}
        others = self._source.read(self.name, [], finished=False)
        placed = assign_cells(others, of_spec, rankings=cells.rankings).tried
        assert placed is not None
        # Of several runs of a trial the one that has its result counts, or else the newest.
        known = set(tried.itertuples(index=False, name=None))
        newest = placed.loc[others.runs.loc[placed.index, "started"].sort_values().index]
        newest = newest[~newest.duplicated(keep="last")]
        open_ones = [row not in known for row in newest.itertuples(index=False, name=None)]
        tried = pd.concat([tried, newest[open_ones]])
        pruned = (others.runs["outcome"] == PRUNED) & (others.runs["status"] == "KILLED")
        outcomes |= dict.fromkeys(map(str, others.runs.index[pruned]), PRUNED)
        metrics = [spec.search.judged_by().name, "epoch_seconds"]
        points = self.points(tried.index.tolist(), metrics)
        table = search_table(spec, cells, of_spec, tried, points, outcomes)
        return with_or_without_cell(table, numbered)

    def searched(self) -> pd.DataFrame:
        """Return one row per cell: its search, its best setting, and the accuracy with fresh seeds.

        ``orchestration.results.effects.searching.searched_cells`` describes the columns.
        """
        once = self.snapshot()
        table = once.search(numbered=True)
        best = frames.best_of_seeds(once.records, once.cells)
        counts = declaring_spec(once.records).setting_counts()
        return searched_cells(table, best, once.cells, once.searched_by, counts)

    def confirmed(self) -> pd.DataFrame:
        """Return one row per confirmed setting, each cell's best one first.

        Comparisons, gaps and verdicts are of rank 1, whichever setting is the best with fresh
        seeds: these seeds would otherwise choose the setting that they report.

        Returns:
            The axes; ``search_rank``; the columns of ``searched()`` from ``searched_best`` on.
        """
        once = self.snapshot()
        table, text = once.search(numbered=True), once.records.spec
        assert text is not None
        spec, of_spec = read_spec(text), spec_cells(text)
        by_rank = []
        for rank in range(of_spec.confirmed):
            cells = assign_cells(once.records, of_spec, rankings=once.cells.rankings, rank=rank)
            best = frames.best_of_seeds(once.records, cells)
            counts = spec.setting_counts()
            rows = searched_cells(table, best, cells, once.searched_by, counts, rank)
            rows.insert(len(cells.axes), "search_rank", rank + 1)
            by_rank.append(rows[[number is not None for number in cells.best_settings(rank)]])
        whole = pd.concat(by_rank).sort_index(kind="stable").reset_index(drop=True)
        spent = ["n_settings", "n_settings_expected", "n_pruned", "epochs", "hours"]
        return whole.drop(columns=spent)

    def search_best(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return the expected score of the best of n settings of a search, for each cell and n.

        ``orchestration.results.effects.search_budget.best_of_settings`` describes the columns.
        """
        once = self.snapshot()
        table, adaptive = once.search(numbered=True), once.is_adaptive
        axes, metric = once.cells.axes, once.searched_by
        table = best_of_settings(table, axes, metric, is_adaptive=adaptive)
        return with_or_without_cell(table, numbered)

    def search_importance(self, *, numbered: bool = False) -> pd.DataFrame:
        """Give how much each key of the space matters, for each cell of a search.

        ``orchestration.results.effects.search_importance.search_importance`` describes the columns.
        """
        once = self.snapshot()
        table = once.search(numbered=True)
        found = search_importance(table, once.cells.axes, once.searched_by, once.dimensions)
        return with_or_without_cell(found, numbered)

    @property
    def dimensions(self) -> list[dict[str, Dimension]]:
        """The dimensions of the space that each cell has, by key."""
        return dimensions_of_cells(declaring_spec(self.records))

    @property
    def searched_by(self) -> Metric:
        """The metric by which the search chooses settings."""
        return self._search.judged_by()

    @property
    def is_adaptive(self) -> bool:
        """Whether some settings of the search depend on earlier ones."""
        return self._search.sampler == "tpe"

    @property
    def sampled(self) -> set[tuple[int, int]]:
        """The settings that are a sample of the space: the numbers of cell and setting."""
        of_cells = enumerate(declaring_spec(self.records).settings())
        return {(cell, one.number) for cell, its in of_cells for one in its if one.is_sampled}

    @property
    def _search(self) -> Search:
        search = declaring_spec(self.records).search
        assert search is not None
        return search
