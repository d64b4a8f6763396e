"""Who uploads an artifact is told why it could not be written."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest
import requests
import uvicorn
from commands import free_port, wait_until
from starlette.types import Receive, Scope, Send

from orchestration.page.artifact_errors import ArtifactErrors

UPLOAD = "api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/model/model.safetensors"


async def full_disk(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    """An app that fails once it has the first part of what is sent to it."""
    await receive()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/path/of/the/server")


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    config = uvicorn.Config(
        ArtifactErrors(full_disk), port=port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 30)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("size", [0, 10, 30_000_000])
def test_an_upload_is_answered_with_the_reason_and_without_a_path(address: str, size: int) -> None:
    answer = requests.put(f"{address}/{UPLOAD}", data=bytes(size), timeout=60)
    assert (answer.status_code, answer.text) == (507, "No space left on device")


def test_whatever_else_fails_does_so_as_before(address: str) -> None:
    assert requests.get(f"{address}/{UPLOAD}", timeout=60).status_code == 500
    assert requests.put(f"{address}/api/2.0/mlflow/runs", timeout=60).status_code == 500
