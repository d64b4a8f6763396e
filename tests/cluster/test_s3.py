"""The cluster with all that it keeps in files in S3: moto's server, in a container of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SLOW, epochs_of, trials_of, wait_until
from conftest import Stack, finish, run
from ledger import Ledger, audit

IMAGE = """
FROM snn-sweep:local
USER root
RUN pip install 'moto[server]>=5.1.5'
ENV AWS_ENDPOINT_URL_S3=http://127.0.0.1:8333
ENV AWS_ACCESS_KEY_ID=anyone AWS_SECRET_ACCESS_KEY=anything
CMD ["python", "-m", "moto.server", "-H", "0.0.0.0", "-p", "8333"]
"""
SETTINGS = {
    "MLFLOW_ARTIFACTS": "s3://sweeps/artifacts",
    "STORAGE": "s3://sweeps/laboratory",
    "S3_ENDPOINT": "http://s3:8333",
}
MAKE_BUCKET = "boto3.client('s3').create_bucket(Bucket='sweeps')"
LIST = "print([o.key for o in boto3.resource('s3').Bucket('sweeps').objects.all()])"


class Store:
    """The server's container."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, expression: str) -> str:
        """What it prints; nothing where the server does not answer yet."""
        program = f"import boto3; {expression}"
        return run("docker", "exec", self.name, "python", "-c", program, check=False).strip()


@pytest.fixture
def store(stack: Stack, tmp_path: Path) -> Iterator[Store]:
    """A store that the whole cluster uses for the test."""
    (tmp_path / "Dockerfile").write_text(IMAGE)
    run("docker", "build", "--tag", "snn-sweep-test-s3", str(tmp_path))
    store = Store(f"{stack.project}-s3")
    networks = [f"{stack.project}_{name}" for name in ("ray", "database")]
    there = ("--network", networks[0], "--network-alias", "s3")
    run("docker", "run", "--detach", "--name", store.name, *there, "snn-sweep-test-s3")
    try:
        run("docker", "network", "connect", "--alias", "s3", networks[1], store.name)
        wait_until(lambda: bool(store.ask(f"{MAKE_BUCKET}; {LIST}")))
        stack.changes |= SETTINGS
        stack.compose("up", "--detach", "--wait")
        yield store
    finally:
        for name in SETTINGS:
            stack.changes.pop(name, None)
        stack.compose("up", "--detach", "--wait")
        run("docker", "rm", "--force", store.name)


def test_the_keeper_takes_a_sweep_up_again_from_s3(stack: Stack, store: Store) -> None:
    spec, path = stack.spec("in-s3")
    following = stack.start("submit", str(path), "--wait")
    wait_until(lambda: epochs_of(stack.client, spec.name) > 2)
    kept = store.ask(LIST)
    assert "laboratory/in-s3/submission.zip" in kept
    assert "checkpoint.pt" in kept
    stack.kill_head()
    _, told = finish(following)
    assert "waiting for it, or for the sweep to be restarted" in told
    assert "4 of 4 done" in told
    assert audit(stack.client, spec) == Ledger()
    assert len(trials_of(stack.client, spec.name, SLOW)) == 2, "a trial did not go on in its run"
    kept = store.ask(LIST)
    assert kept.count("laboratory/") == kept.count("laboratory/in-s3/driver.lock") == 1
    assert "artifacts/" in kept
    assert "/report.html" in kept
