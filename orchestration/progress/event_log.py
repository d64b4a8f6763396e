"""The log of a sweep's events as lines of JSON, written where the sweep runs and read anywhere.

    StreamLog(file)             writes one line for each event
    Replay().feed(line, watch)  passes the event of a line to a handler

Lines that are not events (a warning, a traceback) become notes.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from orchestration.progress import events
from orchestration.sweep.plan import Plan

_MARK = '{"snn_sweep":'
_OF_RAY = ("job_manager.py:", "Running entrypoint for job")  # at the head of every job's log
_EARLIER = {"test_accuracy": "value", "best_test_accuracy": "best"}
"""Earlier names of fields of reports, from before there were other metrics."""
_KINDS: dict[str, type[events.Event]] = {
    "planned": events.Planned,
    "added": events.Added,
    "started": events.Started,
    "epoch": events.EpochDone,
    "retried": events.Retried,
    "failed": events.Failed,
    "kept": events.Supervised,
    "looked": events.DecisionProgress,
    "note": events.Note,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class StreamLog:
    """Writes one line of JSON for each event to a stream, which is flushed after each line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: events.Event) -> None:
        """Write one event."""
        self._out.write(_line(event))
        self._out.flush()


class FileLog:
    """Appends to a file, which is created with the first event: a refused sweep leaves no file.

    If the disk is full, the log has gaps and there is a warning, but the sweep continues.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: events.Event) -> None:
        """Write one event."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(_line(event).encode())
        except OSError as error:
            warnings.warn(f"an event is missing in the sweep's log: {error}", stacklevel=2)


class Replay:
    """Passes logged events to a handler. ``time`` is the time of the last event."""

    def __init__(self) -> None:
        self.time = time.time()

    def feed(self, line: str, watch: events.EventHandler) -> None:
        """Pass the event of one line to the handler ``watch``."""
        if logged := _read(line):
            self.time, event = logged
            watch(event)
        elif line.strip() and not any(phrase in line for phrase in _OF_RAY):
            watch(events.Note(line))


def read_event(line: str) -> events.Event | None:
    """The event of a line; None for any other line, or for one that a crash cut short."""
    logged = _read(line)
    return logged and logged[1]


def _line(event: events.Event) -> str:
    fields: dict[str, Any] = dict(vars(event))
    if isinstance(event, events.Planned | events.Added):
        fields["plan"] = event.plan.to_dict()
    elif isinstance(event, events.EpochDone):
        fields["report"] = {
            key: event.report[key] for key in events.REPORTED if key in event.report
        }
    head = {"snn_sweep": _NAMES[type(event)], "time": round(time.time(), 3)}
    return json.dumps({**head, **fields}) + "\n"


def _read(line: str) -> tuple[float, events.Event] | None:
    if not line.startswith(_MARK):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    kind, at = fields.pop("snn_sweep"), fields.pop("time")
    if "plan" in fields:
        fields["plan"] = Plan.from_dict(fields["plan"])
    if "report" in fields:
        fields["report"] = {_EARLIER.get(k, k): value for k, value in fields["report"].items()}
    return at, _KINDS[kind](**fields)
