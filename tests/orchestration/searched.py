"""A sweep with a search whose trials are recorded in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from specs import spec as plain_spec

from orchestration.model.trial import Trial
from orchestration.reading.records import (
    MetricsToRead,
    MlflowRun,
    Records,
    is_wanted,
    make_records,
    point_frame,
)
from orchestration.record.names import (
    LABEL_TAG,
    OUTCOME_TAG,
    ROLE_TAG,
    STATUS_TAG,
    TRIAL_KEY_TAG,
    spec_tags,
)
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec


def searched(confirm: int = 1, **search: Any) -> SweepSpec:
    """A spec with a search of two cells, which confirms so many settings of each."""
    section = {"space": {"learning_rate": {"log": [1e-3, 1e-1]}}, "trials": 4} | search
    return SweepSpec.from_dict(
        plain_spec(
            seeds="absent",
            training={"validation_fraction": 0.2},
            grid=[{"architecture": "ann", "norm": ["none", "batchnorm"]}],
            search=section,
            confirm={"settings": confirm, "seeds": [101, 102]},
        )
    )


class Recorded:
    """Recorded trials in memory: the values on held-out and test images by epoch."""

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self._rows: list[tuple[str, str, str | None, str]] = []
        self._values: list[tuple[str, str, int, float]] = []

    def add(
        self,
        trial: Trial,
        held_out: Sequence[float],
        test: Sequence[float] = (0.1,),
        outcome: str | None = "completed",
        status: str = "FINISHED",
    ) -> None:
        run = f"run-{len(self._rows)}"
        self._rows.append((run, trial.key, outcome, status))
        best = int(np.argmax(held_out))
        for epoch, value in enumerate(held_out, 1):
            self._values.append((run, "validation_accuracy", epoch, value))
            self._values.append((run, "epoch_seconds", epoch, 36.0))
        for epoch, value in enumerate(test, 1):
            self._values.append((run, "test_accuracy", epoch, value))
        self._values.append((run, "best_test_accuracy", 0, test[min(best, len(test) - 1)]))
        self._values.append((run, "best_epoch", 0, best + 1))

    def check(self, sweep: str) -> None:
        pass

    def read(
        self,
        _sweep: str,
        metrics: Collection[str] = (),
        *,
        finished: bool = True,
        replaced: bool = False,  # noqa: ARG002
    ) -> Records:
        rows = [row for row in self._rows if (row[3] == "FINISHED") is finished]
        runs = {row[0] for row in rows}
        last = {(run, name): value for run, name, _, value in self._values if run in runs}
        return make_records(
            (
                MlflowRun(run, status, 0, 1, _tags(key, outcome))
                for run, key, outcome, status in rows
            ),
            ((run, name, v) for (run, name), v in last.items() if is_wanted(name, metrics)),
            [MlflowRun("parent", "RUNNING", 0, None, spec_tags(self._spec.to_json()))],
            experiment_id="1",
            param_rows=lambda _: (),
            tag_rows=lambda _: (),
        )

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        return point_frame(
            (run, name, epoch, 0, value)
            for run, name, epoch, value in self._values
            if run in run_ids and name in metrics and epoch
        )

    def results(self) -> Results:
        return Results.of(self, self._spec.name)

    def sweep_runs(
        self, metrics: MetricsToRead, sweeps: Collection[str] | None = None
    ) -> Iterator[MlflowRun]:
        name = self._spec.name
        assert sweeps is None or list(sweeps) == [name]
        its = {STATUS_TAG: "running", ROLE_TAG: "sweep", **spec_tags(self._spec.to_json())}
        yield (parent := MlflowRun("parent", "RUNNING", 0, None, its, name))
        labels = {trial.key: trial.label for trial in self._spec.possible_trials()}
        wanted = metrics(parent)
        for run, key, outcome, status in self._rows:
            last = {m: (epoch, v) for r, m, epoch, v in self._values if r == run and m in wanted}
            its = {ROLE_TAG: "trial", LABEL_TAG: labels[key], **_tags(key, outcome)}
            yield MlflowRun(run, status, 0, 1, its, name, {}, last)


def _tags(key: str, outcome: str | None) -> dict[str, str]:
    return {TRIAL_KEY_TAG: key} | ({OUTCOME_TAG: outcome} if outcome else {})
