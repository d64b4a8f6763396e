"""A user's own training code: its interface, a base class for it, and generator functions.

The code is any class with the interface of :class:`Run`, made as ``Run(config, device)``, or any
generator function ``train(config, device, state)`` that yields an epoch's metrics:

    yield {"val_loss": 0.3}           # without a state: if interrupted, it starts all over
    yield {"val_loss": 0.3}, state    # if interrupted, it is called with the last state it yielded

A class can also have a method ``save_within_epoch``, with which it is saved within its epochs: see
:class:`Save`. A run can also return its model by ``model_state()``, and load it by
``load_model_state(state)``; see ``snn_norm.training.models.own_model``. ``config`` has the user's
own keys and the seed. :class:`BaseRun` suits code that has a model, an optimizer and a training
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from snn_norm.references import METHODS_OF_A_RUN, is_generator_function, load_reference
from snn_norm.training.seeding import (
    derived_seed,
    generators_state,
    restore_generators,
    seed_everything,
)


class Save(Protocol):
    """Saves a run within an epoch.

    A run with a method ``save_within_epoch(save, position)`` gets this object there, before each of
    its epochs, and uses it between two training steps:

        if save.is_due:
            save(position)

    The sweep then stores the run's ``state_dict()`` and this position, which is anything that can
    be pickled. A process that goes on within the epoch loads the state, passes the position to
    ``save_within_epoch`` (at the beginning of an epoch it is None), and calls ``run_epoch``. Random
    number generators are seeded before that as at the beginning of the epoch, so a run that draws
    within its epoch puts their state into its position.
    """

    @property
    def is_due(self) -> bool:
        """Whether it is time to save: every few minutes, and when the machine is taken away."""

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the machine is taken away; None if nobody has announced that."""

    def __call__(self, position: Any) -> None:
        """Save, and return; if the machine is taken away, raise an exception to end the run."""


class Run(Protocol):
    """One training run, an epoch at a time."""

    @property
    def done(self) -> bool:
        """Whether no epoch is left."""

    def run_epoch(self) -> Mapping[str, float] | None:
        """Train an epoch and return its metrics by name, with the same names each time.

        It returns None if no epoch was left, for a run whose ``done`` could not know that before.
        """

    def state_dict(self) -> Any:
        """Return all that another process needs to continue after this epoch, if it can be pickled.

        None means that the run can only continue from an earlier state, or from the beginning.
        """

    def load_state_dict(self, state: Any) -> object:
        """Continue from a :meth:`state_dict`; if called, it is called before the first epoch."""


def make_run(reference: str, config: Mapping[str, Any], device: torch.device) -> Run:
    """Make a run from a user's class, function or generator function.

    Python's, numpy's and torch's random number generators are seeded from the configuration's seed
    first.

    Raises:
        ValueError: the reference cannot be imported.
        TypeError: the object that it made is not a run.
    """
    made = load_reference(reference)  # before seeding, as the import may draw random numbers
    seed_everything(derived_seed(config["seed"], "start"))
    if is_generator_function(made):
        return GeneratorRun(made, config, device)
    run = made(dict(config), device)
    parts = (*METHODS_OF_A_RUN, "done")
    if missing := [part for part in parts if not hasattr(run, part)]:
        raise TypeError(
            f"{reference!r} made something of type {type(run).__name__}, which lacks "
            f"{', '.join(missing)}: a run has {', '.join(parts)}"
        )
    own: Run = run
    return own


