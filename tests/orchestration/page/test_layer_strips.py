"""Diagnostics by layer, and what else a page fetches or shows when there is reason to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import requests
from mlflow.entities import Metric
from recorded import Recorder
from served import served
from whole_sweep import record_digits

from orchestration import SweepSpec
from orchestration.execution.local_sweeps import log_path
from orchestration.model.status import TrialStatus
from orchestration.page.drawing.layers import strips
from orchestration.page.drawing.state import Cell, Grid
from orchestration.progress.event_log import FileLog
from orchestration.progress.events import Planned, Retried
from orchestration.reading.sql import SqlSource
from orchestration.sweep.plan import Plan
from services.settings import Settings

NAN = float("nan")


def grid(norms: list[str]) -> Grid:
    done = TrialStatus("completed", best=0.9, run_id="r")
    cells = [
        Cell(number, {"architecture": "snn", "norm": norm}, {1: done},
             mean=0.9, low=None, high=None, best=0.9, lack="", epochs=2)
        for number, norm in enumerate(norms)
    ]  # fmt: skip
    return Grid(["architecture", "norm"], [1], cells)


def medians(cell: int, **values: list[list[float]]) -> pd.DataFrame:
    """By diagnostic: layers, each with its values by epoch from 0 on."""
    layers = len(next(iter(values.values())))
    rows = [
        {"cell": cell, "layer": f"conv{layer + 1}", "epoch": epoch}
        | {name: of_layers[layer][epoch] for name, of_layers in values.items()}
        for layer in range(layers)
        for epoch in range(len(next(iter(values.values()))[layer]))
    ]
    names = ["cell", "layer", "epoch", "rate", "silent", "support", "gradient"]
    return pd.DataFrame(rows).reindex(columns=names)


def shades(html: str) -> list[str]:
    return re.findall('<rect[^>]* class="(.*?)">', html)


def test_a_vanished_gradient_is_pale_and_its_number_is_told() -> None:
    given = medians(0, rate=[[0.2, 0.1], [0.0, NAN]], gradient=[[1.0, 1.0], [1e-6, 0.0]])
    ((title, table),) = strips(grid(["none"]), given)
    assert title == "snn"
    assert table.count("<svg") == 2  # no strip of what nothing was recorded of
    assert shades(table) == ["g9", "g5", "g0", "unknown", "g9", "g9", "g0", "g0"]
    assert "no norm, conv2, epoch 0: 1e-06</title>" in table
    assert "no norm, norm of the gradient, epoch 0 to 1: conv1 1 to 1, conv2 1e-06 to 0" in table


def test_norms_of_a_setting_have_one_scale() -> None:
    both = pd.concat([medians(0, rate=[[0.1]]), medians(1, rate=[[0.4]])])
    ((_, table),) = strips(grid(["none", "bntt"]), both)
    assert shades(table) == ["g2", "g9"]


def test_rectified_units_are_above_zero_and_have_no_surrogate() -> None:
    given = medians(0, rate=[[0.5]], support=[[0.5]])
    ((_, table),) = strips(grid(["none"]), given)
    assert "units above zero" in table
    assert "surrogate" not in table


def test_of_many_layers_and_epochs_some_are_drawn() -> None:
    given = medians(0, rate=[[0.1] * 300 for _ in range(110)])
    ((_, table),) = strips(grid(["none"]), given)
    assert len(shades(table)) == 40 * 16
    for end in ("conv1, epoch 0", "conv110, epoch 299"):
        assert f"no norm, {end}: 0.1<" in table


@pytest.fixture(scope="module")
def uri(sqlite_database: Callable[[], str]) -> str:
    uri = sqlite_database()
    record_digits(uri, "digits", 18)
    return uri


def test_they_are_read_when_somebody_asks(uri: str, tmp_path: Path) -> None:
    client = Recorder(uri).client
    runs = client.search_runs(["1"], "params.norm = 'bntt'")
    assert len(runs) == 3
    for number, run in enumerate(runs):
        points = [
            Metric(f"{name}.{layer}", (number + 1) / scale, 0, epoch)
            for name, scale in (("rate", 10), ("gradient", 1000), ("support", 5))
            for layer in ("late", "early")
            for epoch in (0, 1)
        ]
        client.log_batch(run.info.run_id, points)
        client.set_tag(run.info.run_id, "snn_sweep.layers", json.dumps(["late", "early"]))
    with served(SqlSource(uri), tmp_path) as address:
        assert '<div id="layers"><p><a href="/sweeps/digits/layers">' in get(f"{address}/digits")
        html = get(f"{address}/digits/layers")
        assert "epoch 0 to 1: late 0.2 to 0.2, early 0.2 to 0.2" in html  # the second of the three
        record_digits(uri, "without", 1)
        assert "No finished trial has diagnostics" in get(f"{address}/without/layers")


def test_a_trial_that_was_tried_again_says_so(uri: str, tmp_path: Path) -> None:
    client = Recorder(uri).client
    (parent,) = client.search_runs(["1"], "tags.`snn_sweep.role` = 'sweep'")
    spec = SweepSpec.from_json(parent.data.tags["snn_sweep.spec"])
    trials = spec.trials()[:2]
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    log = FileLog(log_path(settings, "digits"))
    log(Planned(Plan(tuple(trials), (), (), (), (), (), (), ())))
    for label in (trials[0].label, trials[1].label, trials[1].label):
        log(Retried(label, "its worker died"))
    for trial in trials:
        (run,) = client.search_runs(["1"], f"tags.`snn_sweep.trial_key` = '{trial.key}'")
        client.set_tag(run.info.run_id, "mlflow.runName", trial.label)
    with served(SqlSource(uri), tmp_path) as address:
        html = get(f"{address}/digits")
    assert len(re.findall(r'id="t0-0".*? <small>retried</small>', html)) == 1
    assert len(re.findall(r'id="t0-1".*? <small>retried 2×</small>', html)) == 1
    assert html.count("<small>retried") == 2


def get(url: str) -> str:
    reply = requests.get(url, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.text
