"""Finished runs → tables of numbers: what a user asks a sweep for from Python.

    results = Results("digits")
    results.best_of_seeds()

Every call reads the records anew, so the answers of a running sweep grow. Accuracies are
fractions of 1. ``docs/results.md`` explains every column and formula.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.reading.records import DIAGNOSTICS
from orchestration.record.names import BEST_TEST_ACCURACY, LAYERS_TAG, SAMPLE_TAG
from orchestration.results import frames
from orchestration.results.columns import AS_BUILT, SELECTED_ON
from orchestration.results.deciding.decisions import decisions
from orchestration.results.deciding.evidence_curves import evidence_curves
from orchestration.results.deciding.hours import trial_hours
from orchestration.results.effects.diagnostics import by_layer, orders_of
from orchestration.results.effects.differences import differences_from
from orchestration.results.effects.energy import energy, operations_of, samples_of
from orchestration.results.effects.norm_effects import dependency_gap, norm_differences, norm_gaps
from orchestration.results.effects.ranks import mean_ranks
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

_BY_SEED = tuple(METRIC_OF.values())


class Results(SweepReader):
    """The finished trials of one sweep.

    Args:
        name: the sweep's name, which is that of its MLflow experiment; or a file that ``snn-sweep
            export`` wrote, which ends in .jsonl or .jsonl.gz or has a slash in its path.
        tracking_uri: MLflow's tracking server; default: the one the settings name or that runs
            here. Given alone, it also decides against the settings' database.
        database_url: MLflow's database, to be read directly and never written; default:
            ``SNN_SWEEP_DATABASE_URL``, unset: the answers go over MLflow's REST API.

    Raises:
        InputError: there is no sweep of this name, and the message lists those that are; or no
            such file.
        ServiceError: the server or the database cannot be reached.
    """

    def trials(self, *, numbered: bool = False) -> pd.DataFrame:
        """Give a row a finished trial, in order of architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False where the sweep's spec, as it is now, does not want this trial), every
        parameter by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each
        epoch metric's value in the last epoch), ``started``, ``finished`` (UTC).

        Args:
            numbered: give the number of each trial's ``cell`` besides, a row of best of seeds.
        """
        return with_or_without_cell(frames.all_trials(*self._read()), numbered)

    def curves(self, trials: pd.DataFrame | None = None, *, numbered: bool = False) -> pd.DataFrame:
        """Give a row a (trial, epoch): what each finished trial recorded by epoch.

        Columns: ``run_id``, ``trial_key``, ``in_spec``, the grid's axes, ``seed``, ``epoch`` (from
        1), then a column an epoch metric, NaN where nothing was recorded.

        Args:
            trials: of these numbered trials alone.
            numbered: as of ``trials``.
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
        """Give a row a (trial, epoch, layer): what the layers of each finished trial were like.

        Epoch 0 is before the first step. Columns: ``run_id``, ``trial_key``, ``in_spec``, the
        grid's axes, ``seed``, ``epoch``, ``layer`` (in the network's order), then those of
        ``orchestration.results.effects.diagnostics``. A trial without diagnostics has no row.

        Args:
            trials, numbered: as of ``curves``.
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
        """Give a row a (trial, layer): the synaptic operations of its best epoch, an image.

        Columns: ``run_id``, ``layer`` (in the network's order), ``accumulates``,
        ``multiply_accumulates``, ``energy_nj``; counted as :mod:`snn_norm.networks.operations`
        says. A trial of a network of the user's own has no row.

        Args:
            trials: of these numbered trials alone.
            curves: theirs, if they have been read.
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
        """Give a row a cell: what its networks cost an image, beside their accuracy.

        Columns as of ``orchestration.results.effects.energy.energy``.

        Args:
            trials, curves: as of ``operations``.
            numbered: have the number of each cell as index.
        """
        once = self.snapshot()
        once.cells.kind.check_networks("energy()")
        wanted = once.trials(numbered=True) if trials is None else trials
        wanted = wanted[wanted["cell"].notna()].astype({"cell": "int64"})
        table = energy(wanted, once.operations(wanted, curves), named_cells(once.cells))
        return table if numbered else table.reset_index(drop=True)

    def best_of_seeds(self) -> pd.DataFrame:
        """Give a row a cell of the grid, in the spec's order, also where nothing has finished.

        Columns: the grid's axes; ``best`` (of each seed's best epoch, the largest test accuracy)
        and ``best_seed``; ``mean``, ``std``, ``ci_low``, ``ci_high`` (95 % t-interval of the mean)
        over seeds; ``n_seeds`` finished of ``n_expected``, of these ``n_collapsed`` and
        ``n_diverged``; ``expected_best``, what the best of ``n_common`` of its seeds is on average,
        which is as many as every cell has that has any; ``selected_on``, in words, the images that
        selected the best epochs. All seeds that have an accuracy count, collapsed ones too: chance
        is a result.
        """
        return frames.best_of_seeds(*self._read([BEST_TEST_ACCURACY]))

    def last_epoch(self) -> pd.DataFrame:
        """Give best of seeds of the last epoch, which nothing selected.

        Columns as of ``best_of_seeds``; ``selected_on`` is missing.
        """
        return frames.best_of_seeds(*self._read([METRIC_OF[LAST_TEST_ACCURACY]]), last=True)

    def by_seed(self, *, numbered: bool = False) -> pd.DataFrame:
        """Give a row a trial that counts, in order of cell and seed: each value behind a mean.

        Columns: the grid's axes, ``seed``, ``best_test_accuracy``, ``best_epoch``,
        ``last_test_accuracy``, ``outcome``, ``run_id``, ``selected_on``; and ``cell`` if numbered.
        """
        return with_or_without_cell(frames.seeds_of(*self._read(_BY_SEED)), numbered)

    def expected_best(self, *, numbered: bool = False) -> pd.DataFrame:
        """Give what a best of n seeds is worth on average, for each n up to the seeds at hand.

        Columns: the grid's axes, ``n``, ``expected_best`` (of
        the best epochs, by the statistics' function of that name), ``selected_on``. A cell without
        an accuracy has no row. Numbered ones have the number of their ``cell`` besides.
        """
        return with_or_without_cell(
            frames.expected_bests(*self._read([BEST_TEST_ACCURACY])), numbered
        )

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """Give a row a pair of norms in a setting: their difference, paired by seed, and its test.

        Args:
            accuracy: best_test_accuracy or last_test_accuracy.

        Columns as of ``orchestration.results.effects.norm_effects.norm_differences``.
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
        """Give a row a norm, the best first, of each setting that has at least four.

        Columns as of ``orchestration.results.effects.ranks.mean_ranks``.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("mean_ranks()")
        return mean_ranks(once.by_seed(), once.norm_differences(), once.cells.axes)

    def differences(self, *, last: bool = False) -> pd.DataFrame:
        """Give a row a cell that differs from the spec's ``baseline`` in one axis, and the test.

        Args:
            last: compare the last epochs, which nothing selected, instead of the best ones.

        Columns as of ``orchestration.results.effects.differences.differences_from``.
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
        """Give a row an architecture: its norms side by side, and the gap between them.

        Args:
            by_norm: give a row each norm instead: what it adds to none, the standard one marked.
            tuned: give the gap as built beside that of both sides at their best settings.

        Columns as of ``orchestration.results.effects.norm_effects.dependency_gap``, or
        ``norm_gaps``; of the tuned one as of ``orchestration.results.effects.tuning.tuned_gap``.
        """
        once = self.snapshot(_BY_SEED if tuned else [BEST_TEST_ACCURACY])
        once.cells.kind.check_networks("dependency_gap()")
        if tuned:
            return tuned_gap(*once._settings(), by_norm=by_norm)
        table = (norm_gaps if by_norm else dependency_gap)(once.best_of_seeds(), once.cells.axes)
        return table.reset_index(drop=True)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """Give a row each norm: the share of its settings that end near the best one.

        Args:
            points: how near, in percentage points.

        Columns as of ``orchestration.results.effects.tuning.basin``.
        """
        once = self.snapshot(_BY_SEED)
        once.cells.kind.check_networks("basin()")
        return basin(*once._settings(), points)

    def _settings(self) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
        """The cells, each trial's accuracies in its best epoch, and the axes."""
        records, cells = self._read()
        seeds = frames.seeds_of(records, cells)
        held_out = self.points(seeds["run_id"].tolist(), ["validation_accuracy"])
        best = frames.best_of_seeds(records, cells).join(cells.table[AS_BUILT])
        return best, with_selecting(seeds, held_out), cells.axes

    def decisions(self) -> pd.DataFrame:
        """Give a row a comparison that the spec declares: its verdict, as far as records go.

        Columns as of ``orchestration.results.deciding.decisions.decisions``.
        """
        records, cells = self._read([*_BY_SEED, "epoch_seconds"])
        spec = declaring_spec(records)
        trials = frames.trials_in_cells(records, cells, "epoch_seconds")
        columns = ("cell", "epoch_seconds", "outcome")
        epochs = trials.dropna(subset="epoch_seconds")[list(columns)]
        hours = trial_hours(spec, epochs.itertuples(index=False, name=None))
        return decisions(named_cells(cells), frames.seeds_of(records, cells), spec, hours)

    def evidence(self, *, numbered: bool = False) -> pd.DataFrame:
        """Give a row a declared comparison and pair of seeds: how its evidence grew.

        Columns as of ``orchestration.results.deciding.evidence_curves.evidence_curves``.
        """
        records, cells = self._read(_BY_SEED)
        seeds = frames.seeds_of(records, cells)
        return with_or_without_cell(
            evidence_curves(named_cells(cells), seeds, declaring_spec(records)), numbered
        )

    def compare_versions(self, first: str, second: str) -> pd.DataFrame:
        """Give a row a cell: its trials by two versions of the code, paired by seed, and a test.

        Args:
            first, second: versions of this package, or the beginnings of commits.

        Columns as of ``orchestration.results.versions.compare_versions``.
        """
        records = self._source.read(self.name, _BY_SEED, replaced=True)
        spec = self._spec(records.spec)
        if spec is not None:
            spec.kind.check_networks("compare_versions()")
        return compare_versions(records, spec, first, second)

    def models(self) -> pd.DataFrame:
        """Give a row a trial that counts: the trained model that it left, or why it left none.

        Columns as of ``orchestration.results.models.models_table``.
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
        """Give a trained model: a network in evaluation, from uint8 images to logits.

        Of this package's networks it is a ``snn_norm.training.models.saved_model.TrainedModel``.
        Of training code of the user's own it is what ``snn_norm.load_own_model`` gives: the run
        with its model loaded, or a dictionary of ``state``, ``config``, ``epoch``, ``metrics``.

        Others can write to the tracking server, so no code runs that only its record names:
        code of the user's own is imported if ``own_code`` or ``cell`` names it.

        Args:
            run_id: of a trial's run in MLflow; or
            cell: its seed, and of the grid's axes as many as tell it apart, such as
                ``architecture="snn", norm="bntt", seed=42``.
            device: where it is to compute.
            own_code: the user's own network, norm or training code, ``package.module:name``, one
                name or several.

        Raises:
            InputError: none is meant, or several are, or it has no model, or its network cannot
                be made here, or is of code that the caller does not name.
            ServiceError: the tracking server has it not, or cannot be reached.
        """
        records, cells = self._read(_BY_SEED)
        chosen = chosen_run(models_table(records, cells, self.points), run_id, cell)
        named = [own_code] if isinstance(own_code, str) else list(own_code)
        named += [value for value in cell.values() if isinstance(value, str)]
        with ModelServer.at(self._tracking_uri) as server:
            return server.load(chosen, device, cells.kind, named)
