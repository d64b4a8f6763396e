"""One training run, which yields epochs and can be saved and restored. It knows nothing of sweeps.

All random numbers derive from the seed and the epoch. So a run that is saved after any epoch, or
any batch, and continued elsewhere has the same results as without the interruption; on a CPU, bit
for bit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, batches, crop_and_flip, normalize
from snn_norm.data.hold_out import training_part
from snn_norm.networks.cnn import make_model
from snn_norm.networks.spiking import SNNCNN
from snn_norm.neurons.engine import choose_engine, set_engine
from snn_norm.neurons.fused import Engine
from snn_norm.references import is_reference
from snn_norm.training.allocator import is_out_of_memory, keep_freed_memory
from snn_norm.training.chance import chance_accuracy
from snn_norm.training.cuda_graph import CapturedStep, graph_for
from snn_norm.training.diagnostics import diagnose, layers_of
from snn_norm.training.epoch import EpochProgress, EpochResult, spike_rates
from snn_norm.training.evaluation import evaluate, logits_of
from snn_norm.training.models.model_sources import source_digests
from snn_norm.training.models.saved_model import describe, model_bytes
from snn_norm.training.optimization import learning_rate_factor, make_optimizer
from snn_norm.training.seeding import derived_seed, seed_everything

_LOG = logging.getLogger(__name__)

Outcome = Literal["completed", "collapsed", "diverged"]

_COLLAPSE_EPOCHS = 3
"""The number of last epochs at chance that make a run collapsed, if the configuration has none."""


class TrainingRun:
    """A network in training.

    Args:
        config: everything that determines its results.
        dataset: the data set that ``config`` names, with images of the size that it names.
        device: the device to train on.

    Attributes:
        engine: how the network's spiking layers compute; None if it has none.

    Raises:
        ValueError: network and norm do not fit, or ``compile`` is true but nothing can be compiled.

    Example:
        >>> from pathlib import Path
        >>> from snn_norm.data.dataset import load_dataset
        >>> keys = {"architecture": "snn", "norm": "homeostatic", "dataset": "digits"}
        >>> config = RunConfig(**keys, seed=42, epochs=2, num_steps=2, width=2)
        >>> run = TrainingRun(config, load_dataset("digits", Path("data")))
        >>> for result in run.epochs():
        ...     print(f"epoch {result.epoch}: {result.test_accuracy:.0%}")
        epoch 1: ...%
        epoch 2: ...%
    """

    def __init__(
        self, config: RunConfig, dataset: Dataset, *, device: torch.device | str = "cpu"
    ) -> None:
        dataset.check_fits(config.architecture, config.num_steps)
        keep_freed_memory()
        self.config = config
        self.history: list[EpochResult] = []
        self._can_be_diagnosed = True
        self._progress: EpochProgress | None = None
        self._loaded_progress: dict[str, Any] | None = None
        part = (config.training_images, config.validation_fraction)
        dataset, held_out = training_part(dataset, *part)
        self._held_out = held_out and (held_out[0].to(device), held_out[1].to(device))
        selecting = held_out[1] if held_out else dataset.test_labels
        self.dataset = dataset.to(device)
        self._chance_train = chance_accuracy(dataset.train_labels)
        self._chance_selecting = chance_accuracy(selecting)

        seed_everything(derived_seed(config.seed, "weights"))
        shape = {
            "in_channels": dataset.in_channels,
            "num_classes": dataset.num_classes,
            "image_size": dataset.image_size,
        }
        model = make_model(config.architecture, **{**config.model_arguments(), **shape})
        self.model = model.to(device)
        # They are digested now, since the user may edit them during the training.
        self._sources = source_digests((config.architecture, config.norm))
        self.engine = choose_engine(model, config.compile, torch.device(device))
        self._step = CapturedStep(model, graph_for(config, torch.device(device)))
        self._optimizer = make_optimizer(config, self.model)
        steps_an_epoch = math.ceil(len(dataset.train_labels) / config.batch_size)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: learning_rate_factor(config, step, steps_an_epoch)
        )

    @property
    def best(self) -> EpochResult | None:
        """The first epoch with the highest accuracy; None before the first epoch.

        The accuracy is that on the held-out training images, or on the test set if
        ``validation_fraction`` is 0.
        """
        finite = [result for result in self.history if result.is_finite]
        return max(finite, key=lambda result: result.selecting_accuracy, default=None)

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while epochs are left.

        It diverged if a loss is NaN or infinite. It collapsed if the last epochs were no better
        than the best constant prediction (:func:`chance_accuracy`), both on the training set and on
        the images that select the best epoch.
        """
        if not self.history:
            return None
        if not self.history[-1].is_finite:
            return "diverged"
        stop_after = self.config.stop_when_collapsed_after
        finished = len(self.history) >= self.config.epochs
        window = min(stop_after or _COLLAPSE_EPOCHS, self.config.epochs)
        may_end = finished or (stop_after is not None and len(self.history) >= window)
        if may_end and all(
            result.train_accuracy <= self._chance_train
            and result.selecting_accuracy <= self._chance_selecting
            for result in self.history[-window:]
        ):
            return "collapsed"
        return "completed" if finished else None

    def epochs(self) -> Iterator[EpochResult]:
        """Run the remaining epochs, up to the outcome."""
        while self.outcome is None:
            yield self.run_epoch()

    def run_epoch(self, on_batch: Callable[[int], object] | None = None) -> EpochResult:
        """Train one epoch, or the rest of one, then validate and test.

        Args:
            on_batch: called after each training batch with the number of its images. It may save
                :meth:`state_dict`, and it may raise an exception to leave the epoch.
        """
        epoch = len(self.history) + 1
        self._progress = EpochProgress(
            self.config.seed, epoch, self.dataset.train_labels.device, self._within_epoch()
        )
        self._train(self._progress, on_batch)
        train_loss, train_accuracy = self._progress.sums.means()
        train_seconds = self._progress.seconds
        held_out = self._evaluate(*self._held_out) if self._held_out else (None, None)
        with spike_rates(self.model) as rates:
            test_loss, test_accuracy = self._evaluate(
                self.dataset.test_images, self.dataset.test_labels
            )
        result = EpochResult(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            images_per_second=len(self.dataset.train_labels) / train_seconds,
            epoch_seconds=self._progress.seconds,
            validation_loss=held_out[0],
            validation_accuracy=held_out[1],
            spike_rates={layer: float(rate) for layer, rate in rates.items()},
        )
        self.history.append(result)
        self._progress = self._loaded_progress = None
        return result

    @property
    def sample(self) -> dict[str, int | bool]:
        """Channels, image size in pixels, number of classes, and whether samples are sequences."""
        data = self.dataset
        return {
            "channels": data.in_channels,
            "image_size": data.image_size,
            "classes": data.num_classes,
            "sequences": data.num_steps is not None,
        }

    @property
    def layers(self) -> list[str]:
        """The layers that :meth:`diagnostics` covers, in the network's order."""
        return layers_of(self.model)

    def diagnostics(self) -> dict[str, float]:
        """The numbers of :mod:`snn_norm.training.diagnostics` for the present network, by layer.

        They are computed on 0.5 % of the training images, but at least 8 and at most 32, which are
        spread over the whole set and the same each time. This does not affect the run's results. If
        a user's own network or norm fails at it, there are no numbers, and a warning says why.
        """
        if not self._can_be_diagnosed:
            return {}
        images, labels = self.dataset.train_images, self.dataset.train_labels
        count = min(len(labels), max(8, min(32, len(labels) // 200)))
        chosen = torch.arange(count, device=labels.device) * len(labels) // count
        x = normalize(images[chosen], self.dataset.mean, self.dataset.std)
        if isinstance(self.model, SNNCNN) and x.dim() == 4:
            # As a sequence, so that each step's currents have their own gradient.
            x = x.unsqueeze(1).expand(-1, self.model.num_steps, -1, -1, -1)

        def loss(model: nn.Module) -> Tensor:
            return F.cross_entropy(model(x), labels[chosen])

        try:
            return diagnose(self.model, loss, seed=derived_seed(self.config.seed, "diagnostics"))
        except Exception as error:
            own = any(map(is_reference, (self.config.architecture, self.config.norm)))
            if not own or is_out_of_memory(error):
                raise
            _LOG.warning("no diagnostics: %s: %s", type(error).__name__, error)
            self._can_be_diagnosed = False
            return {}

    def state_dict(self) -> dict[str, Any]:
        """All that a later process needs to continue, as tensors and plain values.

        Within an epoch, it continues with the next batch.
        """
        within_epoch = self._within_epoch()
        return {
            "config": self.config.given(),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "history": [asdict(result) for result in self.history],
            **({"within_epoch": within_epoch} if within_epoch else {}),
            "engine": self.engine,
        }

    def saved(self) -> bytes:
        """The content of a file for ``load_model``: the network with all that its use needs.

        The same weights yield the same bytes.

        Raises:
            ValueError: no epoch has run yet, or the network's state has more than tensors.
        """
        if not self.history:
            raise ValueError("there is no epoch yet whose network could be saved")
        metrics, epoch = self.history[-1].metrics(), len(self.history)
        description = describe(self.config, self.dataset, self._sources, epoch, metrics)
        return model_bytes(self.model, description)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`.

        Raises:
            ValueError: the state belongs to another configuration.
        """
        # A saved configuration gets the defaults of keys that did not exist when it was saved.
        if RunConfig(**state["config"]) != self.config:
            raise ValueError(
                f"the state is that of {state['config']}, this run is {self.config.given()}"
            )
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self.history = [EpochResult(**result) for result in state["history"]]
        self._progress, self._loaded_progress = None, state.get("within_epoch")
        # States without an engine are older than the layers by numba.
        self.keep_engine(state.get("engine", "eager" if self.engine == "numba" else self.engine))

    def keep_engine(self, engine: Engine | None) -> None:
        """Compute by the engine of an earlier part of the run, if this machine can."""
        if engine == "eager":
            self.engine = engine
            set_engine(self.model, engine)
        elif engine != self.engine:
            _LOG.warning(
                "the engine of the spiking layers was %s and is %s here, which rounds differently",
                engine,
                self.engine,
            )

    def _within_epoch(self) -> dict[str, Any] | None:
        """The progress within the present epoch; None between epochs."""
        return self._progress.state_dict() if self._progress else self._loaded_progress

    def _train(self, progress: EpochProgress, on_batch: Callable[[int], object] | None) -> None:
        self.model.train()
        data, sums = self.dataset, progress.sums
        for images_NCHW, labels_N in batches(
            data.train_images,
            data.train_labels,
            self.config.batch_size,
            progress.order,
            done=sums.images,
        ):
            if self.config.augment:
                images_NCHW = crop_and_flip(images_NCHW, progress.augmentation)
            loss, logits_NK = self._step(self._gradients, images_NCHW, labels_N)
            self._optimizer.step()
            self._scheduler.step()
            sums.add(loss, logits_NK, labels_N)
            if on_batch is not None:
                on_batch(len(labels_N))

    def _gradients(self, images_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's loss and logits, and leave its gradients in the parameters."""
        self._optimizer.zero_grad()
        logits_NK = self._logits(images_NCHW)
        loss = F.cross_entropy(logits_NK, labels_N)
        loss.backward()
        return loss.detach(), logits_NK.detach()

    def _evaluate(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        self.model.eval()
        return evaluate(self._logits, images, labels, self.config.batch_size)

    def _logits(self, images_NCHW: Tensor) -> Tensor:
        mean, std = self.dataset.mean, self.dataset.std
        return logits_of(self.model, images_NCHW, mean, std, self.config.precision)
