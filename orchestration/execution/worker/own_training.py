"""Runs the user's own training code, an epoch at a time, as a worker trains this package's."""

from __future__ import annotations

import io
import math
import posixpath
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from orchestration.execution.worker.within_epoch import WithinEpoch
from orchestration.model import columns
from orchestration.model.config import OwnConfig
from orchestration.model.metric import Metric
from snn_norm.training.models.model_sources import source_digests
from snn_norm.training.models.own_model import OwnDescription, own_model_bytes
from snn_norm.training.own_run import make_run
from snn_norm.training.run import TrainingRun
from snn_norm.training.seeding import derived_seed, seed_everything

_NAME = re.compile(r"[\w. /-]{1,200}", re.ASCII)


@dataclass(frozen=True)
class OwnEpoch:
    """The measurements of one epoch."""

    epoch: int
    measured: Mapping[str, float]
    epoch_seconds: float

    def metrics(self) -> dict[str, float]:
        """The epoch's metrics by name."""
        return {**self.measured, "epoch_seconds": self.epoch_seconds}


class OwnTraining:
    """A run of the user's own training code.

    The random generators of Python, numpy and torch are seeded from the seed before the run is
    created, and from seed and epoch before each epoch. So code that uses only these continues in
    another process as if it had never been interrupted.

    Args:
        also: another metric that each epoch must give, such as the one that chooses settings.

    Raises:
        TypeError: the code does not return a run.
    """

    engine: str | None = None
    layers: Sequence[str] = ()
    sample: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self, config: OwnConfig, metric: Metric, device: str, also: str | None = None
    ) -> None:
        self.history: list[OwnEpoch] = []
        self._config = config
        self._metric = metric
        self._needed = [metric.name, *([also] if also else [])]
        self._position: Any = None
        """Where the user's run is within its epoch; None between epochs."""
        self._started = 0.0
        self._seconds_before = 0.0
        self._run = make_run(config.train, config.passed(), torch.device(device))
        self._sources = source_digests([config.train])  # now, as somebody may edit it meanwhile

    @property
    def best(self) -> OwnEpoch | None:
        """The epoch of the best value of the metric, the first of equals; None without a value."""
        index = self._metric.best([epoch.measured[self._metric.name] for epoch in self.history])
        return None if index is None else self.history[index]

    @property
    def outcome(self) -> Literal["completed", "diverged"] | None:
        """How the run ended; None until it has. It diverged if a metric is NaN or infinite."""
        done = bool(self._run.done)
        if not self.history:
            if done:
                raise ValueError(f"{self._config.train!r} was done before its first epoch")
            return None
        if not all(map(math.isfinite, self.history[-1].measured.values())):
            return "diverged"
        most = self._config.epochs
        return "completed" if done or len(self.history) == most else None

    def diagnostics(self) -> dict[str, float]:
        """Empty, as the layers of the user's model are unknown."""
        return {}

    def run_epoch(self, within: WithinEpoch | None = None) -> OwnEpoch | None:
        """Train an epoch, or the rest of one; None if the run turns out to be done.

        Args:
            within: saves the run within the epoch; None if nobody is going to.
        """
        epoch = len(self.history) + 1
        if hasattr(self._run, "save_within_epoch"):
            self._run.save_within_epoch(_Save(self._move_to, within), self._position)
        seed_everything(derived_seed(self._config.seed, f"epoch {epoch}"))
        self._started = time.perf_counter()
        metrics = self._run.run_epoch()
        seconds = self._seconds()
        if metrics is None:
            if not self._run.done:
                raise TypeError(f"epoch {epoch} of {self._config.train!r} gave no metrics")
            return None
        self.history.append(OwnEpoch(epoch, self._measured(metrics, epoch), seconds))
        self._position, self._seconds_before = None, 0.0
        return self.history[-1]

    def state_dict(self) -> dict[str, Any] | None:
        """The state from which another process can continue; None if the user's code has none.

        Raises:
            ValueError: the user's state cannot be pickled.
        """
        state = self._run.state_dict()
        if state is None:
            return None
        found: dict[str, Any] = {
            "epochs": [(dict(epoch.measured), epoch.epoch_seconds) for epoch in self.history],
            "run": self._pickled(state, "state"),
        }
        if self._position is not None:
            found["position"] = self._pickled(self._position, "position")
            found["seconds"] = self._seconds()
        return found

    def saved(self) -> bytes:
        """The current model as a file for ``snn_norm.load_own_model``.

        Raises:
            UnsavableError: the user's code has none, or it cannot be written without pickle.
        """
        epoch, config = self.history[-1], self._config
        finite = {name: value for name, value in epoch.measured.items() if math.isfinite(value)}
        description = OwnDescription(
            train=config.train,
            config=dict(sorted(config.passed().items())),  # a spec may have them in any order
            epoch=epoch.epoch,
            metrics=finite,
            sources=self._sources,
        )
        try:
            return own_model_bytes(self._run, description)
        except OSError as error:  # an OSError would count as one of the checkpoint store
            raise RuntimeError(f"{config.train!r} did not give its model: {error}") from error

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned; the user's state is on the CPU."""
        self._run.load_state_dict(_unpickled(state["run"]))
        self.history = [OwnEpoch(n, *epoch) for n, epoch in enumerate(state["epochs"], 1)]
        if "position" in state:
            self._position = _unpickled(state["position"])
            self._seconds_before = state["seconds"]

    def _seconds(self) -> float:
        """How long the present epoch has been trained, in this process and in those before."""
        return self._seconds_before + time.perf_counter() - self._started

    def _move_to(self, position: Any) -> None:
        if position is None:
            raise TypeError(
                f"{self._config.train!r} saved itself within an epoch at position None: a position "
                "says where to go on, such as the number of the next batch"
            )
        self._position = position

    def _pickled(self, value: Any, what: str) -> Tensor:
        """A tensor, so that loading a checkpoint does not run the code that is pickled in it."""
        pickled = io.BytesIO()
        try:
            torch.save(value, pickled)
        except Exception as error:
            raise ValueError(
                f"the {what} of {self._config.train!r} cannot be saved: {error}; it may hold "
                "tensors and whatever can be pickled"
            ) from error
        return torch.frombuffer(pickled.getbuffer(), dtype=torch.uint8).clone()

    def _measured(self, metrics: Any, epoch: int) -> dict[str, float]:
        """Check the metrics of an epoch, and convert them to numbers.

        Raises:
            TypeError: they are not numbers by name.
            ValueError: they are not those of the first epoch, or lack the metric of the spec.
        """
        of_epoch = f"epoch {epoch} of {self._config.train!r}"
        if not isinstance(metrics, Mapping):
            raise TypeError(
                f"{of_epoch} gave something of type {type(metrics).__name__}, not metrics by name"
            )
        measured = {}
        for name, value in metrics.items():
            try:
                measured[name] = float(value)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"{of_epoch} gave {name!r} as {type(value).__name__}, not as a number"
                ) from error
        if missing := [name for name in self._needed if name not in measured]:
            raise ValueError(
                f"{of_epoch} gave no {missing[0]!r}, which is the metric of the spec; it gave "
                f"{', '.join(map(repr, measured)) or 'nothing'}"
            )
        self._check_names(measured, of_epoch)
        if self.history and (other := measured.keys() ^ self.history[0].measured.keys()):
            names = ", ".join(map(repr, sorted(other)))
            raise ValueError(
                f"{of_epoch} differs from the first in {names}: every epoch gives the same metrics"
            )
        return measured

    def _check_names(self, measured: Mapping[Any, float], of_epoch: str) -> None:
        keys = self._config.passed().keys()
        for name in measured:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(
                    f"{of_epoch} gave a metric {name!r}: a name is made of letters, digits, "
                    "spaces and _ . / -"
                )
            # MLflow refuses such names, as it may store a metric in a file of its name.
            if name != posixpath.normpath(name) or name == "." or name.startswith(("/", "..")):
                raise ValueError(
                    f"{of_epoch} gave a metric {name!r}: a name neither begins nor ends with /, "
                    "begins with .. or has a part that is empty, . or .."
                )
            if name in columns.ALL or name == self._metric.best_name:
                raise ValueError(f"{of_epoch} gave {name!r}, which the sweep itself records")
            if {name, f"last_{name}"} & keys:
                raise ValueError(
                    f"{of_epoch} gave {name!r}, and a key of the spec has that name in tables: "
                    "rename one of them"
                )


Training = TrainingRun | OwnTraining
"""What a worker trains: a network of this package, or the user's own code in the same way."""


@dataclass(frozen=True)
class _Save:
    """Lets the user's run save itself; implements ``snn_norm.training.own_run.Save``."""

    move_to: Callable[[Any], None]
    within: WithinEpoch | None

    @property
    def is_due(self) -> bool:
        return self.within is not None and self.within.is_due

    @property
    def seconds_left(self) -> float | None:
        return self.within.seconds_left if self.within is not None else None

    def __call__(self, position: Any) -> None:
        self.move_to(position)
        if self.within is not None:
            self.within.save()


def _unpickled(value: Tensor) -> Any:
    # Unpickling is safe: the user's own code wrote this, and is about to run anyway.
    pickled = io.BytesIO(value.numpy().tobytes())
    return torch.load(pickled, weights_only=False, map_location="cpu")
