"""A sweep that is refused before it is planned leaves no log."""

from __future__ import annotations

from orchestration.progress.events import Event, Note, Planned, from_plan
from orchestration.sweep.plan import make_plan


def test_events_are_passed_on_from_the_plan() -> None:
    passed: list[Event] = []
    handle = from_plan(passed.append)
    planned = Planned(make_plan((), (), version=""))
    for event in (Note("before"), planned, Note("after")):
        handle(event)
    assert passed == [planned, Note("after")]
