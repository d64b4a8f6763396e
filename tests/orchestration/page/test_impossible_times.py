"""A time that no epoch can take is said to be one, on a sweep's page and in the list."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from recorded import RecordedTrial, Recorder
from served import served
from specs import spec

from orchestration.reading.sql import SqlSource
from orchestration.sweep.spec import SweepSpec


@pytest.mark.parametrize("seconds", [-1e308, 1e308])
def test_the_page_and_the_list_say_so(
    seconds: float, sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    grid = [{"architecture": "ann", "norm": ["none", "batchnorm"]}]
    sweep = SweepSpec.from_dict(spec(name="times", epochs=2, seeds=[1, 2, 3], grid=grid))
    uri = sqlite_database()
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep("times", sweep.to_json())
    assert parent is not None
    recorder.client.set_tag(parent, "snn_sweep.status", "running")
    for trial, time in zip(sweep.trials()[:2], (seconds, 7.0), strict=True):
        metrics = {"epoch_seconds": [time] * 2}
        made = RecordedTrial(trial.config.given(), [0.5, 0.75], key=trial.key, metrics=metrics)
        recorder.trial(experiment, parent, made)
    with served(SqlSource(uri), tmp_path) as url:
        for page in (url, f"{url}/times"):
            html = requests.get(page, timeout=60).text
            assert "1 run has an impossible epoch_seconds, which is left out" in html
            assert not re.search(r"\d{40}", html)  # shorter ones can be parts of run ids
        assert "about 56 s" in html
