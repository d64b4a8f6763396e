"""Sweeps that several people submit to one cluster, on a tracking server with a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import USERS_FOLDER, Commands, commands_in, trials_of
from login_server import Server, logged_in, login_server
from mlflow import MlflowClient
from node_cluster import cluster_with_jobs

NODES = ("sweeps", "the-nodes'-own-1")
ALICE, BOB = ("alice", "alice's-own-1"), ("bob", "bob's-own-pass-1")
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1],
    "grid": [{"architecture": "ann", "norm": "none", "width": 2}],
}


def login(user: tuple[str, str]) -> dict[str, str]:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    return dict(zip(names, user, strict=True))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with login_server(tmp_path) as server:
        for user in (NODES, ALICE, BOB):
            server.add_user(*user)
        yield server


@pytest.fixture
def job_server(server: Server, tmp_path: Path) -> Iterator[str]:
    settings = {"MLFLOW_TRACKING_URI": server.uri, **login(NODES)}
    with cluster_with_jobs(tmp_path / "nodes", settings) as address:
        yield address


@pytest.mark.slow
@pytest.mark.release
def test_trials_write_as_the_user_who_has_submitted_them(
    server: Server, job_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)

    def commands(user: tuple[str, str]) -> Any:
        (tmp_path / user[0]).mkdir(exist_ok=True)
        known = {"RAY_API_SERVER_ADDRESS": job_server, **login(user)}
        return commands_in(tmp_path / user[0], server.uri, known)

    with commands(ALICE) as alice, commands(BOB) as bob:
        hers, his = _spec(alice, "hers"), _spec(bob, "hers")
        told = alice.run("submit", hers, "--wait")
        assert ALICE[1] not in told
        assert "belongs to alice" in bob.run("submit", his, code=2)
        bob.run("submit", _spec(bob, "his"), "--wait")
    client = MlflowClient(server.uri)
    for name, owner, other in (("hers", ALICE, BOB), ("his", BOB, ALICE)):
        with logged_in(other):
            (run,) = trials_of(client, name, "none")
            assert client.get_run(run).info.status == "FINISHED"
            with pytest.raises(Exception, match="403"):
                client.set_tag(run, "note", "by another user")
        with logged_in(NODES), pytest.raises(Exception, match="403"):
            client.set_tag(run, "note", "by the nodes")
        with logged_in(owner):
            client.set_tag(run, "note", "by its owner")
    # Nothing of the login is left once the sweeps have ended.
    assert not list((tmp_path / "nodes").rglob("submission.zip"))


def _spec(commands: Commands, name: str) -> str:
    return commands.spec(name, SPEC)[1]