class GeneratorRun:
    """Adapts a generator function to the interface :class:`Run`.

    Args:
        function: called with (config, device, state); the state is None or the last one it yielded.
        config: passed to the function.
        device: passed to the function.
    """

    def __init__(
        self,
        function: Callable[..., Iterator[Any]],
        config: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        self.done = False
        self._function = function
        self._given = dict(config), device
        self._epochs: Iterator[Any] | None = None
        self._state: Any = None

    def run_epoch(self) -> Mapping[str, float] | None:
        """Run the generator up to its next epoch; None at its end."""
        if self._epochs is None:
            self._epochs = self._function(*self._given, self._state)
        epoch = next(self._epochs, None)
        if epoch is None:
            self.done = True
            return None
        has_state = isinstance(epoch, tuple) and len(epoch) == 2
        metrics, self._state = epoch if has_state else (epoch, None)
        return metrics  # type: ignore[no-any-return] # a sweep checks its type

    def state_dict(self) -> Any:
        """The state that the generator yielded last; None if it yielded metrics alone."""
        return self._state

    def load_state_dict(self, state: Any) -> None:
        """Start the generator with this state."""
        self._state = state


class BaseRun:
    """Trains a model by an optimizer; a subclass has both, and defines the batches and a step.

    Args:
        config: the user's own keys, the seed, and ``epochs`` (or override :attr:`done`).
        device: the device to train on.

    Attributes:
        epoch: the number of finished epochs.
        parts: names of the attributes whose state is saved and restored.
        saves_within_epoch: whether a run may be saved between two batches of an epoch. Set it to
            True if nothing but the ``parts`` changes from batch to batch. The order of
            :meth:`batches` may be drawn when it is called, and each batch when it is its turn.

    Example:
        >>> import torch.nn.functional as F
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> images, labels = torch.randn(64, 8), torch.arange(64) % 2
        >>> class Fit(BaseRun):
        ...     def __init__(self, config, device):
        ...         super().__init__(config, device)
        ...         self.model = nn.Linear(8, 2).to(device)
        ...         self.optimizer = torch.optim.SGD(self.model.parameters(), config["rate"])
        ...
        ...     def batches(self):
        ...         return DataLoader(TensorDataset(images, labels), 16, shuffle=True)
        ...
        ...     def step(self, batch):
        ...         return F.cross_entropy(self.model(batch[0]), batch[1])
        ...
        ...     def evaluate(self):
        ...         right = self.model(images).argmax(1) == labels
        ...         return {"val_accuracy": float(right.float().mean())}
        >>> run = Fit({"rate": 0.1, "epochs": 3, "seed": 1}, "cpu")
        >>> sorted(run.run_epoch())
        ['train_loss', 'val_accuracy']
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    parts: ClassVar[tuple[str, ...]] = ("model", "optimizer")
    saves_within_epoch: ClassVar[bool] = False
    _save: Save | None = None
    _position: dict[str, Any] | None = None

    def __init__(self, config: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.epoch = 0

    def save_within_epoch(self, save: Save, position: dict[str, Any] | None) -> None:
        """Begin the next epoch at this position, and save the run within it if it may be."""
        self._save = save if self.saves_within_epoch else None
        self._position = position

    def batches(self) -> Iterable[Any]:
        """One epoch's training batches; reproducible if they are drawn with torch's generator."""
        raise NotImplementedError(f"{type(self).__name__} needs a method batches")

    def step(self, batch: Any) -> Tensor:
        """The loss of a batch, which is to be minimized."""
        raise NotImplementedError(f"{type(self).__name__} needs a method step")

    def evaluate(self) -> Mapping[str, float]:
        """Metrics of the model after an epoch; called without gradients, in evaluation mode."""
        return {}

    @property
    def done(self) -> bool:
        """Whether the ``config["epochs"]`` epochs are finished."""
        return bool(self.epoch >= self.config["epochs"])

    def run_epoch(self) -> dict[str, float]:
        """Train on each batch, then evaluate; return both metrics and the mean ``train_loss``.

        An epoch that goes on draws its earlier batches again, without training on them.
        """
        self.model.train()
        batches, losses = iter(self.batches()), []
        if self._position is not None:
            losses = list(self._position["losses"].to(self.device))
            for _ in losses:
                next(batches)
            restore_generators(self._position["generators"])
            self._position = None
        for batch in batches:
            self.optimizer.zero_grad()
            loss = self.step(batch)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
            if self._save is not None and self._save.is_due:
                generators = generators_state()
                self._save({"losses": torch.stack(losses), "generators": generators})
        if not losses:
            raise ValueError(
                f"{type(self).__name__}.batches() gave no batch in epoch {self.epoch + 1}: it must "
                "give new ones each time it is called, and drop_last leaves none of few data"
            )
        self.epoch += 1
        self.model.eval()
        with torch.no_grad():
            return {"train_loss": float(torch.stack(losses).mean()), **self.evaluate()}

    def state_dict(self) -> dict[str, Any]:
        """The state of each of the :attr:`parts`, and the epoch."""
        return {"epoch": self.epoch} | {
            name: getattr(self, name).state_dict() for name in self.parts
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.epoch = state["epoch"]
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def model_state(self) -> dict[str, Any]:
        """The state of the model alone, which is kept after the run has ended."""
        return self.model.state_dict()

    def load_model_state(self, state: Mapping[str, Any]) -> None:
        """Load a :meth:`model_state` for use of the model, in evaluation mode."""
        self.model.load_state_dict(state)
        self.model.eval()
