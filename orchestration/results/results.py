"""The tables of a sweep's finished trials, for use from Python.

    results = Results("digits")
    results.best_of_seeds()

Every call reads the records again, so the tables of a running sweep grow. Accuracies are
fractions of 1. ``docs/results.md`` explains every column and formula.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import Metric
from orchestration.model.run import PRUNED
from orchestration.reading.records import DIAGNOSTICS
from orchestration.record.names import BEST_TEST_ACCURACY, LAYERS_TAG, SAMPLE_TAG
from orchestration.results import frames
from orchestration.results.cells import assign_cells, spec_cells
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.results.deciding.decisions import decisions
from orchestration.results.deciding.evidence_curves import evidence_curves
from orchestration.results.deciding.hours import trial_hours
from orchestration.results.effects.diagnostics import by_layer, orders_of
from orchestration.results.effects.differences import differences_from
from orchestration.results.effects.energy import energy, operations_of, samples_of
from orchestration.results.effects.norm_effects import dependency_gap, norm_differences, norm_gaps
from orchestration.results.effects.ranks import mean_ranks
from orchestration.results.effects.searching import (
    best_of_settings,
    search_table,
    searched_basin,
    searched_cells,
    tuned_gap_by_budget,
)
from orchestration.results.effects.tuning import basin, tuned_gap, with_selecting
from orchestration.results.frames import LAST_TEST_ACCURACY, METRIC_OF
from orchestration.results.models import ModelServer, chosen_run, models_table
from orchestration.results.sweep_reader import (
    SweepReader,
    declaring_spec,
    named_cells,
    with_or_without_cell,
)
from orchestration.results.versions import compare_versions
from orchestration.sweep.recorded_spec import read_spec

_BY_SEED = tuple(METRIC_OF.values())


class Results(SweepReader):
    """The finished trials of one sweep.

    Args:
        name: the sweep's name, which is that of its MLflow experiment; or a file that ``snn-sweep
            export`` wrote, which ends in .jsonl or .jsonl.gz or has a slash in its path.
        tracking_uri: MLflow's tracking server; by default the one that the settings name or that
            runs here. If only it is given, the settings' database is not read.
        database_url: MLflow's database, which is read directly and never written; by default
            ``SNN_SWEEP_DATABASE_URL``. If that is unset, records are read over MLflow's REST API.

    Raises:
        InputError: there is no sweep of this name (the message lists those that exist), or no such
            file.
        ServiceError: the server or the database cannot be reached.
    """

    def trials(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per finished trial, by architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False if the sweep's current spec does not want this trial), every parameter
        by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each epoch metric's
        value in the last epoch), ``started``, ``finished`` (UTC).

        Args:
            numbered: add the number of each trial's ``cell``, which is a row of best of seeds.
        """
        return with_or_without_cell(frames.all_trials(*self._read()), numbered)

    def curves(self, trials: pd.DataFrame | None = None, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per finished trial and epoch.

        Columns: ``run_id``, ``trial_key``, ``in_spec``, the grid's axes, ``seed``, ``epoch`` (from
        1), then one column per epoch metric, NaN if nothing was recorded.

        Args:
            trials: the numbered trials to read; by default all.
            numbered: see ``trials``.
        """
        once = self.snapshot()
        wanted = once.trials(numbered=True) if trials is None else trials
        by_epoch = frames.metrics_by_epoch(once.cells, map(str, once.records.metrics))
        recorded = [name for name in by_epoch if name in once.records.metrics]
        points = once.points(wanted["run_id"].tolist(), recorded)
        return with_or_without_cell(frames.curves_of(points, once.cells, wanted), numbered)

    def diagnostics(
        self, trials: pd.DataFrame | None = None, *, numbered: bool = False
    ) -> pd.DataFrame:
        """Return one row per finished trial, epoch and layer, with the layer's diagnostics.

        Epoch 0 is before the first step. Columns: ``run_id``, ``trial_key``, ``in_spec``, the
        grid's axes, ``seed``, ``epoch``, ``layer`` (in the network's order), then those of
        ``orchestration.results.effects.diagnostics``. A trial without diagnostics has no row.

        Args:
            trials: only these numbered trials.
            numbered: see ``trials``.
        """
        once = self.snapshot(DIAGNOSTICS)
        wanted = once.trials(numbered=True) if trials is None else trials
        recorded = once._diagnostics
        run_ids = wanted["run_id"].tolist() if recorded else []
        orders = orders_of(once.records.tag_rows([LAYERS_TAG]) if recorded else ())
        layers = by_layer(once.points(run_ids, recorded), orders)
        return with_or_without_cell(frames.with_trials(layers, once.cells, wanted), numbered)

    def operations(
        self, trials: pd.DataFrame | None = None, curves: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Return one row per trial and layer: the synaptic operations per image at its best epoch.

        Columns: ``run_id``, ``layer`` (in the network's order), ``accumulates``,
        ``multiply_accumulates``, ``energy_nj``, ``folded_energy_nj``;
        :mod:`snn_norm.networks.operations` says how they are counted. A trial of the user's own
        network has no row.

        Args:
            trials: the numbered trials to read; by default all.
            curves: the curves of these trials, if they have been read.
        """
        once = self.snapshot()
        wanted = once.trials(numbered=True) if trials is None else trials
        rates = once.curves(wanted) if curves is None else curves
        recorded = {run_id: text for run_id, _, text in once.records.tag_rows([SAMPLE_TAG])}
        return operations_of(wanted, rates, samples_of(wanted, recorded))

    def energy(
        self,
        trials: pd.DataFrame | None = None,
        curves: pd.DataFrame | None = None,
        *,
        numbered: bool = False,
    ) -> pd.DataFrame:
        """Return one row per cell: the operations and energy per image, and the accuracy.

        ``orchestration.results.effects.energy.energy`` describes the columns.

        Args:
            trials: only these numbered trials.
            curves: their curves, if they have been read.
            numbered: make the number of each cell the index.
        """
        once = self.snapshot()
        once.cells.kind.check_networks("energy()")
        wanted = once.trials(numbered=True) if trials is None else trials
        wanted = wanted[wanted["cell"].notna()].astype({"cell": "int64"})
        table = energy(wanted, once.operations(wanted, curves), named_cells(once.cells))
        return table if numbered else table.reset_index(drop=True)

    def best_of_seeds(self) -> pd.DataFrame:
        """Return one row per cell of the grid, in the spec's order, also without finished trials.

        Columns: the grid's axes; ``best`` (the largest test accuracy of all seeds' best epochs)
        and ``best_seed``; ``mean``, ``std``, ``ci_low``, ``ci_high`` (95 % t-interval of the mean)
        over seeds; ``n_seeds`` finished of ``n_expected``, of these ``n_collapsed`` and
        ``n_diverged``; ``expected_best``, the mean best of ``n_common`` of its seeds, where
        ``n_common`` is the smallest number of seeds of any cell that has a result;
        ``selected_on``, the images that selected the best epochs, in words. All seeds that have an
        accuracy count, including collapsed ones: chance is a result.
        """
        return frames.best_of_seeds(*self._read([BEST_TEST_ACCURACY]))

    def last_epoch(self) -> pd.DataFrame:
        """Return best of seeds of the last epoch, which nothing selected.

        The columns are those of ``best_of_seeds``; ``selected_on`` is missing.
        """
        return frames.best_of_seeds(*self._read([METRIC_OF[LAST_TEST_ACCURACY]]), last=True)

    def by_seed(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per trial that counts, by cell and seed: the values behind the means.

        Columns: the grid's axes, ``seed``, ``best_test_accuracy``, ``best_epoch``,
        ``last_test_accuracy``, ``outcome``, ``run_id``, ``selected_on``; ``cell`` if numbered.
        """
        return with_or_without_cell(frames.seeds_of(*self._read(_BY_SEED)), numbered)

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
        others = self._unfinished()
        if others is not None:
            placed = assign_cells(others, of_spec, best_settings=cells.best_settings).tried
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
        return searched_cells(table, once.best_of_seeds(), once.cells, once.searched_by)

    def search_best(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return the expected score of the best of n settings of a search, for each cell and n.

        ``orchestration.results.effects.searching.best_of_settings`` describes the columns.
        """
        once = self.snapshot()
        table = best_of_settings(once.search(numbered=True), once.cells.axes, once.searched_by)
        return with_or_without_cell(table, numbered)

    @property
    def searched_by(self) -> Metric:
        """The metric by which the search chooses settings."""
        search = declaring_spec(self.records).search
        assert search is not None
        return search.judged_by()

    def expected_best(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return the mean best of n seeds for each cell and each n up to its number of seeds.

        Columns: the grid's axes, ``n``, ``expected_best`` (of the best epochs; see
        ``orchestration.results.statistics.expected_best``), ``selected_on``; ``cell`` if numbered.
        A cell without an accuracy has no row.
        """
        return with_or_without_cell(
            frames.expected_bests(*self._read([BEST_TEST_ACCURACY])), numbered
        )

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """Return one row per pair of norms in a setting, with a test of their difference by seed.

        Args:
            accuracy: best_test_accuracy or last_test_accuracy.

        ``orchestration.results.effects.norm_effects.norm_differences`` describes the columns.
        """
        records, cells = self._read(_BY_SEED)
        cells.kind.check_networks("norm_differences()")
        valid = (BEST_TEST_ACCURACY, LAST_TEST_ACCURACY)
        if accuracy not in valid:
            raise InputError(f"accuracy must be {' or '.join(valid)}, got {accuracy!r}")
        seeds = frames.seeds_of(records, cells)
        if accuracy == LAST_TEST_ACCURACY:
            seeds[SELECTED_ON] = None
        return norm_differences(seeds, cells.axes, accuracy)

    def mean_ranks(self) -> pd.DataFrame:
        """Return one row per norm, the best first, of each setting that has at least four.

        ``orchestration.results.effects.ranks.mean_ranks`` describes the columns.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("mean_ranks()")
        return mean_ranks(once.by_seed(), once.norm_differences(), once.cells.axes)

    def differences(self, *, last: bool = False) -> pd.DataFrame:
        """Return one row per cell that differs from ``baseline`` in one axis, with a test.

        Args:
            last: compare the last epochs, which nothing selected, not the best ones.

        ``orchestration.results.effects.differences.differences_from`` describes the columns.
        """
        records, cells = self._read(_BY_SEED)
        if not cells.kind.baseline:
            raise InputError(
                "differences are from what a spec names as baseline, with training code of your "
                "own; this sweep's names none"
            )
        seeds = frames.seeds_of(records, cells)
        if last:
            seeds[SELECTED_ON] = None
        column = cells.metric.last_name if last else cells.metric.best_name
        return differences_from(cells.kind.baseline, seeds, cells.axes, column, cells.metric)

    def dependency_gap(self, *, by_norm: bool = False, tuned: bool = False) -> pd.DataFrame:
        """Return one row per architecture: its norms side by side, and the gap between them.

        Args:
            by_norm: return one row per norm with its gap to no norm; the standard norm is marked.
            tuned: return the gap at the reference's settings and at the best settings of each side;
                with a search, the gap of the best of n settings for each n.

        ``dependency_gap`` and ``norm_gaps`` in ``orchestration.results.effects.norm_effects``
        describe the columns; if tuned, ``orchestration.results.effects.tuning.tuned_gap`` does, or
        with a search ``orchestration.results.effects.searching.tuned_gap_by_budget``.
        """
        once = self.snapshot(_BY_SEED if tuned else [BEST_TEST_ACCURACY])
        once.cells.kind.check_networks("dependency_gap()")
        if tuned and once.has_search:
            table = once.search(numbered=True)
            axes = once.cells.axes
            return tuned_gap_by_budget(table, axes, once.searched_by, by_norm=by_norm)
        if tuned:
            return tuned_gap(*once._settings(), by_norm=by_norm)
        table = (norm_gaps if by_norm else dependency_gap)(once.best_of_seeds(), once.cells.axes)
        return table.reset_index(drop=True)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """Return one row per norm: the share of its settings that are nearly the best.

        Args:
            points: how near, in percentage points.

        ``orchestration.results.effects.tuning.basin`` describes the columns; with a search,
        ``orchestration.results.effects.searching.searched_basin`` does.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("basin()")
        if once.has_search:
            table = once.search(numbered=True)
            return searched_basin(table, once.cells.axes, once.searched_by, points / 100)
        return basin(*once._settings(), points)

    def _settings(self) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
        """The cells, the accuracies of each trial in its best epoch, and the axes."""
        records, cells = self._read()
        seeds = frames.seeds_of(records, cells)
        held_out = self.points(seeds["run_id"].tolist(), ["validation_accuracy"])
        best = frames.best_of_seeds(records, cells).join(cells.table[AS_BUILT])
        return best, with_selecting(seeds, held_out), cells.axes

    def decisions(self) -> pd.DataFrame:
        """Return one row per comparison that the spec declares, with its verdict so far.

        ``orchestration.results.deciding.decisions.decisions`` describes the columns.
        """
        records, cells = self._read([*_BY_SEED, "epoch_seconds"])
        spec = declaring_spec(records)
        trials = frames.trials_in_cells(records, cells, "epoch_seconds")
        columns = ("cell", "epoch_seconds", "outcome")
        epochs = trials.dropna(subset="epoch_seconds")[list(columns)]
        hours = trial_hours(spec, epochs.itertuples(index=False, name=None))
        return decisions(named_cells(cells), frames.seeds_of(records, cells), spec, hours)

    def evidence(self, *, numbered: bool = False) -> pd.DataFrame:
        """Return one row per declared comparison and pair of seeds: the growth of its evidence.

        ``orchestration.results.deciding.evidence_curves.evidence_curves`` describes the columns.
        """
        records, cells = self._read(_BY_SEED)
        seeds = frames.seeds_of(records, cells)
        return with_or_without_cell(
            evidence_curves(named_cells(cells), seeds, declaring_spec(records)), numbered
        )

    def compare_versions(self, first: str, second: str) -> pd.DataFrame:
        """Return one row per cell: a test between two versions of the code, paired by seed.

        Args:
            first: a version of this package, or the beginning of a commit.
            second: another one.

        ``orchestration.results.versions.compare_versions`` describes the columns.
        """
        records = self._source.read(self.name, _BY_SEED, replaced=True)
        spec = self._spec(records.spec)
        if spec is not None:
            spec.kind.check_networks("compare_versions()")
        return compare_versions(records, spec, first, second)

    def models(self) -> pd.DataFrame:
        """Return one row per trial that counts: its trained model, or why there is none.

        ``orchestration.results.models.models_table`` describes the columns.
        """
        return models_table(*self._read(_BY_SEED), self.points)

    def model(
        self,
        run_id: str | None = None,
        *,
        device: str = "cpu",
        own_code: str | Iterable[str] = (),
        **cell: Any,
    ) -> Any:
        """Return a trained model: a network in evaluation mode, from uint8 images to logits.

        For this package's networks it is a ``snn_norm.training.models.saved_model.TrainedModel``.
        For the user's own training code it is what ``snn_norm.load_own_model`` returns: the run
        with its model loaded, or a dictionary of ``state``, ``config``, ``epoch``, ``metrics``.

        Others can write to the tracking server, so code that only the record names never runs:
        the user's own code is imported only if ``own_code`` or ``cell`` names it.

        Args:
            run_id: the id of a trial's run in MLflow; or
            cell: the trial's seed, and as many of the grid's axes as identify it, such as
                ``architecture="snn", norm="bntt", seed=42``.
            device: where the model computes.
            own_code: the user's own network, norm or training code, ``package.module:name``, one
                name or several.

        Raises:
            InputError: no trial matches, or several do, or the trial has no model, or its network
                cannot be built here, or belongs to code that the caller does not name.
            ServiceError: the tracking server does not have the model, or cannot be reached.
        """
        records, cells = self._read(_BY_SEED)
        chosen = chosen_run(models_table(records, cells, self.points), run_id, cell)
        named = [own_code] if isinstance(own_code, str) else list(own_code)
        named += [value for value in cell.values() if isinstance(value, str)]
        with ModelServer.at(self._tracking_uri) as server:
            return server.load(chosen, device, cells.kind, named)
