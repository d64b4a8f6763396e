"""Diagnostics as a table: the order of layers, and what follows from the metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pandas as pd
import pytest
from recorded import RecordedTrial, Recorder

from orchestration.reading.records import DIAGNOSTICS
from orchestration.results.effects.diagnostics import COLUMNS, by_layer
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from snn_norm.training import diagnostics

NAN = float("nan")


def points(**values: dict[str, float]) -> pd.DataFrame:
    rows = [
        ("a", f"{name}.{layer}", 0, value)
        for name, of_layers in values.items()
        for layer, value in of_layers.items()
    ]
    return pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "value"])


def test_ratios_are_to_the_neighbouring_layers() -> None:
    given = points(
        rate={"b": 0.5, "a": 0.25, "c": 0.1},
        gradient={"b": 1.0, "a": 4.0, "c": 2.0},
        margin={"b": 0.0, "a": 1.0, "c": NAN},
    )
    table = by_layer(given, {"a": ["b", "a", "c"]})
    assert table["layer"].tolist() == ["b", "a", "c"]
    assert table["rate_ratio"].tolist()[1:] == [0.5, 0.4]
    assert table["gradient_ratio"].tolist()[:2] == [0.25, 2.0]
    assert math.isnan(table["rate_ratio"][0])
    assert math.isnan(table["gradient_ratio"][2])
    assert table["gaussian_rate"].tolist() == pytest.approx([0.5, 0.15865525, NAN], nan_ok=True)
    assert table["support"].isna().all()
    assert list(table) == ["run_id", "epoch", "layer", *COLUMNS]


def test_without_a_known_order_layers_are_in_that_of_their_names() -> None:
    names = ["conv1", "conv2", "conv10", "hidden"]
    given = points(rate=dict.fromkeys(reversed(names), 0.5))
    assert by_layer(given, {})["layer"].tolist() == names


def test_of_nothing_there_are_no_rows() -> None:
    table = by_layer(points(), {})
    assert (len(table), list(table)) == (0, ["run_id", "epoch", "layer", *COLUMNS])


def test_what_is_read_is_what_is_recorded() -> None:
    assert tuple(f"{name}." for name in diagnostics.DIAGNOSTICS) == DIAGNOSTICS


def test_only_they_read_them(sqlite_database: Callable[[], str]) -> None:
    spec = {"name": "s", "dataset": "digits", "epochs": 2, "seeds": [1]}
    sweep = SweepSpec.from_dict({**spec, "grid": [{"architecture": "ann", "norm": ["none"]}]})
    recorder = Recorder(uri := sqlite_database())
    experiment, parent = recorder.sweep("s", sweep.to_json())
    (one,) = sweep.trials()
    measured = {"rate.b": [0.5, 0.25], "rate.a": [0.25, 0.75], "rate": [1.0, 1.0]}
    tags = {"snn_sweep.layers": json.dumps(["b", "a"])}
    trial = RecordedTrial(one.config.given(), [0.5, 0.5], metrics=measured, tags=tags)
    run = recorder.trial(experiment, parent, trial)
    recorder.client.log_metric(run, "rate.a", 0.125, step=0)
    results = Results("s", tracking_uri=uri)
    table = results.diagnostics()
    assert list(table)[:4] == ["run_id", "trial_key", "in_spec", "architecture"]
    assert table[["seed", "epoch", "layer", "rate"]].to_numpy().tolist() == [
        [1, 0, "a", 0.125],
        [1, 1, "b", 0.5], [1, 1, "a", 0.25], [1, 2, "b", 0.25], [1, 2, "a", 0.75],
    ]  # fmt: skip
    assert not [name for name in (*results.trials(), *results.curves()) if "rate." in name]
