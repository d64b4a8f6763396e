"""The user's own training code, as a worker's session runs it: an epoch at a time, judged, saved.

It is to a session what ``snn_norm.training.run.TrainingRun`` is.
"""

from __future__ import annotations

import io
import math
import posixpath
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch

from orchestration.model.config import RESERVED_NAMES, OwnConfig
from orchestration.model.metric import Metric
from snn_norm.training.models.model_sources import source_digests
from snn_norm.training.models.own_model import OwnDescription, own_model_bytes
from snn_norm.training.own_run import make_run
from snn_norm.training.seeding import derived_seed, seed_everything

_NAME = re.compile(r"[\w. /-]{1,200}", re.ASCII)


@dataclass(frozen=True)
class OwnEpoch:
    """What one epoch measured.

    Args:
        epoch: its number, from 1.
        measured: the user's metrics by name.
        epoch_seconds: how long it took.
    """

    epoch: int
    measured: Mapping[str, float]
    epoch_seconds: float

    def metrics(self) -> dict[str, float]:
        """Its numbers by metric name."""
        return {**self.measured, "epoch_seconds": self.epoch_seconds}


class OwnTraining:
    """A run of the user's own training code.

    Python's, numpy's and torch's random generators are seeded from the seed before the run is made,
    and from seed and epoch before each epoch: what draws from them alone goes on, in another
    process, as if nothing had happened.

    Args:
        config: names the code, and what it is given.
        metric: what its epochs are judged by.
        device: where it is to train.

    Raises:
        TypeError: what the code makes is no run.
    """

    engine: str | None = None
    layers: Sequence[str] = ()
    sample: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, config: OwnConfig, metric: Metric, device: str) -> None:
        self.history: list[OwnEpoch] = []
        self._config = config
        self._metric = metric
        self._run = make_run(config.train, config.passed(), torch.device(device))
        self._sources = source_digests([config.train])  # now, as somebody may edit it meanwhile

    @property
    def best(self) -> OwnEpoch | None:
        """The epoch of the best value of the metric, the first of equals; None without a value."""
        place = self._metric.best([one.measured[self._metric.name] for one in self.history])
        return None if place is None else self.history[place]

    @property
    def outcome(self) -> Literal["completed", "diverged"] | None:
        """How the run ended; None while it goes on. Diverged: a metric is NaN or infinite."""
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
        """None: of which layers, the user's code alone knows."""
        return {}

    def run_epoch(self) -> OwnEpoch | None:
        """Train an epoch; None if it turns out that none was left."""
        epoch = len(self.history) + 1
        seed_everything(derived_seed(self._config.seed, f"epoch {epoch}"))
        started = time.perf_counter()
        told = self._run.run_epoch()
        seconds = time.perf_counter() - started
        if told is None:
            if not self._run.done:
                raise TypeError(f"epoch {epoch} of {self._config.train!r} gave no metrics")
            return None
        self.history.append(OwnEpoch(epoch, self._measured(told, epoch), seconds))
        return self.history[-1]

    def state_dict(self) -> dict[str, Any] | None:
        """All that a later process needs to go on; None where the user's code gives no state.

        Raises:
            ValueError: the user's state cannot be pickled.
        """
        own = self._run.state_dict()
        if own is None:
            return None
        written = io.BytesIO()
        try:
            torch.save(own, written)
        except Exception as error:
            raise ValueError(
                f"the state of {self._config.train!r} cannot be saved: {error}; it may hold "
                "tensors and whatever can be pickled"
            ) from error
        return {
            "epochs": [(dict(one.measured), one.epoch_seconds) for one in self.history],
            # A tensor, so that a checkpoint itself is loaded without running what it holds.
            "run": torch.frombuffer(written.getbuffer(), dtype=torch.uint8).clone(),
        }

    def saved(self) -> bytes:
        """The model as it is: a file for ``snn_norm.load_own_model``.

        Raises:
            UnsavableError: the user's code gives none, or one that cannot be written without
                pickle.
        """
        epoch, config = self.history[-1], self._config
        finite = {name: one for name, one in epoch.measured.items() if math.isfinite(one)}
        description = OwnDescription(
            train=config.train,
            config=dict(sorted(config.passed().items())),  # a spec may give them in any order
            epoch=epoch.epoch,
            metrics=finite,
            sources=self._sources,
        )
        try:
            return own_model_bytes(self._run, description)
        except OSError as error:  # else taken for one of the checkpoint store
            raise RuntimeError(f"{config.train!r} did not give its model: {error}") from error

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; the user's state comes back on the CPU."""
        own = io.BytesIO(state["run"].numpy().tobytes())
        # The user's own code wrote it, and is about to run.
        self._run.load_state_dict(torch.load(own, weights_only=False, map_location="cpu"))
        self.history = [OwnEpoch(n, *one) for n, one in enumerate(state["epochs"], 1)]

    def _measured(self, told: Any, epoch: int) -> dict[str, float]:
        """The metrics of an epoch, looked at.

        Raises:
            TypeError: they are no numbers by name.
            ValueError: they are not those of the first epoch, or lack the metric of the spec.
        """
        of_epoch = f"epoch {epoch} of {self._config.train!r}"
        if not isinstance(told, Mapping):
            raise TypeError(
                f"{of_epoch} gave something of type {type(told).__name__}, not metrics by name"
            )
        measured = {}
        for name, value in told.items():
            try:
                measured[name] = float(value)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"{of_epoch} gave {name!r} as {type(value).__name__}, not as a number"
                ) from error
        if (wanted := self._metric.name) not in measured:
            raise ValueError(
                f"{of_epoch} gave no {wanted!r}, which is the metric of the spec; it gave "
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
            # MLflow refuses them, as it may keep a metric in a file of that name.
            if name != posixpath.normpath(name) or name == "." or name.startswith(("/", "..")):
                raise ValueError(
                    f"{of_epoch} gave a metric {name!r}: a name neither begins nor ends with /, "
                    "begins with .. or has a part that is empty, . or .."
                )
            if name in RESERVED_NAMES or name == self._metric.best_name:
                raise ValueError(f"{of_epoch} gave {name!r}, which the sweep itself records")
            if {name, f"last_{name}"} & keys:
                raise ValueError(
                    f"{of_epoch} gave {name!r}, and a key of the spec has that name in tables: "
                    "give one of them another"
                )
