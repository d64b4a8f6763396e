"""The Ray Tune trainable: runs one trial, an epoch per step, from its last checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import tune

if TYPE_CHECKING:
    from orchestration.execution.worker.attempt import Attempt


class SweepTrial(tune.Trainable):
    """Runs the trial in ``config["task"]``, an epoch per step."""

    _attempt: Attempt

    def setup(self, config: dict[str, Any]) -> None:
        """Take a task. Its work begins with the first step, which can tell errors apart."""
        # Imported here so that workers load torch and MLflow, and Tune's own process does not.
        from orchestration.execution.worker.attempt import Attempt

        self._attempt = Attempt(config["task"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next task in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch, or close the run of a trial that has none left."""
        return self._attempt.step()

    def cleanup(self) -> None:
        """Stop recording; records that have not arrived are sent when the trial continues."""
        self._attempt.close()
