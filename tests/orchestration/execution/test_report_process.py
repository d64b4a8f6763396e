"""A report is written in the background, and says in the sweep's log what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import wait_until
from mlflow import MlflowClient
from whole_sweep import record_digits

from orchestration.cli.main import cli
from orchestration.execution import report_process
from orchestration.execution.local_sweeps import LocalSweeps, log_path
from orchestration.execution.report_process import store_report_later
from orchestration.progress.events import Event, Note
from services.settings import Settings


@pytest.fixture
def settings(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    yield Settings.from_environment()
    while report_process._children:
        assert report_process._children.pop().wait(60) == 0


def test_a_report_is_stored_in_the_background(settings: Settings, tracking_uri: str) -> None:
    name = "reported later"
    _, run = record_digits(tracking_uri, name, 18)
    events: list[Event] = []
    store_report_later(name, run, events.append)
    assert isinstance(events[0], Note)
    assert f"snn-sweep logs {name}" in events[0].text
    status = CliRunner().invoke(cli, ["status", name])
    writer = report_process._children[0].pid
    assert f"its report is being written by process {writer} on" in status.output
    client = MlflowClient(tracking_uri)
    log = log_path(settings, name)
    wait_until(lambda: log.exists() and "the report is written" in log.read_text())
    wait_until(lambda: LocalSweeps(settings).report_writer(name) is None)
    assert "report/report.html" in [file.path for file in client.list_artifacts(run, "report")]


def test_a_report_that_cannot_be_written_says_so_in_the_log(settings: Settings) -> None:
    store_report_later("nothing of this name", "0" * 32, lambda _: None)
    log = log_path(settings, "nothing of this name")
    wait_until(lambda: log.exists() and "no report was written" in log.read_text())
