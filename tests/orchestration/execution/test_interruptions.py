"""Sweeps that are struck in the middle, by the command line as users run it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Mapping

import psutil
import pytest
from commands import (
    SLOW,
    Commands,
    epochs_of,
    finish,
    numbers,
    trials_of,
    undisturbed_numbers,
    wait_until,
)
from ledger import Ledger, audit
from mlflow import MlflowClient
from s3_server import BUCKET, client_of
from specs import SLOW_SPEC

EPOCHS = SLOW_SPEC["epochs"]


def wait_for_progress(client: MlflowClient, name: str) -> None:
    """Wait until a slow trial has one epoch more on record than now."""
    before = epochs_of(client, name)
    wait_until(lambda: epochs_of(client, name) > before)


@pytest.mark.slow
@pytest.mark.release
def test_a_sweep_stopped_by_ctrl_c_goes_on_to_the_numbers_of_an_undisturbed_one(
    commands: Commands, client: MlflowClient
) -> None:
    spec, path = commands.spec("struck", SLOW_SPEC)
    process = commands.start("run", path)
    wait_for_progress(client, "struck")
    process.send_signal(signal.SIGINT)
    assert f"continue with: snn-sweep run {path}" in finish(process, 130)
    assert audit(client, spec).running == []
    (run_id, *_) = trials_of(client, "struck", SLOW)
    assert client.get_run(run_id).info.status == "KILLED"

    commands.run("run", path)
    assert audit(client, spec) == Ledger()
    assert len(trials_of(client, "struck", SLOW)) == 2, "a trial did not go on in its own run"
    assert numbers(client, "struck") == undisturbed_numbers(spec)


@pytest.mark.slow
@pytest.mark.release
def test_sigterm_to_the_whole_process_group_stops_a_sweep_as_one_to_its_driver(
    commands: Commands, client: MlflowClient
) -> None:
    """As `timeout`, a shell and batch systems send it."""
    _, path = commands.spec("terminated", {**SLOW_SPEC, "epochs": 1000})
    program = "import os; os.setsid(); from orchestration import main; main()"
    process = commands.start("run", path, program=program)
    wait_for_progress(client, "terminated")
    os.killpg(process.pid, signal.SIGTERM)
    try:
        told = process.communicate(timeout=45)[1]  # Ray itself would give up after 60 s
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert f"continue with: snn-sweep run {path}" in told
    assert process.returncode == 130
    statuses = {client.get_run(run).info.status for run in trials_of(client, "terminated", SLOW)}
    assert statuses == {"KILLED"}


@pytest.mark.slow
@pytest.mark.release
def test_sigterm_while_the_report_is_written_leaves_no_process(commands: Commands) -> None:
    del commands.environment["MLFLOW_TRACKING_URI"]  # the sweep starts a server of its own
    _, path = commands.spec("reported", {**SLOW_SPEC, "epochs": 1, "seeds": [1]})
    process = commands.start("run", path)
    assert process.stderr is not None
    assert any("the report is being written" in line for line in process.stderr)
    started = psutil.Process(process.pid).children(recursive=True)
    assert started != []
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert psutil.wait_procs(started, timeout=30)[1] == []


@pytest.mark.slow
@pytest.mark.release
def test_stop_ends_a_sweep_as_ctrl_c_does(commands: Commands, client: MlflowClient) -> None:
    _, path = commands.spec("stopped", {**SLOW_SPEC, "epochs": 1000})  # it would not end by itself
    process = commands.start("run", path)
    wait_for_progress(client, "stopped")
    commands.run("stop", "stopped")
    assert f"continue with: snn-sweep run {path}" in finish(process, 130)
    statuses = {client.get_run(run).info.status for run in trials_of(client, "stopped", SLOW)}
    assert statuses == {"KILLED"}


@pytest.mark.slow
@pytest.mark.release
def test_a_sweep_whose_driver_is_killed_goes_on_from_s3(
    commands: Commands, client: MlflowClient, s3: Mapping[str, str]
) -> None:
    commands.environment["SNN_SWEEP_STORAGE"] = f"s3://{BUCKET}/laboratory"

    def kept() -> set[str]:
        found = client_of(s3).list_objects_v2(Bucket=BUCKET, Prefix="laboratory/").get("Contents")
        return {one["Key"] for one in found or ()}

    spec, path = commands.spec("in-s3", SLOW_SPEC)
    process = commands.start("run", path)
    wait_for_progress(client, "in-s3")
    wait_until(lambda: any("checkpoint" in key for key in kept()))
    process.kill()
    process.communicate()
    said, _ = commands.start("status", "in-s3").communicate()
    assert "nobody is running it; to continue: snn-sweep run its spec" in said
    assert re.search("in-s3 +running .* nobody", commands.start("list").communicate()[0])
    assert any("checkpoint" in key for key in kept())

    commands.run("run", path)
    assert audit(client, spec) == Ledger()
    assert len(trials_of(client, "in-s3", SLOW)) == 2, "a trial did not go on in its own run"
    assert kept() == {"laboratory/in-s3/driver.lock"}
    assert not (commands.folder / "home" / "storage").exists()
