"""Finished runs → tables of numbers: what a user asks a sweep for from Python.

    results = Results("digits")
    results.best_of_seeds()

Every call reads the records anew, so the answers of a running sweep grow. Accuracies are
fractions of 1. ``docs/results.md`` explains every column and formula.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pandas as pd

from orchestration.errors import InputError, SpecError
from orchestration.reading.records import ALL_METRICS, EPOCH_METRICS, SPIKE_RATE, Records, Source
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource
from orchestration.reading.sql_schema import UnknownSchemaError
from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY
from orchestration.results.cells import (
    Cells,
    SpecCells,
    assign_cells,
    params_of_runs,
    spec_cells,
    typed,
    without_doubles,
)
from orchestration.results.dependency_gap import dependency_gap
from orchestration.results.norm_differences import norm_differences
from orchestration.results.selection import SELECTED_ON
from orchestration.results.statistics import cell_statistics, expected_best
from services.settings import Settings
from services.tracking import reading_uri

__all__ = ["LAST_TEST_ACCURACY", "Results"]

LAST_TEST_ACCURACY = "last_test_accuracy"
"""The test accuracy of a trial's last epoch, as a column."""

_METRIC_OF = {
    BEST_TEST_ACCURACY: BEST_TEST_ACCURACY,
    BEST_EPOCH: BEST_EPOCH,
    LAST_TEST_ACCURACY: "test_accuracy",
}
"""Which metric's last value a column of the trials in cells holds."""


