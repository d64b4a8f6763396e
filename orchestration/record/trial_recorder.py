"""Records a trial in MLflow: records are spooled to disk, and a background thread sends them.

A record is on disk before it counts, and keeps the time at which it was measured. MLflow drops a
metric that it already has (same run, key, step, time and value), so sending everything again after
a crash or a lost reply duplicates nothing. An epoch that a resumed trial trains again is not
recorded again. While MLflow cannot be reached, training continues: only the end of the trial waits.

What is recorded within some seconds is sent in one request: within 5 s at first, later within 10 s.
A trial that ends within 5 s takes three requests: its run is created, gets everything that was
recorded, and is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Self

import stamina
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunInfo, RunTag

from orchestration.model.trial import Trial
from orchestration.record.client import is_refusal
from orchestration.record.names import (
    OUTCOME_TAG,
    PARENT_TAG,
    REASON_TAG,
    ROLE_TAG,
    TRIAL_KEY_TAG,
    VERSION_TAG,
    params_of,
)
from orchestration.record.spool import Spool

_FIRST_WAIT, _LONGEST_WAIT = 5.0, 10.0
"""How many seconds records wait for others: after the run is opened, and later. The wait is
doubled after each batch, up to the longest. The end of a trial does not wait."""
_LONGEST_PAUSE = 5.0  # seconds between attempts to reach the server


class TrackerAwayError(Exception):
    """MLflow could not be reached for so long that the trial has to be tried again later."""


class RefusedError(Exception):
    """MLflow will never accept what a trial has recorded."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The error for MLflow's answer."""
        return cls(f"MLflow refuses what the trial recorded: {error}")


