"""The queue of a sweep's trials: those of its plan, then allocated ones, within its budget."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestration.execution.trials.search_allocator import SearchAllocator
from orchestration.execution.trials.seed_allocator import SeedAllocator
from orchestration.execution.worker.task import TrialTask
from orchestration.model.trial import Trial
from orchestration.progress.events import DecisionProgress, EventHandler, Note


class Budget:
    """A budget of GPU hours, or of core hours if trials have no GPU. None is no limit.

    Args:
        whose: more about the budget, for its text.
    """

    def __init__(
        self, hours: float | None, used: float = 0.0, unit: str = "GPU", whose: str = ""
    ) -> None:
        self._hours = hours
        self._used = used
        self._unit = unit
        self._whose = whose

    def spend(self, hours: float) -> None:
        """Count hours as used."""
        self._used += hours

    @property
    def left(self) -> float:
        """How many hours are left."""
        return math.inf if self._hours is None else max(0.0, self._hours - self._used)

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self._hours is not None and self._used >= self._hours

    def __str__(self) -> str:
        if self._hours is None:
            return ""
        return f"{self._used:.3g} of {self._hours:.4g} {self._unit} hours used{self._whose}"


class SweepTrialQueue:
    """The tasks of a sweep. Its methods must be fast, as Tune waits for them.

    Args:
        tasks: the tasks that are run in any case, in the order in which to start them.
        allocator: decides which further trials are wanted; None if there are none.
        more: makes tasks of further trials, and announces them.
    """

    def __init__(
        self,
        tasks: Iterable[TrialTask],
        budget: Budget,
        allocator: SeedAllocator | SearchAllocator | None,
        more: Callable[[Sequence[Trial]], list[TrialTask]],
        watch: EventHandler,
    ) -> None:
        self._tasks = deque(tasks)
        self._budget = budget
        self._allocator = allocator
        self._more = more
        self._watch = watch
        self._given = {task.trial.key for task in self._tasks}
        self._verdicts = allocator.verdicts() if allocator else []
        self._model_warnings: set[str] = set()
        self._has_more = allocator is not None
        self._report_progress()

    @property
    def is_over(self) -> bool:
        """Whether the budget is used up: running trials stop after their epoch, none starts."""
        return self._budget.is_used_up

    @property
    def left(self) -> int:
        """How many tasks of the queue are still to be given."""
        return 0 if self.is_over else len(self._tasks)

    @property
    def may_grow(self) -> bool:
        """Whether there may be further tasks as soon as a worker is idle."""
        return self._has_more and not self.is_over

    def next(self, *, idle: bool) -> TrialTask | None:
        """The next given task; once there is none, a task of an allocated trial.

        Seeds are allocated only when a worker is idle, one pair at a time, so that the choice uses
        all results so far.
        """
        if self.is_over:
            return None
        if not self._tasks and idle and self._has_more:
            self._tasks += self._allocated()
        return self._tasks.popleft() if self._tasks else None

    def take(self, task: TrialTask, report: Mapping[str, Any]) -> None:
        """Count an epoch's time, and update decisions with a trial's result."""
        key = task.trial.key
        if "epoch" in report:
            self._budget.spend(report["epoch_seconds"] * resources_of(task) / 3600)
            if self._allocator:
                self._allocator.time(key, report["epoch_seconds"])
        if isinstance(self._allocator, SearchAllocator) and "run_id" in report:
            self._allocator.record(key, report["run_id"], has_ended=report["outcome"] is not None)
            self._has_more = True
        if self._allocator and report["outcome"] is not None:
            self._allocator.take(key, report["outcome"], report.get("best"))
            self._report_verdicts()
        if report["outcome"] is not None or "run_id" in report:
            self._report_progress()
        if (why := report.get("no_model")) and why not in self._model_warnings:
            self._model_warnings.add(why)
            self._watch(Note(f"warning: {task.trial.label} has no model: {why}"))

    def fail(self, task: TrialTask) -> None:
        """Note that a task has failed for good."""
        if self._allocator:
            self._allocator.fail(task.trial.key)
            self._has_more = True

    def summary(self) -> str:
        """The decided comparisons and the used budget, in one line."""
        parts = [self._decided(), str(self._budget)]
        if self._allocator and self._verdicts:
            parts.append(f"{self._allocator.not_needed()} trials run ahead that no decision needed")
        return " · ".join(filter(None, parts))

    def _allocated(self) -> list[TrialTask]:
        assert self._allocator is not None
        trials = self._allocator.next(self._given)
        self._has_more = bool(trials)  # if there are none, not before another trial has ended
        self._given |= {trial.key for trial in trials}
        return self._more(trials) if trials else []

    def _report_verdicts(self) -> None:
        assert self._allocator is not None
        self._has_more = True
        verdicts = self._allocator.verdicts()
        for words, before in zip(verdicts, self._verdicts, strict=True):
            if words and not before:
                self._watch(Note(f"decided: {words}"))
        self._verdicts = verdicts

    def _report_progress(self) -> None:
        """Report decided comparisons, used hours and the next decision."""
        parts = [self._decided(), str(self._budget)]
        parts += [self._allocator.next_decision()] if self._allocator else []
        if any(parts):
            decided = self._allocator.decided() if self._allocator else {}
            self._watch(DecisionProgress(decided, " · ".join(filter(None, parts))))

    def _decided(self) -> str:
        decided = sum(map(bool, self._verdicts))
        return f"{decided} of {len(self._verdicts)} comparisons decided" if self._verdicts else ""


def resources_of(task: TrialTask) -> float:
    """The GPUs that a task reserves, or its processor cores if it has no GPU."""
    return task.gpu or task.cpu
