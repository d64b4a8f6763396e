"""What a worker's session trains: a network of this package, or training code of a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Epoch(Protocol):
    """What one epoch measured."""

    @property
    def epoch(self) -> int:
        """Its number, from 1."""

    @property
    def epoch_seconds(self) -> float:
        """How long it took."""

    def metrics(self) -> dict[str, float]:
        """Its numbers by metric name."""


class Training(Protocol):
    """One run: ``TrainingRun`` of this package's networks, ``OwnTraining`` of the user's code."""

    @property
    def history(self) -> Sequence[Epoch]:
        """The epochs done."""

    @property
    def best(self) -> Epoch | None:
        """The one that is selected; None before any."""

    @property
    def outcome(self) -> str | None:
        """How the run ended; None while it goes on."""

    @property
    def engine(self) -> str | None:
        """How a network's spiking layers compute, if it has any."""

    @property
    def layers(self) -> Sequence[str]:
        """Those that diagnostics are of."""

    @property
    def sample(self) -> Mapping[str, Any]:
        """What a network of this package is given; empty of the user's code."""

    def run_epoch(self) -> Epoch | None:
        """Train an epoch; None if it turns out that none was left."""

    def diagnostics(self) -> dict[str, float]:
        """What is told of the layers as they are now."""

    def state_dict(self) -> dict[str, Any] | None:
        """All that a later process needs to go on; None if it cannot."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""

    def saved(self) -> bytes:
        """The model as it is, as a file.

        Raises:
            UnsavableError: there is none that can be saved.
        """
