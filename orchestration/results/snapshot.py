"""One read of a sweep, and every table that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from orchestration.errors import InputError
from orchestration.reading.records import (
    DIAGNOSTICS,
    EPOCH_METRICS,
    SPIKE_RATE,
    Records,
    is_wanted,
)
from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY, LAYERS_TAG
from orchestration.results.cells import Cells, params_of_runs, typed
from orchestration.results.columns import AS_BUILT, EXPECTED_BEST, N_COMMON, SELECTED_ON, TEST_SET
from orchestration.results.decisions import decisions
from orchestration.results.diagnostics import by_layer, orders_of
from orchestration.results.evidence_curves import evidence_curves
from orchestration.results.hours import trial_hours
from orchestration.results.norm_effects import dependency_gap, norm_differences, norm_gaps
from orchestration.results.ranks import mean_ranks
from orchestration.results.statistics import cell_statistics, expected_best
from orchestration.results.tuning import SELECTING_ACCURACY, basin, has_settings, tuned_gap
from orchestration.sweep.spec import SweepSpec

__all__ = ["LAST_TEST_ACCURACY", "METRIC_OF", "Snapshot"]

LAST_TEST_ACCURACY = "last_test_accuracy"
"""The test accuracy of a trial's last epoch, as a column."""

METRIC_OF = {
    BEST_TEST_ACCURACY: BEST_TEST_ACCURACY,
    BEST_EPOCH: BEST_EPOCH,
    LAST_TEST_ACCURACY: "test_accuracy",
}
"""Which metric's last value a column of the trials in cells holds."""


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
        table[BEST_TEST_ACCURACY] = self._metric(BEST_TEST_ACCURACY)
        table[BEST_EPOCH] = self._metric(BEST_EPOCH).astype("Int64")
        spike_rates = [name for name in map(str, records.metrics) if name.startswith(SPIKE_RATE)]
        for name in (*EPOCH_METRICS, *spike_rates):
            table[f"last_{name}"] = self._metric(name)
        for name in ("started", "finished"):
            table[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
        table["cell"] = self.cells.of_trial
        order = [name for name in (*self.cells.axes, "seed") if name in table]
        return table.sort_values([*order, "run_id"], na_position="first").reset_index(drop=True)

    def curves(self, trials: pd.DataFrame) -> pd.DataFrame:
        """A row a (trial, epoch) of these of the ``trials()``."""
        recorded = [
            name
            for name in map(str, self.records.metrics)
            if name in EPOCH_METRICS or name.startswith(SPIKE_RATE)
        ]
        points = self.points(trials["run_id"].tolist(), recorded)
        wide = points.pivot(index=["run_id", "epoch"], columns="metric", values="value")
        spike_rates = sorted(name for name in map(str, wide) if name.startswith(SPIKE_RATE))
        wide = wide.reindex(columns=[*EPOCH_METRICS, *spike_rates]).rename_axis(columns=None)
        return self._of_trials(wide.reset_index(), trials)

    @property
    def diagnosed(self) -> list[str]:
        """Ids of the runs that have diagnostics."""
        known = self.records.metrics[self._diagnostics].notna().any(axis="columns")
        return known.index[known].tolist()

    @property
    def _diagnostics(self) -> list[str]:
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

    def best_of_seeds(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """A row a cell; of the last epoch if that is the accuracy."""
        trials, of_cells = self._trials_in_cells(accuracy), self.cells.table
        found = cell_statistics(trials.rename(columns={accuracy: "accuracy"}))
        table = of_cells[self.cells.axes].join(found)
        counts = ["n_seeds", "n_collapsed", "n_diverged"]
        table[counts] = table[counts].fillna(0).astype("int64")
        # Seeds until decided: what is certain, and what was bought besides.
        wanted = of_cells["n_expected"].clip(lower=table["n_seeds"])
        table.insert(list(table).index("n_seeds") + 1, "n_expected", wanted)
        by_cell = trials.dropna(subset=accuracy).groupby("cell")[accuracy]
        common = int(by_cell.size().min()) if len(by_cell) else 0
        table[EXPECTED_BEST] = by_cell.agg(lambda values: expected_best(values.tolist(), common))
        table[N_COMMON] = common
        table[SELECTED_ON] = of_cells[SELECTED_ON] if accuracy == BEST_TEST_ACCURACY else None
        return table.reset_index(drop=True)

    def by_seed(self) -> pd.DataFrame:
        """A row a trial that counts."""
        trials = self._trials_in_cells(*METRIC_OF)
        trials[BEST_EPOCH] = trials[BEST_EPOCH].astype("Int64")
        of_cell = self.cells.table[[*self.cells.axes, SELECTED_ON]]
        table = trials.sort_values(["cell", "seed"]).join(of_cell, on="cell")
        table = table.reset_index(names="run_id").astype({"run_id": "str", "outcome": "str"})
        names = ["seed", *METRIC_OF, "outcome", "run_id", SELECTED_ON, "cell"]
        return table[[*self.cells.axes, *names]]

    def expected_best(self) -> pd.DataFrame:
        """A row a cell and n."""
        found = []
        for number, group in self.by_seed().groupby("cell"):
            cell = self.cells.table.loc[number].to_dict()
            known = group[BEST_TEST_ACCURACY].dropna().tolist()
            for n in range(1, len(known) + 1):
                value = expected_best(known, n)
                found.append({**cell, "n": n, "expected_best": value, "cell": number})
        columns = [*self.cells.axes, "n", "expected_best", SELECTED_ON, "cell"]
        return pd.DataFrame(found, columns=columns)

    def norm_differences(self, accuracy: str = BEST_TEST_ACCURACY) -> pd.DataFrame:
        """A row a pair of norms in a setting."""
        valid = (BEST_TEST_ACCURACY, LAST_TEST_ACCURACY)
        if accuracy not in valid:
            raise InputError(f"accuracy must be {' or '.join(valid)}, got {accuracy!r}")
        seeds = self.by_seed()
        if accuracy == LAST_TEST_ACCURACY:
            seeds[SELECTED_ON] = None
        return norm_differences(seeds, self.cells.axes, accuracy)

    def mean_ranks(self) -> pd.DataFrame:
        """A row a norm of a setting that has many."""
        return mean_ranks(self.by_seed(), self.norm_differences(), self.cells.axes)

    def dependency_gap(self, *, by_norm: bool = False, tuned: bool = False) -> pd.DataFrame:
        """A row a setting, or a network; or a row a norm in it."""
        if tuned:
            return tuned_gap(*self._settings(), by_norm=by_norm)
        table = (norm_gaps if by_norm else dependency_gap)(self.best_of_seeds(), self.cells.axes)
        return table.reset_index(drop=True)

    def basin(self, points: float = 2.0) -> pd.DataFrame:
        """A row a norm of a network."""
        return basin(*self._settings(), points)

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
        return has_settings(self.cells.axes)

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

    def _trials_in_cells(self, *columns: str) -> pd.DataFrame:
        trials = pd.DataFrame(
            {
                "cell": self.cells.of_trial,
                "seed": self.cells.seeds,
                **{column: self._metric(METRIC_OF.get(column, column)) for column in columns},
                "outcome": self.records.runs["outcome"],
            }
        )
        return trials[trials["cell"].notna()].astype({"cell": "int64"})

    def _metric(self, name: str) -> pd.Series:
        if name in self.records.metrics:
            return self.records.metrics[name]
        return pd.Series(float("nan"), self.records.runs.index)
