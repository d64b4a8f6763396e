from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import settings_in

from services.settings import Settings
from services.tracking import start_server, stop_server


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A home of its own, not yet there; a server left in it is stopped."""
    settings = settings_in(tmp_path / "home")
    yield settings
    stop_server(settings)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with a kept server, in a folder that its author did not name for programs."""
    settings = settings_in(tmp_path_factory.mktemp("home") / "naïve foyer #1 à 50%")
    start_server(settings)
    yield settings
    stop_server(settings)
