"""A recorded sweep of six cells, three norms of each network, and the ways to its results."""

from __future__ import annotations

from typing import Any

import pandas as pd
from recorded import RecordedTrial, Recorder

from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec

SPEC: dict[str, Any] = {
    "name": "sweep",
    "dataset": "digits",
    "epochs": 2,
    "seeds": [9, 42, 123],
    "grid": [
        {"architecture": "ann", "norm": ["none", "batchnorm", "homeostatic"]},
        {"architecture": "snn", "norm": ["none", "bntt", "homeostatic"], "num_steps": 10},
    ],
}
# By (architecture, norm): best accuracy of seeds 9, 42, 123.
ACCURACIES = {
    ("ann", "none"): (0.890, 0.900, 0.880),
    ("ann", "batchnorm"): (0.970, 0.980, 0.980),
    ("ann", "homeostatic"): (0.985, 0.975, 0.965),
    ("snn", "none"): (0.100, 0.100, 0.100),
    ("snn", "bntt"): (0.950, 0.940, 0.960),
    ("snn", "homeostatic"): (0.945, 0.955, 0.935),
}


class Sweep:
    """A recorded sweep, and one way to its results."""

    def __init__(
        self, url: str, protocol: str, spec: dict[str, Any] | None = SPEC, name: str = "sweep"
    ) -> None:
        self.recorder = Recorder(url)
        self.url, self.protocol, self.name = url, protocol, name
        text = None if spec is None else SweepSpec.from_dict(spec).to_json()
        self.experiment, self.parent = self.recorder.sweep(name, text)

    def config(self, architecture: str, norm: str, seed: int, **more: Any) -> dict[str, Any]:
        given = SweepSpec.from_dict(SPEC).cells()
        cell = next(c for c in given if (c.architecture, c.norm) == (architecture, norm))
        return {**cell.given(), "seed": seed, **more}

    def add(self, config: dict[str, Any], *accuracies: float, **more: Any) -> str:
        return self.recorder.trial(
            self.experiment, self.parent, RecordedTrial(config, accuracies, **more)
        )

    def fill(self) -> None:
        for (architecture, norm), values in ACCURACIES.items():
            for seed, value in zip((9, 42, 123), values, strict=True):
                outcome = "collapsed" if value == 0.1 else "completed"
                self.add(
                    self.config(architecture, norm, seed), value - 0.05, value, outcome=outcome
                )

    def results(self) -> Results:
        if self.protocol == "REST":
            return Results(self.name, tracking_uri=self.url)
        return Results(self.name, database_url=self.url)

    def cell(self, architecture: str, norm: str) -> pd.Series:
        table = self.results().best_of_seeds()
        rows = table[(table["architecture"] == architecture) & (table["norm"] == norm)]
        assert len(rows) == 1
        return rows.iloc[0]
