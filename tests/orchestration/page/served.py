"""The pages on a server in this process, over any source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from commands import free_port, wait_until

from orchestration.page.acting import OnThisMachine
from orchestration.page.apart import Process
from orchestration.page.drawer import Drawer
from orchestration.page.visitor.login import Login
from orchestration.page.web import Pages
from orchestration.reading.records import Source
from services.settings import Settings


class _InThisProcess(Process):
    """Calls a drawer that draws here, so that a test waits for no process of its own."""

    def __init__(self, drawer: Drawer) -> None:
        self._drawer = drawer

    def call(self, method: Callable[..., Any], *args: Any, **given: Any) -> Any:
        return method(self._drawer, *args, **given)


@contextmanager
def served(
    source: Source, home: Path, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Pages without a login; gives the address that they are below."""
    given = {"SNN_SWEEP_HOME": str(home), **(environment or {})}
    settings = Settings.from_environment(given)
    drawer = Drawer(lambda: source, settings, OnThisMachine(settings), "")
    pages = Pages(_InThisProcess(drawer), Login(None))
    port = free_port()
    config = uvicorn.Config(pages, port=port, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, 30)
        yield f"http://127.0.0.1:{port}/sweeps"
    finally:
        server.should_exit = True
        thread.join()
