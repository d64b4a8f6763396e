"""A trial's way to MLflow: spooled on disk, sent in batches by a background thread, once.

A record is on disk before it counts as measured, and keeps the time it was measured at. MLflow
drops a metric that it holds already (same run, key, step, time and value), so sending everything
again after a crash or a lost reply leaves nothing double; an epoch that a resumed trial trains
again is not recorded again. MLflow may be away meanwhile: only the end of the trial waits for it.
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
from mlflow.entities import Metric, Param, RunTag

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

METRICS_A_BATCH = 1000  # MLflow's limit
_LONGEST_PAUSE = 5.0  # seconds between attempts to reach the server


class TrackerAwayError(Exception):
    """MLflow could not be reached for so long that the trial has to be tried again later."""


class RefusedError(Exception):
    """MLflow will never take what a trial has to record."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The error that goes with MLflow's answer."""
        return cls(f"MLflow refuses what the trial recorded: {error}")


@dataclass
class TrialRecorder:
    """Records one trial. Its methods raise ``SupersededError`` once another attempt has taken over,
    and all but :meth:`fail` ``RefusedError`` once MLflow has refused a record.

    Args:
        client: MLflow's client.
        trial: the trial to record.
        experiment_id: MLflow's id of the sweep's experiment.
        parent_run_id: MLflow's id of the sweep's own run.
        spool: where records wait; entries of an earlier attempt are sent again, harmlessly.
        patience: how many seconds the end of the trial waits for a server that is away.
        run_id: the run to continue; None to create one.
        tags: further tags of the run, such as the machine it is on.
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
    _closing: bool = field(default=False, init=False)
    _is_open: bool = field(default=False, init=False)
    _trouble: Exception | None = field(default=None, init=False)
    _refusal: RefusedError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # An earlier attempt may have made a run and died before it learned the run's id.
        self._may_have_run = not self.spool.is_new
        self._thread = threading.Thread(target=self._send_all, name="recorder", daemon=True)
        self._thread.start()

    def record_epoch(
        self, epoch: int, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Put an epoch on record, unless it is already; and what is known of the trial by then."""
        if epoch not in self.spool.epochs:
            self._append({"step": epoch, "metrics": dict(metrics), "tags": dict(tags)})

    def end(
        self,
        outcome: str,
        final_metrics: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Put on record how the trial ended, and what is known of it by then."""
        metrics = dict(final_metrics)
        self._append({"outcome": outcome, "metrics": metrics, "tags": dict(tags or {})})

    @property
    def arrived(self) -> int:
        """How many entries of the spool MLflow holds."""
        return self._sent

    def finish(
        self,
        last: Callable[[MlflowClient, str], object] | None = None,
        *,
        patience: float | None = None,
    ) -> None:
        """Wait until all has arrived, then close the run as FINISHED. May be repeated.

        Args:
            last: called by the client and the run's id before that, again and again until it
                does not raise: a run that has finished has all that belongs to it.
            patience: of this call, in seconds; None is that of the recorder.

        Raises:
            TrackerAwayError: MLflow, or what ``last`` needs, was away for longer than the patience.
        """
        patience = self.patience if patience is None else patience
        self._wait_until_sent(patience)
        if last is not None:
            self._insist(lambda run_id: last(self.client, run_id), patience)
        self._insist(lambda run_id: self.client.set_terminated(run_id, "FINISHED"), patience)

    def fail(self, reason: str) -> None:
        """Close the run as FAILED with its reason, after all that was measured has arrived.

        What MLflow refuses does not arrive: it stays in the spool.

        Raises:
            TrackerAwayError: MLflow was away for longer than ``patience``.
            RefusedError: MLflow refuses the run itself.
        """
        try:
            self._wait_until_sent(self.patience)
        except RefusedError:
            if self.spool.run_id is None:
                raise
        self._insist(lambda run_id: close_run(self.client, run_id, "FAILED", reason), self.patience)

    def close(self) -> None:
        """Stop sending; what has not arrived stays in the spool."""
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
        """Send what is new until closed or refused, however often the server is away meanwhile."""
        pause = 0.1
        while True:
            with self._wake:
                while self._sent == len(self.spool.entries) and not self._closing:
                    self._wake.wait()
                if self._closing:
                    return
                entries = self.spool.entries[self._sent :]
            try:
                if not self._is_open:
                    self._open_run()
                assert self.spool.run_id is not None
                deliver(self.client, self.spool.run_id, entries)
            except Exception as error:  # noqa: BLE001 - kept, and raised where the trial waits
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
                self._sent += len(entries)
                self._trouble, pause = None, 0.1
                self._wake.notify_all()

    def _open_run(self) -> None:
        """Open the run: the one to go on with, one made before its maker died, or a new one."""
        run_id = self.run_id or self.spool.run_id
        if run_id is None and self._may_have_run:
            run_id = self._find_run()
        self._may_have_run = True  # should the reply to what follows be lost
        tags = [RunTag(key, value) for key, value in self.tags.items()]
        if run_id is None:
            run_id = self._create_run()
        else:
            self.client.update_run(run_id, status="RUNNING")
            tags.append(RunTag(REASON_TAG, "resumed after an interruption or a failure"))
        params = [Param(key, text) for key, text in params_of(self.trial.config.given()).items()]
        self.client.log_batch(run_id, params=params, tags=tags)
        if self.spool.run_id != run_id:
            with self._wake:
                self.spool.append({"run_id": run_id})
        self._is_open = True

    def _create_run(self) -> str:
        tags = {
            PARENT_TAG: self.parent_run_id,
            ROLE_TAG: "trial",
            TRIAL_KEY_TAG: self.trial.key,
            VERSION_TAG: version("snn-norm"),
        }
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=self.trial.label)
        return str(run.info.run_id)

    def _find_run(self) -> str | None:
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{TRIAL_KEY_TAG}` = '{self.trial.key}' AND status != 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        return str(found[0].info.run_id) if found else None

    def _wait_until_sent(self, patience: float) -> None:
        """Wait for the sending thread; patience begins anew with everything that arrives."""
        with self._wake:
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
        """Make an idempotent call that must arrive, again and again within ``patience``."""
        run_id = self.spool.run_id
        assert run_id is not None, "all has arrived, so the run is open"
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
    """Send spooled entries to a run; those that it holds already are dropped by MLflow."""
    metrics = [
        Metric(key, value, entry["time"], entry.get("step", 0))
        for entry in entries
        for key, value in entry.get("metrics", {}).items()
    ]
    texts = {key: text for entry in entries for key, text in entry.get("tags", {}).items()}
    tags = [RunTag(key, text) for key, text in texts.items()]
    tags += [RunTag(OUTCOME_TAG, entry["outcome"]) for entry in entries if "outcome" in entry]
    while len(metrics) > METRICS_A_BATCH:
        client.log_batch(run_id, metrics=metrics[:METRICS_A_BATCH])
        del metrics[:METRICS_A_BATCH]
    if metrics or tags:
        client.log_batch(run_id, metrics=metrics, tags=tags)


def close_run(client: MlflowClient, run_id: str, status: str, reason: str) -> None:
    """End a run as KILLED or FAILED, and say why."""
    client.set_tag(run_id, REASON_TAG, reason)
    client.set_terminated(run_id, status)
