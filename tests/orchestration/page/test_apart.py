"""All that is computed or drawn leaves the server's event loop, once for all who ask for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from commands import wait_until
from markupsafe import escape
from own_sweep import record
from served import served

from orchestration.errors import InputError
from orchestration.page import drawer as drawer_module
from orchestration.page.acting import OnThisMachine
from orchestration.page.apart import Process
from orchestration.page.drawer import Drawer
from orchestration.page.drawing import view
from orchestration.page.shared import Shared
from orchestration.reading.sql import SqlSource
from services.errors import ServiceError
from services.settings import Settings


@pytest.fixture(scope="module")
def uri(sqlite_database: Callable[[], str]) -> str:
    uri = sqlite_database()
    record(uri, "own")
    return uri


@pytest.fixture
def process(uri: str, tmp_path: Path) -> Iterator[Process]:
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    process = Process(partial(SqlSource, uri), settings, OnThisMachine(settings), "")
    yield process
    for child in children():
        child.kill()


def children() -> list[psutil.Process]:
    """The processes that draw."""
    ours = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in ours if "multiprocessing.spawn" in " ".join(one.cmdline())]


def test_pages_are_drawn_in_one_process_beside_the_servers(process: Process) -> None:
    assert process.call(Drawer.names) == ["own"]
    (child,) = children()
    with pytest.raises(InputError, match="'absent'"):
        process.call(Drawer.run_of, "absent")
    assert children() == [child]


def test_a_process_that_was_killed_is_started_again(process: Process) -> None:
    process.call(Drawer.names)
    (first,) = children()
    first.kill()
    assert process.call(Drawer.names) == ["own"]
    assert children() != [first]


def test_a_process_that_ends_again_and_again_is_told_as_a_service_that_is_away(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.call(Drawer.names)
    running = process._running

    def started_and_killed() -> Any:
        found = running()
        for child in children():
            child.kill()
        wait_until(lambda: not children())
        return found

    monkeypatch.setattr(process, "_running", started_and_killed)
    with pytest.raises(ServiceError, match="has ended, twice"):
        process.call(Drawer.names)


SERVER = """
import sys, time
from functools import partial
from orchestration.page.acting import OnThisMachine
from orchestration.page.apart import Process
from orchestration.page.drawer import Drawer
from orchestration.reading.sql import SqlSource
from services.settings import Settings
settings = Settings.from_environment({"SNN_SWEEP_HOME": sys.argv[2]})
process = Process(partial(SqlSource, sys.argv[1]), settings, OnThisMachine(settings), "")
print(process.call(Drawer.names), flush=True)
time.sleep(600)
"""


def test_the_process_ends_with_a_server_that_was_killed(uri: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", SERVER, uri, str(tmp_path)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "['own']\n"
    drawing = psutil.Process(server.pid).children()
    assert drawing
    server.kill()
    server.communicate()
    wait_until(lambda: not any(one.is_running() for one in drawing))


def test_a_table_that_takes_long_is_computed_once_and_holds_up_no_other_page(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    compare, computed = drawer_module.comparison_of, []

    def slowly(*arguments: Any) -> Any:
        computed.append(arguments)
        begun.set()
        assert go_on.wait(60)
        return compare(*arguments)

    monkeypatch.setattr(drawer_module, "comparison_of", slowly)
    with served(SqlSource(uri), tmp_path) as address, ThreadPoolExecutor(8) as visitors:
        url = f"{address}/own/compare?with=own"
        asked = [visitors.submit(requests.get, url, timeout=120) for _ in range(8)]
        try:
            assert begun.wait(60)
            assert requests.get(f"{address}?find=own", timeout=30).status_code == 200
        finally:
            go_on.set()
        replies = [one.result() for one in asked]
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == len(computed) == 1


def test_visitors_who_share_a_page_have_forms_with_their_own_tokens(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    render = view.render

    def counted(template: str, *arguments: Any, **values: Any) -> str:
        drawn.append(template)
        return render(template, *arguments, **values)

    monkeypatch.setattr(view, "render", counted)
    with served(SqlSource(uri), tmp_path) as address:
        for token in ("one", "<script>alert(1)</script>"):
            cookie = {"cookie": f"snn-sweep-token={token}"}
            page = requests.get(f"{address}/own", headers=cookie, timeout=60).text
            assert page.count(f'name="token" value="{escape(token)}"') == 1
            assert "<script>alert" not in page
    assert drawn == ["sweep"]


def test_an_error_is_raised_to_all_who_wait_and_is_not_kept() -> None:
    shared: Shared[int] = Shared(2)
    with pytest.raises(InputError):
        shared.get("key", partial(_raise, InputError("not now")))
    assert shared.get("key", lambda: 1) == shared.get("key", lambda: 2) == 1
    for key in ("another", "a third"):
        shared.get(key, lambda: 3)
    assert shared.get("key", lambda: 4) == 4  # the first was asked for the longest ago


def _raise(error: Exception) -> int:
    raise error