class Results:
    """The finished trials of one sweep.

    Args:
        name: the sweep's name, which is that of its MLflow experiment.
        tracking_uri: MLflow's tracking server; default: the one the settings name or that runs
            here. Given alone, it also decides against the settings' database.
        database_url: MLflow's database, to be read directly and never written; default:
            ``SNN_SWEEP_DATABASE_URL``, unset: the answers go over MLflow's REST API.

    Raises:
        InputError: there is no sweep of this name; the message lists those that are.
        ServiceError: the server or the database cannot be reached.
    """

    def __init__(
        self, name: str, *, tracking_uri: str | None = None, database_url: str | None = None
    ) -> None:
        self.name = name
        self._source = _open_source(tracking_uri, database_url)
        self._source.check(name)

    def trials(self) -> pd.DataFrame:
        """Give a row a finished trial, in order of architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False where the sweep's spec, as it is now, does not want this trial), every
        parameter by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each
        epoch metric's value in the last epoch), ``started``, ``finished`` (UTC).
        """
        records, cells = self._read(ALL_METRICS)
        runs, params = records.runs, params_of_runs(records)
        table = pd.DataFrame(
            {
                "run_id": runs.index.astype("str"),
                "trial_key": runs["trial_key"].astype("str"),
                "outcome": runs["outcome"].astype("str"),
                "in_spec": cells.of_trial.notna(),
            }
        ).rename_axis(index=None)
        for name in params:
            table[name] = typed(params[name])
        table[BEST_TEST_ACCURACY] = _metric(records, BEST_TEST_ACCURACY)
        table[BEST_EPOCH] = _metric(records, BEST_EPOCH).astype("Int64")
        spike_rates = [name for name in map(str, records.metrics) if name.startswith(SPIKE_RATE)]
        for name in (*EPOCH_METRICS, *spike_rates):
            table[f"last_{name}"] = _metric(records, name)
        for name in ("started", "finished"):
            table[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
        order = [name for name in (*cells.axes, "seed") if name in table]
        return table.sort_values([*order, "run_id"], na_position="first").reset_index(drop=True)

    def curves(self) -> pd.DataFrame:
        """Give a row a (trial, epoch): what each finished trial recorded by epoch.

        Columns: ``run_id``, ``trial_key``, ``in_spec``, the grid's axes, ``seed``, ``epoch`` (from
        1), then a column an epoch metric, NaN where nothing was recorded.
        """
        trials = self.trials()
        axes = self._read(())[1].axes
        recorded = [name[5:] for name in map(str, trials) if name.startswith("last_")]
        points = self._source.points(trials["run_id"].tolist(), recorded)
        wide = points.pivot(index=["run_id", "epoch"], columns="metric", values="value")
        spike_rates = sorted(name for name in map(str, wide) if name.startswith(SPIKE_RATE))
        wide = wide.reindex(columns=[*EPOCH_METRICS, *spike_rates]).rename_axis(columns=None)
        named = [name for name in (*axes, "seed") if name in trials]
        identity = trials[["run_id", "trial_key", "in_spec", *named]]
        curves = identity.assign(order=range(len(identity))).merge(
            wide.reset_index().astype({"run_id": "str", "epoch": "int64"}), on="run_id"
        )
        return curves.sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)

    def best_of_seeds(self) -> pd.DataFrame:
        """Give a row a cell of the grid, in the spec's order, also where nothing has finished.

        Columns: the grid's axes; ``best`` (of each seed's best epoch, the largest test accuracy)
        and ``best_seed``; ``mean``, ``std``, ``ci_low``, ``ci_high`` (95 % t-interval of the mean)
        over seeds; ``n_seeds`` finished of ``n_expected``, of these ``n_collapsed`` and
        ``n_diverged``; ``selected_on``, in words, the images that selected the best epochs. All
        seeds that have an accuracy count, collapsed ones too: chance is a result.
        """
        return self._cell_table(BEST_TEST_ACCURACY)[1]

    def last_epoch(self) -> pd.DataFrame:
        """Give best of seeds of the last epoch, which nothing selected.

        Columns as of ``best_of_seeds``; ``selected_on`` is missing.
        """
        return self._cell_table(LAST_TEST_ACCURACY)[1]

    def by_seed(self) -> pd.DataFrame:
        """Give a row a trial that counts, in order of cell and seed: each value behind a mean.

        Columns: the grid's axes, ``seed``, ``best_test_accuracy``, ``best_epoch``,
        ``last_test_accuracy``, ``outcome``, ``run_id``, ``selected_on``.
        """
        return self._by_seed()[1].drop(columns="cell")

    def expected_best(self) -> pd.DataFrame:
        """Give what a best of n seeds is worth on average, for each n up to the seeds at hand.

        Columns: the grid's axes, ``n``, ``expected_best`` (of
        the best epochs, by the statistics' function of that name), ``selected_on``. A cell without
        an accuracy has no row.
        """
        cells, seeds = self._by_seed()
        found = []
        for number, group in seeds.groupby("cell"):
            cell = cells.table.loc[number].to_dict()
            known = group[BEST_TEST_ACCURACY].dropna().tolist()
            for n in range(1, len(known) + 1):
                found.append({**cell, "n": n, "expected_best": expected_best(known, n)})
        return pd.DataFrame(found, columns=[*cells.axes, "n", "expected_best", SELECTED_ON])

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """Give a row a pair of norms in a setting: their difference, paired by seed, and its test.

        Args:
            accuracy: best_test_accuracy or last_test_accuracy.

        Columns as of ``orchestration.results.norm_differences.norm_differences``.
        """
        valid = (BEST_TEST_ACCURACY, LAST_TEST_ACCURACY)
        if accuracy not in valid:
            raise InputError(f"accuracy must be {' or '.join(valid)}, got {accuracy!r}")
        cells, seeds = self._by_seed()
        if accuracy == LAST_TEST_ACCURACY:
            seeds[SELECTED_ON] = None
        return norm_differences(seeds, cells.axes, accuracy)

    def dependency_gap(self) -> pd.DataFrame:
        """Give a row an architecture: its norms side by side, and the gap between them.

        Columns as of ``orchestration.results.dependency_gap.dependency_gap``.
        """
        cells, best = self._cell_table(BEST_TEST_ACCURACY)
        return dependency_gap(best, cells.axes)

    def _cell_table(self, accuracy: str) -> tuple[Cells, pd.DataFrame]:
        cells, trials = self._trials_in_cells(accuracy)
        found = cell_statistics(trials.rename(columns={accuracy: "accuracy"}))
        table = cells.table[cells.axes].join(found)
        counts = ["n_seeds", "n_collapsed", "n_diverged"]
        table[counts] = table[counts].fillna(0).astype("int64")
        table.insert(list(table).index("n_seeds") + 1, "n_expected", cells.table["n_expected"])
        table[SELECTED_ON] = cells.table[SELECTED_ON] if accuracy == BEST_TEST_ACCURACY else None
        return cells, table.reset_index(drop=True)

    def _by_seed(self) -> tuple[Cells, pd.DataFrame]:
        cells, trials = self._trials_in_cells(*_METRIC_OF)
        trials[BEST_EPOCH] = trials[BEST_EPOCH].astype("Int64")
        of_cell = cells.table[[*cells.axes, SELECTED_ON]]
        table = trials.sort_values(["cell", "seed"]).join(of_cell, on="cell")
        table = table.reset_index(names="run_id").astype({"run_id": "str", "outcome": "str"})
        names = ["seed", BEST_TEST_ACCURACY, BEST_EPOCH, LAST_TEST_ACCURACY, "outcome", "run_id"]
        return cells, table[["cell", *cells.axes, *names, SELECTED_ON]]

    def _trials_in_cells(self, *columns: str) -> tuple[Cells, pd.DataFrame]:
        records, cells = self._read([_METRIC_OF[column] for column in columns])
        trials = pd.DataFrame(
            {
                "cell": cells.of_trial,
                "seed": cells.seeds,
                **{column: _metric(records, _METRIC_OF[column]) for column in columns},
                "outcome": records.runs["outcome"],
            }
        )
        return cells, trials[trials["cell"].notna()].astype({"cell": "int64"})

    def _read(self, metrics: Collection[str]) -> tuple[Records, Cells]:
        with _collector_paused():
            records = without_doubles(self._source.read(self.name, metrics))
            return records, assign_cells(records, self._spec(records.spec))

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


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare rows by the ten thousand, none of which is garbage, full collections among torch's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _metric(records: Records, name: str) -> pd.Series:
    if name in records.metrics:
        return records.metrics[name]
    return pd.Series(float("nan"), records.runs.index)


def _open_source(tracking_uri: str | None, database_url: str | None) -> Source:
    settings = Settings.from_environment()
    if database_url is None and tracking_uri is None:
        database_url = settings.database_url
    if database_url is not None:
        try:
            return SqlSource(database_url)
        except UnknownSchemaError as error:
            warnings.warn(
                f"MLflow's database is read over its REST API, which is slower: {error}, "
                "which this version does not know",
                stacklevel=3,
            )
    uri = tracking_uri or reading_uri(settings)
    if uri is None:
        raise InputError(
            "nothing has been recorded on this machine yet: start a sweep with "
            "`snn-sweep run SPEC`, or name a tracking server with MLFLOW_TRACKING_URI"
        )
    return RestSource(uri)
