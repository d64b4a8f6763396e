"""What has been recorded stays: over down and up, and out of a backup."""

from __future__ import annotations

import re

import pytest
from conftest import Stack


def recorded(stack: Stack) -> dict[str, int]:
    """How many runs each sweep has."""
    return {
        experiment.name: len(stack.client.search_runs([experiment.experiment_id]))
        for experiment in stack.client.search_experiments()
    }


@pytest.fixture(scope="module")
def before(stack: Stack) -> dict[str, int]:
    """What is on record; of one sweep at least."""
    _, path = stack.spec("kept", epochs=1)
    stack.sweep("submit", str(path), "--wait")
    return recorded(stack)


def test_down_and_up_keep_every_run(stack: Stack, before: dict[str, int]) -> None:
    stack.compose("down")
    stack.compose("up", "--detach", "--wait")
    assert before["kept"] == 5
    assert recorded(stack) == before
    assert re.search(r"^kept +completed +4 of 4", stack.sweep("list")[0], re.MULTILINE)


def test_a_backup_brings_every_run_back(stack: Stack, before: dict[str, int]) -> None:
    def backup(*command: str) -> str:
        return stack.compose("run", "--rm", "--no-TTY", *command)

    backup("backup")
    listed = backup("--entrypoint", "ls", "backup", "/srv/backups")
    (name,) = re.findall(r"^20\S+Z$", listed, re.MULTILINE)
    _, path = stack.spec("not in it", epochs=1)
    stack.sweep("submit", str(path), "--wait")
    stack.compose("stop", "mlflow", "keeper", "ray-head", "ray-worker")
    backup("backup", "restore", f"/srv/backups/{name}", "--overwrite")
    stack.compose("up", "--detach", "--wait")
    assert recorded(stack) == before
