"""Shares the slots of a Ray cluster between the sweeps that run on it at once.

Each sweep publishes a `Claim`. From all claims each of them computes the same slots for everybody,
and starts no trial beyond its own; trials that run are never ended. The next slot is given to the
sweep that will have used the least, by its priority, if it keeps its slots for a while: the shares
are those of the priorities over time, even if there are fewer slots than sweeps. What a sweep
cannot use goes to the others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from orchestration.progress.events import EventHandler, Sharing

_POLL_SECONDS = 5.0
_NOTE_SECONDS = 60.0

_KEPT_SECONDS = 60.0
"""A slot passes to another sweep once the other is behind by this time, as workers start slowly."""

_OWN = ""
"""The name of a sweep's own claim among the others."""

_MORE = 10**6
"""How many trials a sweep wants whose next trials depend on the results of others."""


@dataclass(frozen=True)
class Claim:
    """What one sweep tells the others.

    Args:
        cpu: the processor cores of one of its trials.
        gpu: the GPUs of one of its trials.
        wanted: how many trials it would run at once if it could.
        held: how many slots it holds; a slot counts from when a worker starts in it.
        used: the seconds for which it has used the whole cluster, divided by its priority.
        user: whose sweep it is.
        most: how many trials of this user may run at once; None if there is no limit.
    """

    priority: float
    cpu: float
    gpu: float
    wanted: int
    held: int
    used: float = 0.0
    user: str = ""
    most: int | None = None

    def part(self, cpus: float, gpus: float) -> float:
        """The part of a cluster that one trial takes, of cores or GPUs, whichever is larger."""
        return max(self.cpu / cpus if cpus else 0.0, self.gpu / gpus if gpus else 0.0)


class Board(Protocol):
    """Where the sweeps of a cluster publish their claims."""

    def publish(self, claim: Claim) -> None:
        """Replace the claim of this sweep."""

    def others(self) -> Mapping[str, Claim]:
        """The claims of the other sweeps that run, by names of their own."""

    def resources(self) -> tuple[float, float]:
        """The processor cores and the GPUs of the cluster."""


def slots_of(claims: Mapping[str, Claim], cpus: float, gpus: float) -> dict[str, int]:
    """How many trials each sweep may run at once on a cluster of this size."""
    slots = dict.fromkeys(claims, 0)
    parts = {name: claim.part(cpus, gpus) / claim.priority for name, claim in claims.items()}

    def used_soon(name: str) -> tuple[float, float, str]:
        claim, count = claims[name], slots[name]
        kept = count - (count < claim.held)  # a slot that it has costs less than another one
        return claim.used + kept * parts[name] * _KEPT_SECONDS, claim.used, name

    waiting = {name for name, claim in claims.items() if claim.wanted > 0}
    while waiting:
        name = min(waiting, key=used_soon)
        claim = claims[name]
        of_user = sum(slots[other] for other in claims if claims[other].user == claim.user)
        has_all = slots[name] == claim.wanted or of_user == claim.most
        if has_all or claim.cpu > cpus + 1e-9 or claim.gpu > gpus + 1e-9:
            waiting.remove(name)
        else:
            slots[name] += 1
            cpus, gpus = cpus - claim.cpu, gpus - claim.gpu
    return slots


class FairShare:
    """The share of one sweep.

    Args:
        board: where claims are published; None if this process has no access to it.
        watch: is told when the sweep has to wait for its share, and when no longer.
        user, most: those of ``Claim``.
    """

    def __init__(
        self,
        priority: float,
        board: Board | None,
        watch: EventHandler,
        clock: Callable[[], float] = time.monotonic,
        *,
        user: str = "",
        most: int | None = None,
    ) -> None:
        self._claim = Claim(priority, 0.0, 0.0, 0, 0, user=user, most=most)
        self._board = board
        self._watch = watch
        self._clock = clock
        self._polled: float | None = None
        self._noted = float("-inf")
        self._words = ""
        self._slots = most

    def slots(
        self, cpu: float, gpu: float, held: int, wanted: int, *, more: bool = False
    ) -> int | None:
        """How many trials the sweep may run at once; None if nobody has to wait.

        The claims are read at most every five seconds.

        Args:
            cpu, gpu, held, wanted: those of ``Claim``.
            more: whether further trials may be wanted as soon as there is room for them.
        """
        now = self._clock()
        if self._board is None or (self._polled and now < self._polled + _POLL_SECONDS):
            return self._slots
        others, (cpus, gpus) = self._board.others(), self._board.resources()
        wanted = max(wanted, _MORE) if more else wanted
        claim = replace(self._claim, cpu=cpu, gpu=gpu, held=held, wanted=wanted)
        part = claim.part(cpus, gpus)
        if self._polled is None:  # a new sweep does not make up for the time before it
            used = min((other.used for other in others.values()), default=0.0)
        else:
            used = claim.used + (now - self._polled) * held * part / claim.priority
        self._polled = now
        self._claim = replace(claim, used=used)
        self._slots = self._share(others, cpus, gpus)
        self._board.publish(self._claim)
        return self._slots

    def _share(self, others: Mapping[str, Claim], cpus: float, gpus: float) -> int | None:
        claim = self._claim
        claims = {_OWN: claim, **others}
        slots = slots_of(claims, cpus, gpus)
        of_users = Counter[str]()
        for name, other in claims.items():
            of_users[other.user] += slots[name]
        capped = {name for name, other in claims.items() if of_users[other.user] == other.most}
        waiting = {name for name, other in claims.items() if slots[name] < other.wanted}
        behind = [other.used for name, other in others.items() if name in waiting - capped]
        is_behind = _OWN in waiting - capped
        if behind and not is_behind:  # nor for the time in which it could not use more
            self._claim = replace(claim, used=max(claim.used, min(behind)))
        if _OWN in waiting & capped:
            whose = claim.user or "each user"
            self._note(
                f"waiting: {whose} may run {claim.most} trials at once on this cluster. Whoever "
                "keeps it can raise this limit"
            )
        elif is_behind and others:
            total = int(1 / part + 1e-9) if (part := claim.part(cpus, gpus)) else 0
            number = f"{len(others)} other sweep{'s' * (len(others) > 1)}"
            self._note(f"waiting for its share: {slots[_OWN]} of {total} slots, {number}")
        else:
            self._note("")
        is_limited = behind or _OWN in capped or (is_behind and others)
        return slots[_OWN] if is_limited else None

    def _note(self, words: str) -> None:
        if words != self._words and self._clock() >= self._noted + _NOTE_SECONDS:
            self._words, self._noted = words, self._clock()
            self._watch(Sharing(words or "no longer waiting", waits=bool(words)))