@dataclass
class TrialRecorder:
    """Records one trial.

    Its methods raise ``SupersededError`` once another attempt has taken over. All but :meth:`fail`
    raise ``RefusedError`` once MLflow has refused a record.

    Args:
        client: MLflow's client.
        trial: the trial to record.
        experiment_id: MLflow's id of the sweep's experiment.
        parent_run_id: MLflow's id of the sweep's own run.
        spool: holds the records; entries of an earlier attempt are sent again.
        patience: how many seconds the end of the trial waits for an unreachable server.
        run_id: the run to continue; None to create one.
        tags: further tags of the run, such as those of the machine.
    """

    client: MlflowClient
    trial: Trial
    experiment_id: str
    parent_run_id: str
    spool: Spool
    patience: float
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    _wake: threading.Condition = field(default_factory=threading.Condition, init=False)
    _sent: int = field(default=0, init=False)
    _due: float = field(default=0.0, init=False)
    _is_awaited: bool = field(default=False, init=False)
    _run: RunInfo | None = field(default=None, init=False)
    _closing: bool = field(default=False, init=False)
    _is_open: bool = field(default=False, init=False)
    _trouble: Exception | None = field(default=None, init=False)
    _refusal: RefusedError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # An earlier attempt may have created a run and died before it knew the run's id.
        self._may_have_run = not self.spool.is_new
        self._thread = threading.Thread(target=self._send_all, name="recorder", daemon=True)
        self._thread.start()

    def record_epoch(
        self, epoch: int, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Record the metrics and tags of an epoch, unless it is recorded already."""
        if epoch not in self.spool.epochs:
            self._append({"step": epoch, "metrics": dict(metrics), "tags": dict(tags)})

    def note_checkpoint(self, epoch: int) -> None:
        """Add to the spool that this epoch has a checkpoint within it. MLflow is not told."""
        self._append({"saved_within_epoch": epoch})

    def end(
        self,
        outcome: str,
        final_metrics: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record the outcome of the trial, with its final metrics and tags."""
        metrics = dict(final_metrics)
        self._append({"outcome": outcome, "metrics": metrics, "tags": dict(tags or {})})

    @property
    def arrived(self) -> int:
        """How many entries of the spool have arrived in MLflow."""
        return self._sent

    @property
    def waiting_since(self) -> float | None:
        """When the oldest record that has not arrived was made, in seconds since 1970."""
        with self._wake:
            entries = self.spool.entries[self._sent :]
        return min((entry["time"] / 1000 for entry in entries if "time" in entry), default=None)

    def finish(
        self,
        last: Callable[[MlflowClient, RunInfo], object] | None = None,
        *,
        patience: float | None = None,
    ) -> None:
        """Wait until all records have arrived, then close the run as FINISHED. May be repeated.

        Args:
            last: called with the client and the run before the run is closed, and repeated until
                it succeeds: a finished run is complete.
            patience: how many seconds this call waits; None is the recorder's patience.

        Raises:
            TrackerAwayError: MLflow, or what ``last`` needs, was unreachable for longer than that.
        """
        patience = self.patience if patience is None else patience
        self._wait_until_sent(patience)
        if last is not None:
            self._insist(lambda run_id: last(self.client, self._run_of(run_id)), patience)
        self._insist(lambda run_id: self.client.set_terminated(run_id, "FINISHED"), patience)

    def fail(self, reason: str, status: str = "FAILED") -> None:
        """Close the run as FAILED with its reason, after all records have arrived.

        Records that MLflow refuses stay in the spool.

        Args:
            reason: why it ends.
            status: KILLED instead, for a run that may be continued.

        Raises:
            TrackerAwayError: MLflow was unreachable for longer than ``patience``.
            RefusedError: MLflow refuses the run itself.
        """
        try:
            self._wait_until_sent(self.patience)
        except RefusedError:
            if self.spool.run_id is None:
                raise
        self._insist(lambda run_id: close_run(self.client, run_id, status, reason), self.patience)

    def close(self) -> None:
        """Stop sending; records that have not arrived stay in the spool."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()
        self.spool.close()

    def _append(self, entry: dict[str, Any]) -> None:
        with self._wake:
            self._raise_refusal()
            self.spool.append({**entry, "time": time.time_ns() // 1_000_000})
            self._wake.notify_all()

    def _send_all(self) -> None:
        """Open the run, then send new entries until closed or refused; retry errors of the server.

        Both are tried again with the next entry or after a pause.
        """
        pause, wait = 0.1, _FIRST_WAIT
        while (entries := self._next_entries()) is not None:
            try:
                if self._is_open:
                    assert self.spool.run_id is not None
                    deliver(self.client, self.spool.run_id, entries)
                else:
                    self._open_run()
                    entries = []
            except Exception as error:  # noqa: BLE001 - the waiting trial raises it
                with self._wake:
                    self._trouble = error
                    if is_refusal(error):
                        self._refusal = RefusedError.of(error)
                        self._wake.notify_all()
                        return
                    self._wake.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            with self._wake:
                self._is_open = True
                self._sent += len(entries)
                self._due = time.monotonic() + wait
                self._trouble, pause, wait = None, 0.1, min(2 * wait, _LONGEST_WAIT)
                self._wake.notify_all()

    def _next_entries(self) -> list[dict[str, Any]] | None:
        """Wait for entries that are due; None once the recorder is closed."""
        with self._wake:
            while not self._closing:
                entries = self.spool.entries[self._sent :]
                wait = 0.0 if self._is_awaited else self._due - time.monotonic()
                if entries and wait <= 0:
                    return entries
                self._wake.wait(wait if entries else None)
        return None

    def _open_run(self) -> None:
        """Open the run: the one to continue, one of an attempt that died, or a new one.

        Its parameters are an entry of the spool, so that they arrive even if this attempt dies.
        """
        run_id = self.run_id or self.spool.run_id
        if run_id is None and self._may_have_run:
            run_id = self._find_run()
        self._may_have_run = True  # in case the reply to the next request is lost
        tags = dict(self.tags)
        if run_id is None:
            run_id = self._create_run()
        else:
            self.client.update_run(run_id, status="RUNNING")
            tags[REASON_TAG] = "resumed after an interruption or a failure"
        params = params_of(self.trial.config.given())
        with self._wake:
            self.spool.append({"run_id": run_id, "params": params, "tags": tags})

    def _create_run(self) -> str:
        tags = {
            PARENT_TAG: self.parent_run_id,
            ROLE_TAG: "trial",
            TRIAL_KEY_TAG: self.trial.key,
            VERSION_TAG: version("snn-norm"),
        }
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=self.trial.label)
        self._run = run.info
        return str(run.info.run_id)

    def _run_of(self, run_id: str) -> RunInfo:
        """The run, asked of the server only if this attempt has not created it."""
        if self._run is None:
            self._run = self.client.get_run(run_id).info
        return self._run

    def _find_run(self) -> str | None:
        runs = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{TRIAL_KEY_TAG}` = '{self.trial.key}' AND status != 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        return str(runs[0].info.run_id) if runs else None

    def _wait_until_sent(self, patience: float) -> None:
        """Wait for the sending thread; the patience starts again whenever a batch arrives."""
        with self._wake:
            self._is_awaited = True
            self._wake.notify_all()
            while (sent := self._sent) < len(self.spool.entries):
                if not self._wake.wait_for(
                    lambda: self._sent > sent or self._refusal, timeout=patience
                ):
                    raise _away(self._trouble, patience) from self._trouble
                self._raise_refusal()

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal from self._trouble

    def _insist(self, call: Callable[[str], object], patience: float) -> None:
        """Make an idempotent call, and retry it within ``patience``."""
        run_id = self.spool.run_id
        assert run_id is not None, "all records have arrived, so the run is open"
        insist = stamina.RetryingCaller(attempts=None, timeout=patience)
        try:
            insist(lambda error: not is_refusal(error), call, run_id)
        except Exception as error:
            if is_refusal(error):
                raise RefusedError.of(error) from error
            if isinstance(error, TrackerAwayError):
                raise
            raise _away(error, patience) from error


def _away(error: Exception | None, patience: float) -> TrackerAwayError:
    return TrackerAwayError(f"MLflow did not answer for {patience:.0f} s: {error}")


def deliver(client: MlflowClient, run_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Send spooled entries to a run; MLflow drops those that it already has.

    If MLflow refuses them, each is sent by itself, the parameters first, so that those before the
    refused one arrive.
    """
    try:
        _send(client, run_id, entries)
    except Exception as error:
        if not is_refusal(error):
            raise
        for entry in sorted(entries, key=lambda entry: "params" not in entry):
            _send(client, run_id, [entry])


def _send(client: MlflowClient, run_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Send entries in one request, unless they have more than MLflow's limits allow."""
    metrics = [
        Metric(key, value, entry["time"], entry.get("step", 0))
        for entry in entries
        for key, value in entry.get("metrics", {}).items()
    ]
    tags = {key: text for entry in entries for key, text in entry.get("tags", {}).items()}
    params = {key: text for entry in entries for key, text in entry.get("params", {}).items()}
    client.log_batch(
        run_id,
        metrics,
        [Param(key, text) for key, text in params.items()],
        [RunTag(key, text) for key, text in tags.items()]
        + [RunTag(OUTCOME_TAG, entry["outcome"]) for entry in entries if "outcome" in entry],
    )


def close_run(client: MlflowClient, run_id: str, status: str, reason: str) -> None:
    """End a run as KILLED or FAILED, and record the reason."""
    client.set_tag(run_id, REASON_TAG, reason)
    client.set_terminated(run_id, status)
