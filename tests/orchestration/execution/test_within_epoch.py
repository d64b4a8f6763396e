"""When a run is saved within its epoch, and when it leaves."""

from __future__ import annotations

import time

import pytest

from orchestration.execution.worker import within_epoch
from orchestration.execution.worker.within_epoch import PreemptedError, WithinEpoch


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def notice(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The last element is what Ray answers."""
    notice: list[float | None] = [None]
    monkeypatch.setattr(within_epoch, "seconds_left", lambda: notice[-1])
    return notice


def test_it_saves_whenever_the_time_has_passed(clock: Clock, notice: list[float | None]) -> None:
    saved: list[float] = []
    within = WithinEpoch(60, lambda: saved.append(clock.now))
    for clock.now in range(1000, 1200, 25):
        within(8)
    assert saved == [1075, 1150]
    assert notice == [None]


def test_a_notice_is_seen_within_seconds_and_the_run_is_saved_before_it_leaves(
    clock: Clock, notice: list[float | None]
) -> None:
    saved: list[float] = []
    within = WithinEpoch(60, lambda: saved.append(clock.now))
    within(8)
    notice.append(29.4)
    clock.now += 1
    within(8)
    assert within.seconds_left is None
    clock.now += 1
    with pytest.raises(PreemptedError, match="its node is taken away in 29 s; it goes on elsewh"):
        within(8)
    assert saved == [1002]
    assert within.seconds_left == 29.4


def test_a_run_that_cannot_be_saved_now_leaves_too(notice: list[float | None]) -> None:
    within = WithinEpoch(60, lambda: pytest.fail("it is saved"))
    within.leave_if_taken_away()
    notice.append(0.0)
    with pytest.raises(PreemptedError, match="in 0 s"):
        WithinEpoch(60, lambda: None).leave_if_taken_away()
