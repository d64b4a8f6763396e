"""Collects failures of trials and losses of Ray from the events of a sweep."""

from __future__ import annotations

import dataclasses

from orchestration.progress.events import Added, EpochDone, Event, EventHandler, Failed, Planned
from orchestration.sweep.plan import Plan


class Tally:
    """A handler of events that passes each of them on.

    Args:
        watch: called with each event.
    """

    def __init__(self, watch: EventHandler) -> None:
        self._watch = watch
        self._keys: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        """Why each failed trial failed, by its label."""
        self.losses = 0
        """How often Ray has ended since the last epoch of any trial."""

    def __call__(self, event: Event) -> None:
        """Count one event and pass it on."""
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
        """Why each failed trial failed, by its key."""
        return {self._keys[label]: reason for label, reason in self.failures.items()}

    def without_failed(self, plan: Plan) -> Plan:
        """A plan without the trials that have failed."""
        failed = self.failed
        return dataclasses.replace(
            plan,
            run=tuple(trial for trial in plan.run if trial.key not in failed),
            resume=tuple(pair for pair in plan.resume if pair[0].key not in failed),
        )
