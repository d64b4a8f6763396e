"""One read of a sweep, and every table that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.reading.records import (
    DIAGNOSTICS,
    EPOCH_METRICS,
    SPIKE_RATE,
    Records,
    is_wanted,
)
from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY, LAYERS_TAG, SAMPLE_TAG
from orchestration.results.cells import Cells, params_of_runs, typed
from orchestration.results.columns import AS_BUILT, EXPECTED_BEST, N_COMMON, SELECTED_ON, TEST_SET
from orchestration.results.deciding.decisions import decisions
from orchestration.results.deciding.evidence_curves import evidence_curves
from orchestration.results.deciding.hours import trial_hours
from orchestration.results.effects.diagnostics import by_layer, orders_of
from orchestration.results.effects.differences import differences_from
from orchestration.results.effects.energy import energy, operations_of, samples_of
from orchestration.results.effects.norm_effects import dependency_gap, norm_differences, norm_gaps
from orchestration.results.effects.ranks import mean_ranks
from orchestration.results.effects.tuning import SELECTING_ACCURACY, basin, has_settings, tuned_gap
from orchestration.results.statistics import cell_statistics, expected_best
from orchestration.sweep.spec import SweepSpec

__all__ = ["LAST_TEST_ACCURACY", "METRIC_OF", "Snapshot", "refuse_own", "with_best"]

LAST_TEST_ACCURACY = TEST_ACCURACY.last_name
"""The test accuracy of a trial's last epoch, as a column."""


def metric_of(metric: Metric) -> dict[str, str]:
    """Which metric's last value a column of the trials in cells holds."""
    return {
        metric.best_name: metric.best_name,
        BEST_EPOCH: BEST_EPOCH,
        metric.last_name: metric.name,
    }


METRIC_OF = metric_of(TEST_ACCURACY)


