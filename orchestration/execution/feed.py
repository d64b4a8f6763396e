"""What a sweep runs next: the trials of its plan, then the seeds that are wanted, in its budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestration.execution.seeds import SeedBuyer
from orchestration.execution.worker import TrialTask
from orchestration.progress.events import Note, Watch
from orchestration.sweep.trial import Trial

__all__ = ["Budget", "SweepFeed", "resources_of"]


class Budget:
    """GPU hours, or those of processor cores where trials have no GPU.

    Args:
        hours: the most to be used; None is no limit.
        used: by what was run before.
    """

    def __init__(self, hours: float | None, used: float = 0.0) -> None:
        self._hours = hours
        self._used = used

    def spend(self, hours: float) -> None:
        """Count what has been used."""
        self._used += hours

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self._hours is not None and self._used >= self._hours

    def __str__(self) -> str:
        return "" if self._hours is None else f"{self._used:.3g} of {self._hours:g} GPU hours used"


class SweepFeed:
    """The tasks of a sweep, as ``orchestration.execution.tune.Feed`` describes them.

    Args:
        tasks: the plan's, in the order to start them.
        budget: what they may use.
        buyer: says which trials are wanted further; None if those of the plan are all.
        more: makes tasks of trials that are wanted further, and announces them.
        watch: told of decisions.
    """

    def __init__(
        self,
        tasks: Iterable[TrialTask],
        budget: Budget,
        buyer: SeedBuyer | None,
        more: Callable[[Sequence[Trial]], list[TrialTask]],
        watch: Watch,
    ) -> None:
        self._tasks = deque(tasks)
        self._budget = budget
        self._buyer = buyer
        self._more = more
        self._watch = watch
        self._given = {task.record.trial_key for task in self._tasks}
        self._told = buyer.verdicts() if buyer else []
        self._asked: set[bool] = set()

    @property
    def is_over(self) -> bool:
        """Whether the budget is used up."""
        return self._budget.is_used_up

    def next(self, *, idle: bool) -> TrialTask | None:
        """The plan's tasks, then those of the next seeds; seeds run ahead if a worker is idle."""
        if self.is_over:
            return None
        if not self._tasks:
            self._tasks += self._bought(ahead=False)
        if not self._tasks and idle:
            self._tasks += self._bought(ahead=True)
        return self._tasks.popleft() if self._tasks else None

    def take(self, task: TrialTask, report: Mapping[str, Any]) -> None:
        """Count an epoch's time; see what follows from a trial's result."""
        if "epoch" in report:
            self._budget.spend(report["epoch_seconds"] * resources_of(task) / 3600)
        if self._buyer and report["outcome"] is not None:
            self._buyer.take(task.record.trial_key, report["outcome"], report["best_test_accuracy"])
            self._tell()

    def fail(self, task: TrialTask) -> None:
        """Leave a trial out."""
        if self._buyer:
            self._buyer.fail(task.record.trial_key)
            self._asked.clear()

    def _bought(self, *, ahead: bool) -> list[TrialTask]:
        """Tasks of trials that are wanted and were not given; of those run ahead one at a time."""
        if self._buyer is None or ahead in self._asked:
            return []
        new = [
            trial
            for trial in self._buyer.wanted(ahead=ahead)
            if trial.key not in self._given and trial.key not in self._buyer.ended
        ]
        if not new:
            self._asked.add(ahead)  # the answer stays the same until another trial has ended
            return []
        new = new[:1] if ahead else new
        self._given |= {trial.key for trial in new}
        tasks = self._more(new)
        if not ahead:
            decided = sum(map(bool, self._told))
            parts = [f"{decided} of {len(self._told)} comparisons decided", str(self._budget)]
            self._watch(Note(" · ".join(filter(None, [*parts, self._buyer.next_look()]))))
        return tasks

    def summary(self) -> str:
        """What came of the budget and of the comparisons, in a line."""
        parts = [str(self._budget)]
        if self._buyer:
            parts.insert(
                0, f"{sum(map(bool, self._told))} of {len(self._told)} comparisons decided"
            )
            parts.append(f"{self._buyer.in_vain()} trials run ahead that no decision needed")
        return " · ".join(filter(None, parts))

    def _tell(self) -> None:
        assert self._buyer is not None
        self._asked.clear()
        verdicts = self._buyer.verdicts()
        for words, before in zip(verdicts, self._told, strict=True):
            if words and not before:
                self._watch(Note(f"decided: {words}"))
        self._told = verdicts


def resources_of(task: TrialTask) -> float:
    """GPUs that a task reserves, or processor cores where it has none."""
    return task.gpu or task.cpu
