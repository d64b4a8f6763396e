"""Each part of the cluster is struck while a sweep runs: nothing lost, nothing double."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from commands import SLOW, epochs_of, trials_of, wait_until
from conftest import Stack, finish, run, states
from ledger import Ledger, audit


def kill_a_worker(stack: Stack) -> None:
    run("docker", "kill", stack.container("ray-worker"))


def cut_a_worker_off(stack: Stack) -> None:
    container = stack.container("ray-worker")
    networks = [f"{stack.project}_{name}" for name in ("ray", "tracking")]
    for network in networks:
        run("docker", "network", "disconnect", network, container)
    time.sleep(30)  # longer than it takes to give the worker up
    for network in networks:
        run("docker", "network", "connect", network, container)


def restart_postgres(stack: Stack) -> None:
    stack.compose("restart", "postgres")


def restart_mlflow(stack: Stack) -> None:
    stack.compose("restart", "mlflow")


def kill_the_head(stack: Stack) -> None:
    stack.kill_head()


def kill_everything(stack: Stack) -> None:
    """As when the whole machine loses power."""
    run("docker", "kill", *stack.compose("ps", "--quiet").split())
    stack.compose("up", "--detach", "--wait")


FAULTS = {
    kill_a_worker: "interrupted, will be resumed",
    cut_a_worker_off: "interrupted, will be resumed",
    restart_postgres: "",
    restart_mlflow: "",
    kill_the_head: "waiting for it, or for the sweep to be restarted",
    kill_everything: "waiting for it, or for the sweep to be restarted",
}
"""The faults, and what whoever follows the sweep is told of each."""


def last_epoch(stack: Stack, name: str) -> float:
    """When the last epoch of a sweep's slow trials was measured."""
    runs = trials_of(stack.client, name, SLOW)
    histories = [stack.client.get_metric_history(run_id, "train_loss") for run_id in runs]
    return max(float(point.timestamp) for history in histories for point in history) / 1000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_and_nothing_is_double(
    stack: Stack, fault: Callable[[Stack], None]
) -> None:
    spec, path = stack.spec(fault.__name__)
    following = stack.start("submit", str(path), "--wait")
    wait_until(lambda: epochs_of(stack.client, spec.name) > 2)
    fault(stack)
    struck = time.time()
    _, told = finish(following)
    assert last_epoch(stack, spec.name) > struck, "all was trained before the fault was over"
    assert FAULTS[fault] in told
    assert "4 of 4 done" in told
    assert audit(stack.client, spec) == Ledger()
    # For the next fault, all are to be there again.
    stack.compose("up", "--detach", "--wait")
    assert states(stack)["ray-worker"] == ["running", "running"]


def test_stop_closes_the_books_and_submitting_again_goes_on(stack: Stack) -> None:
    spec, path = stack.spec("stopped")
    stack.sweep("submit", str(path))
    wait_until(lambda: epochs_of(stack.client, spec.name) > 4)
    _, told = stack.sweep("submit", str(path))
    assert "stopped is running already, as sweep-stopped-1" in told
    stack.sweep("stop", "stopped")
    ledger = audit(stack.client, spec)
    assert ledger.running == []
    assert ledger.lost != []
    status, _ = stack.sweep("status", "stopped")
    assert "stopped: stopped, " in status
    assert "sweep-stopped-1 (STOPPED" in status
    stack.sweep("submit", str(path), "--wait")
    log, _ = stack.sweep("logs", "stopped")
    assert "2 to resume" in log
    assert audit(stack.client, spec) == Ledger()


def test_a_worker_that_is_added_takes_trials(stack: Stack) -> None:
    spec, path = stack.spec("grown", seeds=[1, 2, 3])
    following = stack.start("submit", str(path), "--wait")
    wait_until(lambda: epochs_of(stack.client, spec.name) > 2)
    # As docs/cluster.md has it: what runs is left as it is.
    only = ("--no-deps", "--no-recreate", "ray-worker")
    stack.compose("up", "--detach", "--scale", "ray-worker=3", *only)
    wait_until(lambda: len(trains(stack)) == 3)
    finish(following)
    assert audit(stack.client, spec) == Ledger()
    stack.compose("up", "--detach", "--wait")
    assert states(stack)["ray-worker"] == ["running", "running"]


def trains(stack: Stack) -> list[str]:
    """The workers' containers in which a trial is under way."""
    containers = stack.compose("ps", "--quiet", "ray-worker").split()
    return [
        one
        for one in containers
        if "Trainable.train" in run("docker", "top", one, "-eo", "pid,args")
    ]
