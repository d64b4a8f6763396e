"""What has come of a driver's trials so far, gathered from the events that are told of them."""

from __future__ import annotations

import dataclasses

from orchestration.progress.events import Added, EpochDone, Event, EventHandler, Failed, Planned
from orchestration.sweep.plan import Plan


class Tally:
    """A watch that passes each event on.

    Args:
        watch: told of everything that this one is told of.
    """

    def __init__(self, watch: EventHandler) -> None:
        self._watch = watch
        self._keys: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        """Why each failed trial did, by its label."""
        self.losses = 0
        """How often Ray has ended since the last epoch of any trial."""

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Planned(plan) | Added(plan):
                self._keys |= {trial.label: trial.key for trial in plan.to_train}
            case Failed(label, reason):
                self.failures[label] = reason
            case EpochDone():
                self.losses = 0
        self._watch(event)

    @property
    def failed(self) -> dict[str, str]:
        """Why each failed trial did, by its key."""
        return {self._keys[label]: reason for label, reason in self.failures.items()}

    def without_failed(self, plan: Plan) -> Plan:
        """A plan that leaves out the trials that have failed."""
        failed = self.failed
        return dataclasses.replace(
            plan,
            run=tuple(trial for trial in plan.run if trial.key not in failed),
            resume=tuple(pair for pair in plan.resume if pair[0].key not in failed),
        )
