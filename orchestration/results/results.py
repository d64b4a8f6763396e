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
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results import frames
from orchestration.results.cells import Cells
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.results.deciding.decisions import decisions, evidence_curves
from orchestration.results.deciding.hours import trial_hours
from orchestration.results.effects.differences import differences_from
from orchestration.results.effects.norm_effects import dependency_gap, norm_differences, norm_gaps
from orchestration.results.effects.ranks import mean_ranks
from orchestration.results.effects.search_budget import searched_basin, tuned_gap_by_budget
from orchestration.results.effects.tuning import basin, tuned_gap, with_selecting
from orchestration.results.frames import LAST_TEST_ACCURACY, METRIC_OF
from orchestration.results.models import ModelServer, chosen_run, models_table
from orchestration.results.search_results import SearchResults
from orchestration.results.sweep_reader import declaring_spec, named_cells, with_or_without_cell
from orchestration.results.trial_results import TrialResults
from orchestration.results.versions import compare_versions

_BY_SEED = tuple(METRIC_OF.values())


class Results(TrialResults, SearchResults):
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
        return with_or_without_cell(self._seeds()[0], numbered)

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

        ``docs/results.md`` describes the columns.
        """
        seeds, cells = self._seeds(last=accuracy == LAST_TEST_ACCURACY)
        cells.kind.check_networks("norm_differences()")
        valid = (BEST_TEST_ACCURACY, LAST_TEST_ACCURACY)
        if accuracy not in valid:
            raise InputError(f"accuracy must be {' or '.join(valid)}, got {accuracy!r}")
        return norm_differences(seeds, cells.axes, accuracy)

    def _seeds(self, *, last: bool = False) -> tuple[pd.DataFrame, Cells]:
        """The trials that count, and the cells. Nothing has selected the last epochs."""
        records, cells = self._read(_BY_SEED)
        seeds = frames.seeds_of(records, cells)
        return seeds.assign(**{SELECTED_ON: None}) if last else seeds, cells

    def mean_ranks(self) -> pd.DataFrame:
        """Return one row per norm, the best first, of each setting that has at least four.

        ``docs/analyses.md`` describes the columns.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("mean_ranks()")
        return mean_ranks(once.by_seed(), once.norm_differences(), once.cells.axes)

    def differences(self, *, last: bool = False) -> pd.DataFrame:
        """Return one row per cell that differs from ``baseline`` in one axis, with a test.

        Args:
            last: compare the last epochs, which nothing selected, not the best ones.

        ``docs/results.md`` describes the columns.
        """
        seeds, cells = self._seeds(last=last)
        if not cells.kind.baseline:
            raise InputError(
                "differences are from what a spec names as baseline, with training code of your "
                "own; this sweep's names none"
            )
        column = cells.metric.last_name if last else cells.metric.best_name
        return differences_from(cells.kind.baseline, seeds, cells.axes, column, cells.metric)

    def dependency_gap(self, *, by_norm: bool = False, tuned: bool = False) -> pd.DataFrame:
        """Return one row per architecture: its norms side by side, and the gap between them.

        Args:
            by_norm: return one row per norm with its gap to no norm; the standard norm is marked.
            tuned: return the gap at the reference's settings and at the best settings of each side;
                with a search, the gap of the best of n settings for each n.

        ``docs/results.md`` describes the columns; if tuned, ``docs/analyses.md`` does, or with a
        search ``docs/search.md``.
        """
        once = self.snapshot(_BY_SEED if tuned else [BEST_TEST_ACCURACY])
        once.cells.kind.check_networks("dependency_gap()")
        if tuned and once.has_search:
            table, adaptive = once.search(numbered=True), once.is_adaptive
            axes, metric = once.cells.axes, once.searched_by
            return tuned_gap_by_budget(table, axes, metric, by_norm=by_norm, is_adaptive=adaptive)
        if tuned:
            return tuned_gap(*once._settings(), by_norm=by_norm)
        table = (norm_gaps if by_norm else dependency_gap)(once.best_of_seeds(), once.cells.axes)
        return table.reset_index(drop=True)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """Return one row per norm: the share of its settings that are nearly the best.

        Args:
            points: how near, in percentage points.

        ``docs/analyses.md`` describes the columns; with a search, ``docs/search.md`` does.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("basin()")
        if once.has_search:
            table = once.search(numbered=True)
            axes, metric, margin = once.cells.axes, once.searched_by, points / 100
            return searched_basin(table, axes, metric, margin, once.sampled)
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

        ``docs/seeds-until-decided.md`` describes the columns.
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

        ``docs/seeds-until-decided.md`` describes the columns.
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

        ``docs/publishing.md`` describes the columns.
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
