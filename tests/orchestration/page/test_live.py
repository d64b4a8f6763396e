"""Listeners are told each change once, and one that is cut off hinders no other."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import anyio
import pytest

from orchestration.errors import InputError
from orchestration.page import live
from orchestration.page.drawing.pieces import Change
from orchestration.page.live import ChangeStream


class Source:
    """A page with one number, of which each version is the number."""

    def __init__(self) -> None:
        self.number = 0
        self.told = 0
        self.trouble: Exception | None = None

    async def news(self, have: str) -> list[Change]:
        if self.trouble:
            raise self.trouble
        if have == str(self.number):
            return []
        self.told += 1
        return [Change(str(self.number), json.dumps(self.number) if have else None)]

    def live(self) -> ChangeStream:
        return ChangeStream(self.news)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_POLL_SECONDS", 0.01)


async def collect(page: ChangeStream, have: str, into: list[Change], enough: int) -> None:
    async for change in page.listen(have):
        into.append(change)
        if len(into) == enough:
            return


def test_every_listener_is_told_each_change_once() -> None:
    async def main() -> None:
        source = Source()
        page = source.live()
        await page.refresh()
        have, told = page.version, [list[Change]() for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            for one in told:
                group.create_task(collect(page, have, one, 3))
            for number in (1, 2, 3):
                await asyncio.sleep(0.1)
                source.number = number
        assert [[change.pieces for change in one] for one in told] == [["1", "2", "3"]] * 5
        assert source.told == 4  # once a change, and not once a listener
        late: list[Change] = []
        await collect(page, told[0][0].version, late, 2)
        assert late == told[0][1:]
        unknown: list[Change] = []
        await collect(page, "of another server", unknown, 1)
        assert unknown == [Change(page.version, None)]

    asyncio.run(main())


def test_listeners_that_are_cut_off_hinder_nobody() -> None:
    """As the server does it: a scope of anyio cancels again and again until a task has ended."""

    async def main() -> None:
        source = Source()
        page = source.live()
        await page.refresh()
        numbers = count(1)
        for _ in range(20):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(collect, page, page.version, [], 99)
                await asyncio.sleep(0.02)
                source.number = next(numbers)
                group.cancel_scope.cancel()
            with anyio.fail_after(5):
                await page.refresh()
        assert page.version == "20"

    asyncio.run(main())


def test_a_database_that_is_away_is_asked_again() -> None:
    async def main() -> None:
        source = Source()
        page = source.live()
        await page.refresh()
        told: list[Change] = []
        listening = asyncio.create_task(collect(page, page.version, told, 1))
        await asyncio.sleep(0.05)
        source.trouble = InputError("there is no such sweep for now")
        await asyncio.sleep(0.1)
        source.trouble, source.number = None, 1
        with anyio.fail_after(5):
            await listening
        assert told[0].pieces == "1"

    asyncio.run(main())


def test_a_listener_is_let_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LONGEST_SECONDS", 0.2)

    async def main() -> None:
        page = Source().live()
        await page.refresh()
        with anyio.fail_after(5):
            await collect(page, page.version, [], 1)
        assert not page.is_idle  # somebody may come back

    asyncio.run(main())
