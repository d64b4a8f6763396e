"""What a worker needs to run a trial. The driver makes it, so this loads neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestration.model.trial import Trial
from orchestration.store.base import Storage
from orchestration.sweep.spec_keys import Keep


@dataclass(frozen=True)
class TrialTask:
    """What a worker needs to run a trial."""

    trial: Trial
    experiment_id: str
    parent_run_id: str
    run_id: str | None
    """The run to continue; None to create one."""
    storage: Storage
    """The trial's own folder in the checkpoint store."""
    data: Path
    tracking_uri: str
    cpu: float
    gpu: float
    """The GPUs that are reserved for it; a fraction means that GPUs are shared."""
    import_path: str
    """The folder of the user's own modules."""
    patience: float
    """The seconds that the end of the trial waits for an unreachable tracking server."""
    driver: str
    """Identifies this run of the driver; its failed attempts are counted together."""
    keep: Keep = "none"
    """Which epoch's model is kept."""
    checkpoint_seconds: float = 300.0
    """The time between two checkpoints within an epoch."""
    pause_after: int | None = None
    """The epoch after which it pauses, as its search may prune it; None if it does not."""
    login: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """The variables with which its user logs in to the tracking server, in place of the node's."""

    @property
    def device(self) -> str:
        """The device that it trains on."""
        return "cuda" if self.gpu else "cpu"

    @property
    def threads(self) -> int:
        """The number of torch's threads."""
        return max(1, int(self.cpu))
