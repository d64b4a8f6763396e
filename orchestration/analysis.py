"""Finished runs → tables of numbers: what a user asks a sweep for from Python.

    results = Results("digits")
    results.best_of_seeds()

Every call reads the records anew, so the answers of a running sweep grow. Accuracies are
fractions of 1. ``docs/results.md`` explains every column and formula.
"""

from __future__ import annotations

import warnings

import pandas as pd

from orchestration.cells import Cells, assign_cells, typed, without_doubles
from orchestration.errors import InputError, SpecError
from orchestration.gap import dependency_gap
from orchestration.sources import EPOCH_METRICS, SPIKE_RATE, Records, RestSource, Source
from orchestration.spec import SweepSpec
from orchestration.sql_source import SqlSource, UnknownSchemaError
from orchestration.statistics import cell_statistics
from services.settings import Settings
from services.tracking import reading_uri

__all__ = ["Results"]


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
        self._read()

    def trials(self) -> pd.DataFrame:
        """Give a row a finished trial, in order of architecture, norm, other axes and seed.

        Columns: ``run_id``, ``trial_key``, ``outcome`` (completed, collapsed, diverged),
        ``in_spec`` (False where the sweep's spec, as it is now, does not want this trial), every
        parameter by its name, ``best_test_accuracy``, ``best_epoch``, ``last_<metric>`` (each
        epoch metric's value in the last epoch), ``started``, ``finished`` (UTC).
        """
        records, cells = self._read()
        runs, metrics = records.runs, records.metrics
        table = pd.DataFrame(
            {
                "run_id": runs.index.astype("str"),
                "trial_key": runs["trial_key"].astype("str"),
                "outcome": runs["outcome"].astype("str"),
                "in_spec": cells.of_trial.notna(),
            }
        ).rename_axis(index=None)
        for name in records.params:
            table[name] = typed(records.params[name])
        table["best_test_accuracy"] = _metric(records, "best_test_accuracy")
        table["best_epoch"] = _metric(records, "best_epoch").astype("Int64")
        spike_rates = [name for name in map(str, metrics) if name.startswith(SPIKE_RATE)]
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
        _, cells = self._read()
        points = self._source.points(trials["run_id"].tolist())
        wide = points.pivot(index=["run_id", "epoch"], columns="metric", values="value")
        spike_rates = sorted(name for name in map(str, wide) if name.startswith(SPIKE_RATE))
        wide = wide.reindex(columns=[*EPOCH_METRICS, *spike_rates]).rename_axis(columns=None)
        named = [name for name in (*cells.axes, "seed") if name in trials]
        identity = trials[["run_id", "trial_key", "in_spec", *named]]
        curves = identity.assign(order=range(len(identity))).merge(
            wide.reset_index().astype({"run_id": "str", "epoch": "int64"}), on="run_id"
        )
        return curves.sort_values(["order", "epoch"]).drop(columns="order").reset_index(drop=True)

    def best_of_seeds(self) -> pd.DataFrame:
        """Give a row a cell of the grid, in the spec's order, also where nothing has finished.

        Columns: the grid's axes; ``best`` (over epochs, then over seeds, on the test set) and
        ``best_seed``; ``mean``, ``std``, ``ci_low``, ``ci_high`` (95 % t-interval of the mean)
        over seeds; ``n_seeds`` finished of ``n_expected``, of these ``n_collapsed`` and
        ``n_diverged``. All seeds that have an accuracy count, collapsed ones too: chance is a
        result.
        """
        return _best_of_seeds(*self._read())

    def dependency_gap(self) -> pd.DataFrame:
        """Give a row an architecture: its norms side by side, and the gap between them.

        Columns as of ``orchestration.gap.dependency_gap``.
        """
        records, cells = self._read()
        return dependency_gap(_best_of_seeds(records, cells), cells.axes)

    def _read(self) -> tuple[Records, Cells]:
        records = without_doubles(self._source.read(self.name))
        return records, assign_cells(records, self._spec(records.spec))

    def _spec(self, text: str | None) -> SweepSpec | None:
        try:
            return None if text is None else SweepSpec.from_json(text)
        except SpecError as error:
            warnings.warn(
                f"the spec recorded with sweep {self.name!r} cannot be read ({error}); its cells "
                "are taken from its trials, so cells without any are not shown",
                stacklevel=4,
            )
            return None


def _metric(records: Records, name: str) -> pd.Series:
    if name in records.metrics:
        return records.metrics[name]
    return pd.Series(float("nan"), records.runs.index)


def _best_of_seeds(records: Records, cells: Cells) -> pd.DataFrame:
    missing = pd.Series(None, records.runs.index, dtype="str")
    trials = pd.DataFrame(
        {
            "cell": cells.of_trial,
            "seed": typed(records.params.get("seed", missing)),
            "accuracy": _metric(records, "best_test_accuracy"),
            "outcome": records.runs["outcome"],
        }
    )
    trials = trials[trials["cell"].notna()].astype({"cell": "int64"})
    found = cell_statistics(trials).reindex(cells.table.index)
    table = cells.table[cells.axes].join(found)
    counts = ["n_seeds", "n_collapsed", "n_diverged"]
    table[counts] = table[counts].fillna(0).astype("int64")
    table.insert(list(table).index("n_seeds") + 1, "n_expected", cells.table["n_expected"])
    return table.reset_index(drop=True)


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
