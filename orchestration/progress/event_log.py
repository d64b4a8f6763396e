"""What happens in a sweep, as lines of JSON: written where it runs, shown anywhere else.

    RelayWatch(file)            writes a line an event
    Replay(watch).feed(line)    tells another watch of it, later or on another machine

Lines that are no events (a warning, a traceback) are notes.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from orchestration.progress.watch import Watch
from orchestration.sweep.plan import Matched, Plan, RecordedRun
from orchestration.sweep.trial import Trial
from snn_norm.config import RunConfig

__all__ = ["FileLog", "RelayWatch", "Replay", "both"]

_MARK = '{"snn_sweep":'
_OF_RAY = ("job_manager.py:", "Running entrypoint for job")  # at the head of every job's log
_REPORTED = ("epoch", "epoch_seconds", "test_accuracy", "best_test_accuracy", "outcome")


class RelayWatch:
    """Writes a line of JSON an event.

    Args:
        out: flushed after each.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def planned(self, plan: Plan) -> None:
        """What the sweep is about to do."""
        known = {"resume": plan.resume, "reuse": plan.reuse, "copy": plan.copy}
        written = {kind: [_matched(one) for one in ones] for kind, ones in known.items()}
        self._write("planned", plan={"run": [_trial(trial) for trial in plan.run], **written})

    def started(self, label: str) -> None:
        """A trial has a worker."""
        self._write("started", label=label)

    def epoch(self, label: str, report: Mapping[str, Any]) -> None:
        """A trial has done an epoch."""
        told = {key: report[key] for key in _REPORTED if key in report}
        self._write("epoch", label=label, report=told)

    def retried(self, label: str, reason: str) -> None:
        """A trial will be tried again."""
        self._write("retried", label=label, reason=reason)

    def failed(self, label: str, reason: str) -> None:
        """A trial has failed for good."""
        self._write("failed", label=label, reason=reason)

    def note(self, text: str) -> None:
        """Something else that the user should know."""
        self._write("note", text=text)

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"snn_sweep": event, "time": round(time.time(), 3), **fields})
        self._put(line + "\n")

    def _put(self, line: str) -> None:
        self._out.write(line)
        self._out.flush()


class FileLog(RelayWatch):
    """Adds to a file, which is made with the first event: a sweep that is refused leaves none.

    A disk that takes no more makes gaps in the log, and a warning; the sweep goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def _put(self, line: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            warnings.warn(f"an event is missing in the sweep's log: {error}", stacklevel=4)


class Replay:
    """Tells a watch what was written, event by event. ``time`` is that of the last event."""

    def __init__(self) -> None:
        self.time = time.time()

    def feed(self, line: str, watch: Watch) -> None:
        """Tell of one line."""
        event = _event(line)
        if event is None:
            if line.strip() and not any(phrase in line for phrase in _OF_RAY):
                watch.note(line)
            return
        self.time = event.pop("time", self.time)
        kind = event.pop("snn_sweep")
        if kind == "planned":
            event["plan"] = _read_plan(event["plan"])
        getattr(watch, kind)(**event)


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith(_MARK):
        return None
    try:
        return cast("dict[str, Any]", json.loads(line))
    except ValueError:  # cut short by a crash
        return None


class _Both:
    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def __getattr__(self, event: str) -> Any:
        def tell(*arguments: Any) -> None:
            for watch in self._watches:
                getattr(watch, event)(*arguments)

        return tell


def both(one: Watch, other: Watch) -> Watch:
    """A watch that tells two."""
    return cast("Watch", _Both(one, other))


def _trial(trial: Trial) -> dict[str, Any]:
    return {"key": trial.key, "label": trial.label, "config": trial.config.given()}


def _matched(one: Matched) -> dict[str, Any]:
    run = one.run
    return {
        **_trial(one.trial),
        "run_id": run.run_id,
        "outcome": run.outcome,
        "epochs_done": run.epochs_done,
        "epoch_seconds": run.epoch_seconds,
    }


def _read_trial(told: Mapping[str, Any]) -> Trial:
    return Trial(RunConfig(**told["config"]), told["key"], told["label"])


def _read_matched(told: Mapping[str, Any]) -> Matched:
    run = RecordedRun(
        run_id=told["run_id"],
        trial_key=told["key"],
        status="RUNNING" if told["outcome"] is None else "FINISHED",
        outcome=told["outcome"],
        epochs_done=told["epochs_done"],
        epoch_seconds=told["epoch_seconds"],
        version=None,
        resumable=True,
    )
    return Matched(_read_trial(told), run)


def _read_plan(told: Mapping[str, Any]) -> Plan:
    return Plan(
        run=tuple(_read_trial(one) for one in told["run"]),
        resume=tuple(_read_matched(one) for one in told["resume"]),
        reuse=tuple(_read_matched(one) for one in told["reuse"]),
        copy=tuple(_read_matched(one) for one in told.get("copy", ())),
        close=(),
        replace=(),
        superfluous=(),
        warnings=(),  # they come as notes
    )
