"""Notifies the addresses of ``SNN_SWEEP_NOTIFY`` of the end of a sweep, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.execution.tally import SweepOutcome
from orchestration.progress.events import EventHandler, Note
from services.notify import notify
from services.settings import Settings

if TYPE_CHECKING:  # MLflow takes seconds, and the command's first line comes before it
    from orchestration.record.sweep_recorder import SweepRecorder

_MOST_FAILURES = 5
"""The most failed trials that a message names."""


def notify_of_end(
    outcome: SweepOutcome, recorder: SweepRecorder, settings: Settings, watch: EventHandler
) -> None:
    """Send one notification of a sweep that has ended by itself; none if somebody has stopped it.

    A tag of the sweep's run says that the notification is due. If this driver is killed before it
    has sent one, the next driver sends it. If it is killed between sending and recording that, the
    notification is sent twice.
    """
    if settings.notify and recorder.notice_is_due() and not outcome.interrupted:
        send_notice(settings.notify, outcome.name, *_in_words(outcome), watch)
        recorder.mark_notice("done")


def notify_of_error(error: Exception, name: str, settings: Settings, watch: EventHandler) -> None:
    """Send a notification of an error that has stopped a sweep."""
    if settings.notify:
        send_notice(settings.notify, name, "stopped by an error", [str(error)], watch)


def _in_words(outcome: SweepOutcome) -> tuple[str, list[str]]:
    """How a sweep has ended, as the end of a title, and the lines below it."""
    lines = [f"{label}: {reason}" for label, reason in outcome.failures.items()][:_MOST_FAILURES]
    if len(outcome.failures) > _MOST_FAILURES:
        lines.append(f"and {len(outcome.failures) - _MOST_FAILURES} more")
    if outcome.failures:
        return f"{len(outcome.failures)} trials failed", lines
    if outcome.unfinished:
        return "gpu_hours are used up", [f"{len(outcome.unfinished)} trials are missing"]
    return "completed", []


def send_notice(
    addresses: Sequence[str], name: str, state: str, lines: Sequence[str], watch: EventHandler
) -> None:
    """Send a notification of a sweep's state, and note each address that does not accept it."""
    body = "\n".join([*lines, f"Its table: snn-sweep results {name}"])
    for address in notify(addresses, f"Sweep {name}: {state}", body):
        watch(Note(f"warning: the notification to {address} was not accepted"))
