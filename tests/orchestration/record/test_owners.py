"""Sweeps of several people on a tracking server with a login: each writes to his own alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Commands, commands_in
from login_server import ADMIN, Server, logged_in, login_server
from mlflow import MlflowClient

from orchestration.errors import InputError
from orchestration.record.client import connect
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.folder import FolderStorage
from orchestration.sweep.spec import SweepSpec

ALICE, BOB = ("alice", "alice's-own-1"), ("bob", "bob's-own-pass-1")
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1],
    "grid": [{"architecture": "ann", "norm": "none", "width": 2}],
}
REFUSAL = (
    "sweep 'hers' belongs to alice, and the tracking server does not let bob have it: give your "
    "sweep another name, or ask alice or the server's admin for the permission EDIT on the "
    "experiment of this name"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with login_server(tmp_path_factory.mktemp("owners")) as server:
        for user in (ALICE, BOB):
            server.add_user(*user)
        yield server


def recorder_of(server: Server, name: str, folder: Path) -> SweepRecorder:
    return SweepRecorder(connect(server.uri), name, FolderStorage(folder))


@pytest.fixture(scope="module")
def hers(server: Server, tmp_path_factory: pytest.TempPathFactory) -> SweepSpec:
    """A sweep of alice's."""
    spec = SweepSpec.from_dict({"name": "hers", **SPEC})
    with logged_in(ALICE):
        recorder_of(server, "hers", tmp_path_factory.mktemp("hers")).open(spec)
    return spec


@pytest.fixture
def of_bob(server: Server, tmp_path: Path) -> Iterator[Commands]:
    user = dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), BOB, strict=True))
    with commands_in(tmp_path, server.uri, user) as commands:
        yield commands


def test_nobody_else_writes_to_a_sweep_and_the_error_says_whose_it_is(
    server: Server, hers: SweepSpec, tmp_path: Path
) -> None:
    with logged_in(BOB):
        recorder = recorder_of(server, "hers", tmp_path)
        assert recorder.spec() == hers  # he may read it
        for write in (
            lambda: recorder.open(hers),
            recorder.check_writable,
            lambda: recorder.mark_notice("due"),
        ):
            with pytest.raises(InputError) as refused:
                write()
            assert str(refused.value) == REFUSAL
    with logged_in(ALICE):
        recorder = recorder_of(server, "hers", tmp_path)
        recorder.check_writable()
        recorder.open(hers)


def test_commands_that_would_write_to_it_end_with_2_and_change_nothing(
    server: Server, hers: SweepSpec, of_bob: Commands, tmp_path: Path
) -> None:
    _, path = of_bob.spec("hers", SPEC | {"seeds": [1, 2]})
    assert REFUSAL in words(of_bob.run("run", path, code=2))
    assert REFUSAL in words(of_bob.run("stop", "hers", code=2))
    assert REFUSAL in words(of_bob.run("submit", path, "--cluster", "http://127.0.0.1:9", code=2))
    with logged_in(ALICE):
        recorder = recorder_of(server, "hers", tmp_path)
        assert recorder.spec() == hers
        assert recorder.recorded() == []


def test_a_sweep_that_one_may_not_even_read(server: Server, tmp_path: Path) -> None:
    with logged_in(ADMIN):
        experiment = MlflowClient(server.uri).create_experiment("hidden")
        server.post(
            "3.0/mlflow/users/permissions/grant", username=BOB[0], permission="DENY",
            resource_type="experiment", resource_id=experiment,
        )  # fmt: skip
    with logged_in(BOB), pytest.raises(InputError, match="'hidden' belongs to another user"):
        recorder_of(server, "hidden", tmp_path)


def test_a_sweep_without_an_owner_is_whoevers_has_the_right(server: Server, tmp_path: Path) -> None:
    """It was begun by an earlier version."""
    with logged_in(ALICE):
        recorder = recorder_of(server, "earlier", tmp_path)
        assert not recorder.has_no_owner  # as there is none
        recorder.open(SweepSpec.from_dict({"name": "earlier", **SPEC}))
        assert not recorder.has_no_owner
        run = recorder.parent_run_id
        assert run is not None
        MlflowClient(server.uri).delete_tag(run, "mlflow.user")
        assert recorder.has_no_owner
    with logged_in(BOB):
        recorder_of(server, "earlier", tmp_path).check_writable()  # not known to be refused


def words(text: str) -> str:
    return " ".join(text.split())
