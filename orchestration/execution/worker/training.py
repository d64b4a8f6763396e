"""The interface of training runs: of this package's networks and of the user's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestration.execution.worker.within_epoch import WithinEpoch


class Epoch(Protocol):
    """The measurements of one epoch."""

    @property
    def epoch(self) -> int:
        """The epoch's number, from 1."""

    @property
    def epoch_seconds(self) -> float:
        """How long the epoch took."""

    def metrics(self) -> dict[str, float]:
        """The epoch's metrics by name."""


class Training(Protocol):
    """One run: ``TrainingRun`` of this package's networks, ``OwnTraining`` of the user's code."""

    @property
    def history(self) -> Sequence[Epoch]:
        """The finished epochs."""

    @property
    def best(self) -> Epoch | None:
        """The selected epoch; None if there is none."""

    @property
    def outcome(self) -> str | None:
        """How the run ended; None until it has."""

    @property
    def engine(self) -> str | None:
        """How a network's spiking layers compute; None if it has none."""

    @property
    def layers(self) -> Sequence[str]:
        """The layers that have diagnostics."""

    @property
    def sample(self) -> Mapping[str, Any]:
        """The input of a network of this package; empty for the user's code."""

    def run_epoch(self, within: WithinEpoch, /) -> Epoch | None:
        """Train an epoch, or the rest of one; None if the run turns out to be done.

        Args:
            within: saves the run within the epoch.
        """

    def diagnostics(self) -> dict[str, float]:
        """The diagnostics of the layers in their current state."""

    def state_dict(self) -> dict[str, Any] | None:
        """The state from which another process can continue; None if there is none."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""

    def saved(self) -> bytes:
        """The current model as a file.

        Raises:
            UnsavableError: there is no model that can be saved.
        """