@dataclass(frozen=True)
class Snapshot:
    """A sweep's finished trials in their cells, as they were read at one time.

    Tables are as ``Results`` describes them; those with a row a trial have the number of its
    ``cell`` besides, which is a row of best of seeds.

    Args:
        records: the sweep's, with the metrics that the tables asked for need.
        cells: of its grid, and which trial is in which.
        points: gives metrics of runs by epoch, as of ``Source``; curves alone ask for them.
    """

    records: Records
    cells: Cells
    points: Callable[[Sequence[str], Collection[str]], pd.DataFrame]

    @property
    def metric(self) -> Metric:
        """What the trials are judged by."""
        return self.cells.metric

    def trials(self) -> pd.DataFrame:
        """A row a finished trial; ``cell`` is missing where the spec does not want it."""
        records, runs, params = self.records, self.records.runs, params_of_runs(self.records)
        table = pd.DataFrame(
            {
                "run_id": runs.index.astype("str"),
                "trial_key": runs["trial_key"].astype("str"),
                "outcome": runs["outcome"].astype("str"),
                "in_spec": self.cells.of_trial.notna(),
            }
        ).rename_axis(index=None)
        for name in params:
            table[name] = typed(params[name])
        table[self.metric.best_name] = self._metric(self.metric.best_name)
        table[BEST_EPOCH] = self._metric(BEST_EPOCH).astype("Int64")
        for name in self._by_epoch(map(str, records.metrics)):
            table[f"last_{name}"] = self._metric(name)
        for name in ("started", "finished"):
            table[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
        table["cell"] = self.cells.of_trial
        order = [name for name in (*self.cells.axes, "seed") if name in table]
        return table.sort_values([*order, "run_id"], na_position="first").reset_index(drop=True)

    def curves(self, trials: pd.DataFrame) -> pd.DataFrame:
        """A row a (trial, epoch) of these of the ``trials()``."""
        by_epoch = self._by_epoch(map(str, self.records.metrics))
        recorded = [name for name in by_epoch if name in self.records.metrics]
        points = self.points(trials["run_id"].tolist(), recorded)
        wide = points.pivot(index=["run_id", "epoch"], columns="metric", values="value")
        wide = wide.reindex(columns=self._by_epoch(map(str, wide))).rename_axis(columns=None)
        return self._of_trials(wide.reset_index(), trials)

    @property
    def diagnosed(self) -> list[str]:
        """Ids of the runs that have diagnostics."""
        known = self.records.metrics[self._diagnostics].notna().any(axis="columns")
        return known.index[known].tolist()

    @property
    def _diagnostics(self) -> list[str]:
        if self.cells.train is not None:  # whatever the user's own metrics are called
            return []
        return [name for name in map(str, self.records.metrics) if is_wanted(name, DIAGNOSTICS)]

    def diagnostics(self, trials: pd.DataFrame) -> pd.DataFrame:
        """A row a (trial, epoch, layer) of these of the ``trials()``; of a trial without, none."""
        recorded = self._diagnostics
        run_ids = trials["run_id"].tolist() if recorded else []
        orders = orders_of(self.records.tag_rows([LAYERS_TAG]) if recorded else ())
        return self._of_trials(by_layer(self.points(run_ids, recorded), orders), trials)

    def _of_trials(self, rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
        """What was recorded by ``run_id`` and ``epoch``, with what its trial is, in their order."""
        named = [name for name in (*self.cells.axes, "seed") if name in trials]
        identity = trials[["run_id", "trial_key", "in_spec", *named, "cell"]]
        table = identity.assign(order=range(len(identity))).merge(
            rows.astype({"run_id": "str", "epoch": "int64"}), on="run_id"
        )
        table = table.sort_values(["order", "epoch"], kind="stable")
        return table.drop(columns="order").reset_index(drop=True)

    def operations(self, trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
        """A row a (trial, layer) of these of the ``trials()``, from their ``curves()``."""
        recorded = {run_id: text for run_id, _, text in self.records.tag_rows([SAMPLE_TAG])}
        return operations_of(trials, curves, samples_of(trials, recorded))

    def energy(self, trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
        """A row a cell."""
        trials = trials[trials["cell"].notna()].astype({"cell": "int64"})
        return energy(trials, self.operations(trials, curves), self._named_cells())

    def best_of_seeds(self, *, last: bool = False) -> pd.DataFrame:
        """A row a cell; of the last epoch instead of each seed's best, if asked for."""
        column = self.metric.last_name if last else self.metric.best_name
        trials, of_cells = self._trials_in_cells(column), self.cells.table
        found = cell_statistics(trials.rename(columns={column: "accuracy"}), self.metric)
        table = of_cells[self.cells.axes].join(found)
        counts = ["n_seeds", "n_collapsed", "n_diverged"]
        table[counts] = table[counts].fillna(0).astype("int64")
        # Seeds until decided: what is certain, and what was bought besides.
        wanted = of_cells["n_expected"].clip(lower=table["n_seeds"])
        table.insert(list(table).index("n_seeds") + 1, "n_expected", wanted)
        by_cell = trials.dropna(subset=column).groupby("cell")[column]
        common = int(by_cell.size().min()) if len(by_cell) else 0
        table[EXPECTED_BEST] = by_cell.agg(
            lambda values: expected_best(values.tolist(), common, self.metric)
        )
        table[N_COMMON] = common
        table[SELECTED_ON] = None if last else of_cells[SELECTED_ON]
        return table.reset_index(drop=True)

    def by_seed(self) -> pd.DataFrame:
        """A row a trial that counts."""
        columns = metric_of(self.metric)
        trials = self._trials_in_cells(*columns)
        trials[BEST_EPOCH] = trials[BEST_EPOCH].astype("Int64")
        of_cell = self.cells.table[[*self.cells.axes, SELECTED_ON]]
        table = trials.sort_values(["cell", "seed"]).join(of_cell, on="cell")
        table = table.reset_index(names="run_id").astype({"run_id": "str", "outcome": "str"})
        names = ["seed", *columns, "outcome", "run_id", SELECTED_ON, "cell"]
        return table[[*self.cells.axes, *names]]

    def expected_best(self) -> pd.DataFrame:
        """A row a cell and n."""
        found = []
        for number, group in self.by_seed().groupby("cell"):
            cell = self.cells.table.loc[number].to_dict()
            known = group[self.metric.best_name].dropna().tolist()
            for n in range(1, len(known) + 1):
                value = expected_best(known, n, self.metric)
                found.append({**cell, "n": n, "expected_best": value, "cell": number})
        columns = [*self.cells.axes, "n", "expected_best", SELECTED_ON, "cell"]
        return pd.DataFrame(found, columns=columns)

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """A row a pair of norms in a setting."""
        self._refuse_own("norm_differences()")
        valid = (BEST_TEST_ACCURACY, LAST_TEST_ACCURACY)
        if accuracy not in valid:
            raise InputError(f"accuracy must be {' or '.join(valid)}, got {accuracy!r}")
        seeds = self.by_seed()
        if accuracy == LAST_TEST_ACCURACY:
            seeds[SELECTED_ON] = None
        return norm_differences(seeds, self.cells.axes, accuracy)

    def differences(self, *, last: bool = False) -> pd.DataFrame:
        """A row a cell that the spec's ``baseline`` has a counterpart of."""
        if not self.cells.baseline:
            raise InputError(
                "differences are from what a spec names as baseline, with training code of your "
                "own; this sweep's names none"
            )
        seeds = self.by_seed()
        if last:
            seeds[SELECTED_ON] = None
        column = self.metric.last_name if last else self.metric.best_name
        return differences_from(self.cells.baseline, seeds, self.cells.axes, column, self.metric)

    def mean_ranks(self) -> pd.DataFrame:
        """A row a norm of a setting that has many."""
        self._refuse_own("mean_ranks()")
        return mean_ranks(self.by_seed(), self.norm_differences(), self.cells.axes)

    def dependency_gap(self, *, by_norm: bool = False, tuned: bool = False) -> pd.DataFrame:
        """A row a setting, or a network; or a row a norm in it."""
        self._refuse_own("dependency_gap()")
        if tuned:
            return tuned_gap(*self._settings(), by_norm=by_norm)
        table = (norm_gaps if by_norm else dependency_gap)(self.best_of_seeds(), self.cells.axes)
        return table.reset_index(drop=True)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """A row a norm of a network."""
        self._refuse_own("basin()")
        return basin(*self._settings(), points)

    def comparable_basins(self) -> pd.DataFrame | None:
        """The basins, where several norms have several settings each; None: nothing to compare."""
        basins = self.basin()
        return basins if (basins["n_settings_expected"] > 1).sum() > 1 else None

    def _settings(self) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
        """The cells, each trial's accuracies in its best epoch, and the axes."""
        seeds, cells = self.by_seed(), self.best_of_seeds().join(self.cells.table[AS_BUILT])
        held_out = self.points(seeds["run_id"].tolist(), ["validation_accuracy"])
        found = seeds[["run_id", BEST_EPOCH]].merge(
            held_out, "left", left_on=["run_id", BEST_EPOCH], right_on=["run_id", "epoch"]
        )
        on_test_set = seeds[SELECTED_ON] == TEST_SET
        seeds[SELECTING_ACCURACY] = seeds[BEST_TEST_ACCURACY].where(on_test_set, found["value"])
        return cells, seeds, self.cells.axes

    @property
    def has_settings(self) -> bool:
        """Whether the sweep has an axis that can be tuned."""
        return self.cells.train is None and has_settings(self.cells.axes)

    @property
    def has_decisions(self) -> bool:
        """Whether the sweep declares comparisons."""
        text = self.records.spec
        return text is not None and bool(json.loads(text).get("compare"))

    def decisions(self) -> pd.DataFrame:
        """A row a declared comparison."""
        spec = self._spec()
        return decisions(self._named_cells(), self.by_seed(), spec, self.trial_hours(spec))

    def evidence(self) -> pd.DataFrame:
        """A row a declared comparison and pair of seeds."""
        return evidence_curves(self._named_cells(), self.by_seed(), self._spec())

    def trial_hours(self, spec: SweepSpec) -> list[float] | None:
        """What a trial of each cell takes, as of the function of this name."""
        trials = self._trials_in_cells("epoch_seconds").dropna(subset="epoch_seconds")
        columns = (trials[name] for name in ("cell", "epoch_seconds", "outcome"))
        return trial_hours(spec, zip(*columns, strict=True))

    def _spec(self) -> SweepSpec:
        if self.records.spec is None:
            raise InputError("this sweep has no spec, so it declares no comparisons")
        return SweepSpec.from_json(self.records.spec)

    def _named_cells(self) -> pd.DataFrame:
        return self.cells.table[[*self.cells.axes, SELECTED_ON]]

    def _refuse_own(self, what: str) -> None:
        refuse_own(what, self.cells.train)

    def _by_epoch(self, recorded: Iterable[str]) -> list[str]:
        """The metrics that epochs have; of our own training, some always."""
        if self.cells.train is not None:
            once = (BEST_EPOCH, self.metric.best_name)
            return sorted({"epoch_seconds", *recorded}.difference(once))
        return [*EPOCH_METRICS, *sorted(name for name in recorded if name.startswith(SPIKE_RATE))]

    def _trials_in_cells(self, *columns: str) -> pd.DataFrame:
        trials = pd.DataFrame(
            {
                "cell": self.cells.of_trial,
                "seed": self.cells.seeds,
                **{
                    column: self._metric(metric_of(self.metric).get(column, column))
                    for column in columns
                },
                "outcome": self.records.runs["outcome"],
            }
        )
        return trials[trials["cell"].notna()].astype({"cell": "int64"})

    def _metric(self, name: str) -> pd.Series:
        if name in self.records.metrics:
            return self.records.metrics[name]
        return pd.Series(float("nan"), self.records.runs.index)


def with_best(records: Records, metric: Metric, points: pd.DataFrame) -> Records:
    """Records with the best epoch of each run by a metric, and its value, taken from all epochs.

    So that what a trial is judged by may change after it was trained.

    Args:
        points: of this metric, as ``Source.points`` gives them.
    """
    points = points.sort_values(["run_id", "epoch"])
    best: dict[str, tuple[float, float]] = {}
    for run_id, of_run in points.groupby("run_id"):
        place = metric.best(of_run["value"].tolist())
        if place is not None:
            row = of_run.iloc[place]
            best[str(run_id)] = float(row["value"]), float(row["epoch"])
    nothing = (float("nan"), float("nan"))
    found = [best.get(run_id, nothing) for run_id in records.metrics.index]
    values, epochs = zip(*found, strict=True) if found else ((), ())
    index = records.metrics.index
    columns = {
        metric.best_name: pd.Series(values, index, dtype="float64"),
        BEST_EPOCH: pd.Series(epochs, index, dtype="float64"),
    }
    return replace(records, metrics=records.metrics.assign(**columns))


def refuse_own(what: str, train: str | None) -> None:
    """Refuse what a sweep of training code of the user's own has not.

    Raises:
        InputError: it is such a sweep.
    """
    if train is not None:
        raise InputError(
            f"{what} is of this package's networks; this sweep trains {train}: see differences(), "
            "of a spec with a baseline"
        )
