"""Training code of a user's own: what is asked of it, a base class for it, and plain generators.

Any class of the shape of :class:`Run` will do, made as ``Run(config, device)``; and any generator
function ``train(config, device, state)``, which yields an epoch's metrics:

    yield {"val_loss": 0.3}           # gives no state: interrupted, it starts from its beginning
    yield {"val_loss": 0.3}, state    # interrupted, it is called with the state it gave last

A run may say besides what its model is, by ``model_state()``, and take one back by
``load_model_state(state)``: ``snn_norm.training.models.own_model``. ``config`` holds the user's own
keys and the seed. :class:`BaseRun` is for whoever has a model, an optimizer and a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from snn_norm.references import METHODS_OF_A_RUN, is_generator_function, load_reference
from snn_norm.training.seeding import derived_seed, seed_everything


class Run(Protocol):
    """One training run, an epoch at a time."""

    @property
    def done(self) -> bool:
        """Whether it has no epoch left."""

    def run_epoch(self) -> Mapping[str, float] | None:
        """Train an epoch; give its metrics by name, the same names each time.

        None if it had none left, and ``done`` could not tell before.
        """

    def state_dict(self) -> Any:
        """All that another process needs to go on after this epoch, whatever can be pickled.

        None: there is nothing to go on from, but from an earlier state, or the beginning.
        """

    def load_state_dict(self, state: Any) -> object:
        """Go on from what :meth:`state_dict` gave; called before the first epoch, if at all."""


def make_run(reference: str, config: Mapping[str, Any], device: torch.device) -> Run:
    """The run that a user's class, function or generator function makes.

    Python's, numpy's and torch's generators are seeded from the configuration's seed before.

    Raises:
        ValueError: it cannot be imported.
        TypeError: what it made is no run.
    """
    made = load_reference(reference)  # whose module may draw, the first time that it is imported
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
    """A generator function as a :class:`Run`.

    Args:
        function: called with (config, device, state), state None or what it yielded last.
        config: handed on.
        device: handed on.
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
        """Let it go on to its next epoch; None at its end."""
        if self._epochs is None:
            self._epochs = self._function(*self._given, self._state)
        told = next(self._epochs, None)
        if told is None:
            self.done = True
            return None
        metrics, self._state = told if isinstance(told, tuple) and len(told) == 2 else (told, None)
        return metrics  # type: ignore[no-any-return] # whatever it is, a sweep looks at it

    def state_dict(self) -> Any:
        """What it yielded last beside its metrics; None if that was nothing."""
        return self._state

    def load_state_dict(self, state: Any) -> None:
        """Begin with this state."""
        self._state = state


class BaseRun:
    """Training a model by an optimizer: a subclass brings these, its batches and a step.

    Args:
        config: the user's own keys, the seed, and ``epochs`` (or override :attr:`done`).
        device: where to train.

    Attributes:
        epoch: the number of epochs done.
        parts: names of the attributes whose state is saved and restored.

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

    def __init__(self, config: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.epoch = 0

    def batches(self) -> Iterable[Any]:
        """One epoch's training batches. Drawn from torch's generator, they are the same again."""
        raise NotImplementedError(f"{type(self).__name__} needs a method batches")

    def step(self, batch: Any) -> Tensor:
        """The loss of a batch, to be minimized."""
        raise NotImplementedError(f"{type(self).__name__} needs a method step")

    def evaluate(self) -> Mapping[str, float]:
        """Metrics of the model as it is after an epoch; without gradients, in eval mode."""
        return {}

    @property
    def done(self) -> bool:
        """Whether as many epochs have been done as ``config["epochs"]`` says."""
        return bool(self.epoch >= self.config["epochs"])

    def run_epoch(self) -> dict[str, float]:
        """Train on each batch, then evaluate: ``train_loss``, the mean over batches, and more."""
        self.model.train()
        losses = []
        for batch in self.batches():
            self.optimizer.zero_grad()
            loss = self.step(batch)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
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
        """Go on from what :meth:`state_dict` gave."""
        self.epoch = state["epoch"]
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])

    def model_state(self) -> dict[str, Any]:
        """What is kept of the run once it has ended: the state of the model alone."""
        return self.model.state_dict()

    def load_model_state(self, state: Mapping[str, Any]) -> None:
        """Take the model that :meth:`model_state` gave, for use, in eval mode."""
        self.model.load_state_dict(state)
        self.model.eval()
