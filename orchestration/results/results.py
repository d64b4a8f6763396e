"""Finished runs → tables of numbers: what a user asks a sweep for from Python.

    results = Results("digits")
    results.best_of_seeds()

Every call reads the records anew, so the answers of a running sweep grow. Accuracies are
fractions of 1. ``docs/results.md`` explains every column and formula.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any

import pandas as pd

from orchestration.errors import InputError, SpecError
from orchestration.model.metric import Metric
from orchestration.reading.open import open_sweep
from orchestration.reading.records import (
    ALL_METRICS,
    DIAGNOSTICS,
    EVERY_METRIC,
    Records,
    SweepSource,
)
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.cells import SpecCells, assign_cells, spec_cells, without_doubles
from orchestration.results.models import ModelServer, chosen_run, models_table
from orchestration.results.snapshot import (
    LAST_TEST_ACCURACY,
    METRIC_OF,
    Snapshot,
    refuse_own,
    with_best,
)
from orchestration.results.versions import compare_versions

__all__ = ["Results"]


class Results:
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

    def __init__(
        self, name: str, *, tracking_uri: str | None = None, database_url: str | None = None
    ) -> None:
        self._tracking_uri = tracking_uri
        self._source: SweepSource
        self.name, self._source = open_sweep(name, tracking_uri, database_url)

    @classmethod
    def of(cls, source: SweepSource, name: str) -> Results:
        """The trials of one sweep, from a source that is open; whether there is one shows later."""
        results = cls.__new__(cls)
        results.name, results._source, results._tracking_uri = name, source, None
        return results

    def snapshot(self, metrics: Collection[str] = ALL_METRICS) -> Snapshot:
        """Read the sweep once, for several tables of the same runs.

        Args:
            metrics: those to read; the tables of a snapshot are of no others.
        """
        records = without_doubles(self._source.read(self.name, metrics))
        spec = self._spec(records.spec)
        if spec is not None and spec.train is not None:
            # Only the spec tells which of the user's own metrics counts.
            records = without_doubles(self._source.read(self.name, [EVERY_METRIC]))
            self._check_recorded(spec.metric, records)
            points = self._source.points(records.runs.index.tolist(), [spec.metric.name])
            records = with_best(records, spec.metric, points)
        return Snapshot(records, assign_cells(records, spec), self._source.points)

    def trials(self) -> pd.DataFrame:
        """Give a row a finished trial, in order of architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False where the sweep's spec, as it is now, does not want this trial), every
        parameter by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each
        epoch metric's value in the last epoch), ``started``, ``finished`` (UTC).
        """
        return self.snapshot().trials().drop(columns="cell")

    def curves(self) -> pd.DataFrame:
        """Give a row a (trial, epoch): what each finished trial recorded by epoch.

        Columns: ``run_id``, ``trial_key``, ``in_spec``, the grid's axes, ``seed``, ``epoch`` (from
        1), then a column an epoch metric, NaN where nothing was recorded.
        """
        snapshot = self.snapshot()
        return snapshot.curves(snapshot.trials()).drop(columns="cell")

    def diagnostics(self) -> pd.DataFrame:
        """Give a row a (trial, epoch, layer): what the layers of each finished trial were like.

        Epoch 0 is before the first step. Columns: ``run_id``, ``trial_key``, ``in_spec``, the
        grid's axes, ``seed``, ``epoch``, ``layer`` (in the network's order), then those of
        ``orchestration.results.effects.diagnostics``. A trial without diagnostics has no row.
        """
        snapshot = self.snapshot(DIAGNOSTICS)
        return snapshot.diagnostics(snapshot.trials()).drop(columns="cell")

    def operations(self) -> pd.DataFrame:
        """Give a row a (trial, layer): the synaptic operations of its best epoch, an image.

        Columns: ``run_id``, ``layer`` (in the network's order), ``accumulates``,
        ``multiply_accumulates``, ``energy_nj``; counted as :mod:`snn_norm.networks.operations`
        says. A trial of a network of the user's own has no row.
        """
        snapshot = self.snapshot()
        trials = snapshot.trials()
        return snapshot.operations(trials, snapshot.curves(trials))

    def energy(self) -> pd.DataFrame:
        """Give a row a cell: what its networks cost an image, beside their accuracy.

        Columns as of ``orchestration.results.effects.energy.energy``.
        """
        snapshot = self.snapshot()
        trials = snapshot.trials()
        return snapshot.energy(trials, snapshot.curves(trials)).reset_index(drop=True)

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
        return self.snapshot([BEST_TEST_ACCURACY]).best_of_seeds()

    def last_epoch(self) -> pd.DataFrame:
        """Give best of seeds of the last epoch, which nothing selected.

        Columns as of ``best_of_seeds``; ``selected_on`` is missing.
        """
        return self.snapshot([METRIC_OF[LAST_TEST_ACCURACY]]).best_of_seeds(last=True)

    def by_seed(self) -> pd.DataFrame:
        """Give a row a trial that counts, in order of cell and seed: each value behind a mean.

        Columns: the grid's axes, ``seed``, ``best_test_accuracy``, ``best_epoch``,
        ``last_test_accuracy``, ``outcome``, ``run_id``, ``selected_on``.
        """
        return self.snapshot(METRIC_OF.values()).by_seed().drop(columns="cell")

    def expected_best(self) -> pd.DataFrame:
        """Give what a best of n seeds is worth on average, for each n up to the seeds at hand.

        Columns: the grid's axes, ``n``, ``expected_best`` (of
        the best epochs, by the statistics' function of that name), ``selected_on``. A cell without
        an accuracy has no row.
        """
        return self.snapshot([BEST_TEST_ACCURACY]).expected_best().drop(columns="cell")

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """Give a row a pair of norms in a setting: their difference, paired by seed, and its test.

        Args:
            accuracy: best_test_accuracy or last_test_accuracy.

        Columns as of ``orchestration.results.effects.norm_effects.norm_differences``.
        """
        return self.snapshot(METRIC_OF.values()).norm_differences(accuracy)

    def mean_ranks(self) -> pd.DataFrame:
        """Give a row a norm, the best first, of each setting that has at least four.

        Columns as of ``orchestration.results.effects.ranks.mean_ranks``.
        """
        return self.snapshot(METRIC_OF.values()).mean_ranks()

    def differences(self, *, last: bool = False) -> pd.DataFrame:
        """Give a row a cell that differs from the spec's ``baseline`` in one axis, and the test.

        Args:
            last: compare the last epochs, which nothing selected, instead of the best ones.

        Columns as of ``orchestration.results.effects.differences.differences_from``.
        """
        return self.snapshot(METRIC_OF.values()).differences(last=last)

    def dependency_gap(self, *, by_norm: bool = False, tuned: bool = False) -> pd.DataFrame:
        """Give a row an architecture: its norms side by side, and the gap between them.

        Args:
            by_norm: give a row each norm instead: what it adds to none, the standard one marked.
            tuned: give the gap as built beside that of both sides at their best settings.

        Columns as of ``orchestration.results.effects.norm_effects.dependency_gap``, or
        ``norm_gaps``; of the tuned one as of ``orchestration.results.effects.tuning.tuned_gap``.
        """
        metrics = METRIC_OF.values() if tuned else [BEST_TEST_ACCURACY]
        return self.snapshot(metrics).dependency_gap(by_norm=by_norm, tuned=tuned)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """Give a row each norm: the share of its settings that end near the best one.

        Args:
            points: how near, in percentage points.

        Columns as of ``orchestration.results.effects.tuning.basin``.
        """
        return self.snapshot(METRIC_OF.values()).basin(points)

    def decisions(self) -> pd.DataFrame:
        """Give a row a comparison that the spec declares: its verdict, as far as records go.

        Columns as of ``orchestration.results.deciding.decisions.decisions``.
        """
        return self.snapshot([*METRIC_OF.values(), "epoch_seconds"]).decisions()

    def evidence(self) -> pd.DataFrame:
        """Give a row a declared comparison and pair of seeds: how its evidence grew.

        Columns as of ``orchestration.results.deciding.evidence_curves.evidence_curves``.
        """
        return self.snapshot(METRIC_OF.values()).evidence().drop(columns="cell")

    def compare_versions(self, first: str, second: str) -> pd.DataFrame:
        """Give a row a cell: its trials by two versions of the code, paired by seed, and a test.

        Args:
            first, second: versions of this package, or the beginnings of commits.

        Columns as of ``orchestration.results.versions.compare_versions``.
        """
        records = self._source.read(self.name, METRIC_OF.values(), replaced=True)
        spec = self._spec(records.spec)
        if spec is not None:
            refuse_own("compare_versions()", spec.train)
        return compare_versions(records, spec, first, second)

    def models(self) -> pd.DataFrame:
        """Give a row a trial that counts: the trained model that it left, or why it left none.

        Columns as of ``orchestration.results.models.models_table``.
        """
        return models_table(self.snapshot(METRIC_OF.values()))

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
        snapshot = self.snapshot(METRIC_OF.values())
        chosen = chosen_run(models_table(snapshot), run_id, cell)
        named = [own_code] if isinstance(own_code, str) else list(own_code)
        named += [value for value in cell.values() if isinstance(value, str)]
        own = snapshot.cells.train is not None
        with ModelServer.at(self._tracking_uri) as server:
            return server.load(chosen, device, own=own, own_code=named)

    def _check_recorded(self, metric: Metric, records: Records) -> None:
        recorded = list(map(str, records.metrics))
        if recorded and metric.name not in recorded:
            raise InputError(
                f"no trial of sweep {self.name!r} has recorded {metric.name!r}, which its spec "
                f"names as metric; they have {', '.join(recorded)}: name one of these"
            )

    def _spec(self, text: str | None) -> SpecCells | None:
        try:
            return None if text is None else spec_cells(text)
        except SpecError as error:
            warnings.warn(
                f"the spec recorded with sweep {self.name!r} cannot be read ({error}); its cells "
                "are taken from its trials, so cells without any are not shown",
                stacklevel=4,
            )
            return None
