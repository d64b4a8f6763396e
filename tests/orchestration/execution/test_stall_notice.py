from __future__ import annotations

import time
from pathlib import Path

from webhook import webhook

from orchestration.execution.stall_notice import StallNotice
from orchestration.progress.events import EpochDone, Event, Note, Started
from services.settings import Settings


def test_each_time_without_progress_is_one_message(tmp_path: Path) -> None:
    seen: list[Event] = []
    with webhook() as hook:
        settings = Settings.from_environment(
            {"SNN_SWEEP_HOME": str(tmp_path), "SNN_SWEEP_NOTIFY": hook.address}
        )

        def wait_for(count: int) -> None:
            deadline = time.monotonic() + 30
            while len(hook.messages) < count and time.monotonic() < deadline:
                time.sleep(0.02)

        with StallNotice("slow", settings, seen.append, least_seconds=0.2) as notice:
            wait_for(1)
            time.sleep(0.3)
            assert len(hook.messages) == 1, "one message until there is progress"
            notice(Started("a trial"))
            time.sleep(0.5)
            assert len(hook.messages) == 1, "its first epoch may take any time"
            notice(EpochDone("a trial", {"epoch": 1, "epoch_seconds": 0.01}))
            wait_for(2)
            notice(EpochDone("a trial", {"epoch": 2, "epoch_seconds": 1e6}))
            notice(EpochDone("a trial", {"waits_for": "the tracking server"}))
            time.sleep(0.5)
        time.sleep(0.3)
    titles = [title for title, _ in hook.messages]
    assert titles == ["Sweep slow: no progress for 0 s", "Sweep slow: no progress for 0 s"]
    assert hook.messages[0][1].startswith("No trial has started")
    assert hook.messages[1][1].startswith("The longest epoch so far took 0 s.")
    assert len(seen) == 4, "every event is passed on"


def test_without_addresses_nothing_is_sent(tmp_path: Path) -> None:
    seen: list[Event] = []
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    with StallNotice("quiet", settings, seen.append, least_seconds=0.05) as notice:
        notice(Note("hello"))
        time.sleep(0.2)
    assert seen == [Note("hello")]
