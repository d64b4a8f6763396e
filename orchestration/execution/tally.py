"""How a sweep ended, from its events: failures of trials and losses of Ray."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from orchestration.progress import events
from orchestration.sweep.plan import Plan


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended."""

    name: str
    reused: int
    """The number of trials that already had a result."""
    failures: dict[str, str]
    """Why each failed trial failed, by its label."""
    interrupted: bool
    """Whether the user stopped it before its end."""
    tracking_uri: str
    unfinished: tuple[str, ...] = ()
    """The labels of trials that are missing because the GPU hours are used up."""


def announce(plan: Plan, watch: events.EventHandler) -> None:
    """Announce a plan and its warnings."""
    watch(events.Planned(plan))
    for warning in plan.warnings:
        watch(events.Note(f"warning: {warning}"))


class Tally:
    """Counts failures and losses in a sweep's events, and passes each event on to a handler."""

    def __init__(self, watch: events.EventHandler) -> None:
        self._watch = watch
        self._keys: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        """Why each failed trial failed, by its label."""
        self.losses = 0
        """How often Ray has ended since the last epoch of any trial."""

    def __call__(self, event: events.Event) -> None:
        """Count one event and pass it on."""
        match event:
            case events.Planned(plan) | events.Added(plan):
                self._keys |= {trial.label: trial.key for trial in plan.to_train}
            case events.Failed(label, reason):
                self.failures[label] = reason
            case events.EpochDone():
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
