"""Commands in a home of their own, on the tracking server that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import USERS_FOLDER, Commands, commands_in
from mlflow import MlflowClient

from orchestration.record.client import connect


@pytest.fixture
def commands(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    with commands_in(tmp_path, tracking_uri) as commands:
        yield commands


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return connect(tracking_uri)
