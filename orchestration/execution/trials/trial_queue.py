"""What a sweep runs next: the trials of its plan, then the seeds that are wanted, in its budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestration.execution.trials.seed_allocator import SeedAllocator
from orchestration.execution.worker.trial import TrialTask
from orchestration.model.trial import Trial
from orchestration.progress.events import DecisionProgress, EventHandler, Note


class Budget:
    """GPU hours, or those of processor cores where trials have no GPU.

    Args:
        hours: the most to be used; None is no limit.
        used: by what was run before.
        unit: whose hours they are: GPU or core.
    """

    def __init__(self, hours: float | None, used: float = 0.0, unit: str = "GPU") -> None:
        self._hours = hours
        self._used = used
        self._unit = unit

    def spend(self, hours: float) -> None:
        """Count what has been used."""
        self._used += hours

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self._hours is not None and self._used >= self._hours

    def __str__(self) -> str:
        if self._hours is None:
            return ""
        return f"{self._used:.3g} of {self._hours:g} {self._unit} hours used"


class SweepTrialQueue:
    """The tasks of a sweep, as ``orchestration.execution.tune.TrialQueue`` describes them.

    Args:
        tasks: those that are run whatever comes of others, in the order to start them.
        budget: what they may use.
        allocator: says which trials are wanted further; None if the tasks are all.
        more: makes tasks of trials that are wanted further, and announces them.
        watch: told of decisions, and of the hours used.
    """

    def __init__(
        self,
        tasks: Iterable[TrialTask],
        budget: Budget,
        allocator: SeedAllocator | None,
        more: Callable[[Sequence[Trial]], list[TrialTask]],
        watch: EventHandler,
    ) -> None:
        self._tasks = deque(tasks)
        self._budget = budget
        self._allocator = allocator
        self._more = more
        self._watch = watch
        self._given = {task.trial.key for task in self._tasks}
        self._told = allocator.verdicts() if allocator else []
        self._told_of_models: set[str] = set()
        self._has_more = allocator is not None
        self._look()

    @property
    def is_over(self) -> bool:
        """Whether the budget is used up."""
        return self._budget.is_used_up

    def next(self, *, idle: bool) -> TrialTask | None:
        """The tasks at hand, then what an idle worker is best used for.

        Seeds are bought one pair at a time and no sooner, so that all results so far count in the
        choice.
        """
        if self.is_over:
            return None
        if not self._tasks and idle and self._has_more:
            self._tasks += self._allocated()
        return self._tasks.popleft() if self._tasks else None

    def take(self, task: TrialTask, report: Mapping[str, Any]) -> None:
        """Count an epoch's time; see what follows from a trial's result."""
        key = task.trial.key
        if "epoch" in report:
            self._budget.spend(report["epoch_seconds"] * resources_of(task) / 3600)
            if self._allocator:
                self._allocator.time(key, report["epoch_seconds"])
        if self._allocator and report["outcome"] is not None:
            self._allocator.take(key, report["outcome"], report["best"])
            self._tell_verdicts()
        if report["outcome"] is not None:
            self._look()
        if (why := report.get("no_model")) and why not in self._told_of_models:
            self._told_of_models.add(why)
            self._watch(Note(f"warning: {task.trial.label} leaves no model: {why}"))

    def fail(self, task: TrialTask) -> None:
        """Leave a trial out."""
        if self._allocator:
            self._allocator.fail(task.trial.key)
            self._has_more = True

    def summary(self) -> str:
        """What came of the budget and of the comparisons, in a line."""
        parts = [self._decided(), str(self._budget)]
        if self._allocator:
            parts.append(f"{self._allocator.in_vain()} trials run ahead that no decision needed")
        return " · ".join(filter(None, parts))

    def _allocated(self) -> list[TrialTask]:
        assert self._allocator is not None
        trials = self._allocator.next(self._given)
        self._has_more = bool(trials)  # else none until another trial has ended
        self._given |= {trial.key for trial in trials}
        return self._more(trials) if trials else []

    def _tell_verdicts(self) -> None:
        assert self._allocator is not None
        self._has_more = True
        verdicts = self._allocator.verdicts()
        for words, before in zip(verdicts, self._told, strict=True):
            if words and not before:
                self._watch(Note(f"decided: {words}"))
        self._told = verdicts

    def _look(self) -> None:
        """Tell how all of it stands."""
        parts = [self._decided(), str(self._budget)]
        parts += [self._allocator.next_look()] if self._allocator else []
        if any(parts):
            decided = self._allocator.decided() if self._allocator else {}
            self._watch(DecisionProgress(decided, " · ".join(filter(None, parts))))

    def _decided(self) -> str:
        decided = sum(map(bool, self._told))
        return f"{decided} of {len(self._told)} comparisons decided" if self._allocator else ""


def resources_of(task: TrialTask) -> float:
    """GPUs that a task reserves, or processor cores where it has none."""
    return task.gpu or task.cpu
