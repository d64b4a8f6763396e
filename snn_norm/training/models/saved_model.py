"""Saves a trained network to one file, and loads it.

The file is that of the module ``model_file``: the weights, and a text that describes how to make
the network and how to normalize its images. Names in that text are looked up in the tables of this
package. A user's own network or norm is imported only if the caller has named it too.

Shapes: N images, T time steps, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset
from snn_norm.networks.cnn import make_model
from snn_norm.training.evaluation import logits_of
from snn_norm.training.models.model_file import (
    UnsavableError,
    header_of,
    is_of_own_training,
    model_file,
    read_model_file,
)
from snn_norm.training.models.model_sources import check_code
from snn_norm.wording import all_in_words


class Description(pydantic.BaseModel):
    """The description of a network: all that its use needs besides the weights.

    Args:
        format: version of this description's format.
        config: the configuration of the run.
        epoch: the epoch after which the weights were saved, from 1.
        metrics: the finite losses and accuracies of that epoch.
        in_channels: C.
        num_classes: K.
        image_size: H and W, in pixels.
        sequence_steps: T of a data set of sequences; None if a sample is a single image.
        mean, std: those of each channel, over the training images scaled to 0..1.
        sources: digest of the code of each module of the user's own that the network uses.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    format: Literal[1] = 1
    config: RunConfig
    epoch: int
    metrics: dict[str, float]
    in_channels: pydantic.PositiveInt
    num_classes: pydantic.PositiveInt
    image_size: pydantic.PositiveInt
    sequence_steps: pydantic.PositiveInt | None = None
    mean: tuple[pydantic.FiniteFloat, ...]
    std: tuple[Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)], ...]
    sources: dict[str, str] = {}

    @pydantic.model_validator(mode="after")
    def _check_channels(self) -> Description:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.in_channels:
                raise ValueError(
                    f"{name} must have a number for each channel, {self.in_channels}, "
                    f"got {len(values)}"
                )
        return self

    def to_json(self, indent: int | None = None) -> str:
        """The description as JSON; every number keeps all its digits."""
        given = {**self.model_dump(mode="json"), "config": self.config.given()}
        return json.dumps(given, indent=indent, allow_nan=False)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample, (C, H, W), or (T, C, H, W) for sequences."""
        image = (self.in_channels, self.image_size, self.image_size)
        return image if self.sequence_steps is None else (self.sequence_steps, *image)


def describe(
    config: RunConfig,
    dataset: Dataset,
    sources: Mapping[str, str],
    epoch: int,
    metrics: Mapping[str, float],
) -> Description:
    """Describe a network in training, at the end of an epoch.

    The data set is without held-out images. Only reproducible metrics are included, so no times.
    """
    return Description(
        config=config,
        epoch=epoch,
        metrics={
            name: value
            for name, value in metrics.items()
            if name.endswith(("_loss", "_accuracy")) and math.isfinite(value)
        },
        in_channels=dataset.in_channels,
        num_classes=dataset.num_classes,
        image_size=dataset.image_size,
        sequence_steps=dataset.num_steps,
        mean=tuple(dataset.mean.tolist()),
        std=tuple(dataset.std.tolist()),
        sources=dict(sources),
    )


class TrainedModel(nn.Module):
    """A trained network in evaluation mode, whose input is unnormalized images.

    Args:
        network: a network of normalized images.
        description: how it was made and trained.

    Attributes:
        network: the network itself, a plain module.
        description: the given description.

    Shape:
        Input uint8 (N, C, H, W), or (N, T, C, H, W) for sequences; output logits (N, K) in float32.

    Example:
        >>> from snn_norm.data.dataset import load_dataset
        >>> from snn_norm.training.run import TrainingRun
        >>> keys = {"architecture": "ann", "norm": "batchnorm", "dataset": "digits"}
        >>> data = load_dataset("digits", Path("data"))
        >>> run = TrainingRun(RunConfig(**keys, seed=42, epochs=1, width=2), data)
        >>> result = run.run_epoch()
        >>> size = Path("model.safetensors").write_bytes(run.saved())
        >>> model = load_model("model.safetensors")
        >>> model(data.test_images[:4]).argmax(1).shape  # classes of uint8 images
        torch.Size([4])
    """

    def __init__(self, network: nn.Module, description: Description) -> None:
        super().__init__()
        self.network = network
        self.description = description
        self.register_buffer("mean", torch.tensor(description.mean), persistent=False)
        self.register_buffer("std", torch.tensor(description.std), persistent=False)
        self.eval()

    mean: Tensor
    std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of uint8 images.

        Raises:
            ValueError: the images are not uint8, or have another shape.
        """
        shape = self.description.sample_shape
        if images.dtype != torch.uint8 or images.shape[1:] != shape:
            raise ValueError(
                f"images must be uint8 (N, {', '.join(map(str, shape))}), got {images.dtype} "
                f"{tuple(images.shape)}; normalized ones are for its .network"
            )
        return logits_of(
            self.network, images, self.mean, self.std, self.description.config.precision
        )


def model_bytes(network: nn.Module, description: Description) -> bytes:
    """Return a network and its description as one file; equal arguments yield equal bytes.

    Raises:
        UnsavableError: the network's state has a value that is not a tensor, or a tensor of a type
            that the format does not support.
    """
    state: dict[str, Any] = network.state_dict()
    if other := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UnsavableError(f"its state_dict holds {other[0]!r}, which is no tensor")
    return model_file(state, description.to_json())


def description_in(data: bytes) -> Description:
    """Return the description in the header of a file.

    Raises:
        ValueError: the file was not made by :func:`model_bytes`, or by a later version of it.
    """
    return _described(header_of(data))


def load_model(
    path: str | Path, device: torch.device | str = "cpu", *, own_code: str | Iterable[str] = ()
) -> TrainedModel:
    """Load a trained model.

    Code that only the file names is never run. A model whose network or norm is the user's own
    needs ``own_code``; that code is imported, and a warning is issued if it has changed since the
    training.

    Args:
        path: its folder, or the file ``model.safetensors`` itself.
        device: the device on which it computes.
        own_code: the user's own network and norm, ``package.module:name``, one name or several.

    Raises:
        ValueError: there is no such file; it is damaged or not a model's; it names code that
            ``own_code`` does not; or the network cannot be made, since the user's own module is
            missing or now has other weights.
    """
    weights, header = read_model_file(path)
    if is_of_own_training(header):
        raise ValueError(
            f"{os.fspath(path)!r} is a model of {header['train']}, training code of a user's own: "
            "snn_norm.load_own_model() gives it"
        )
    description = _described(header)
    config = description.config
    code = {"architecture": config.architecture, "norm": config.norm}
    check_code(code, own_code, description.sources)
    network = _network(description)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the network that {config.architecture!r} makes now has other weights "
            f"than the saved one: {error}"
        ) from error
    return TrainedModel(network, description).to(device)


def _network(description: Description) -> nn.Module:
    shape = {
        "in_channels": description.in_channels,
        "num_classes": description.num_classes,
        "image_size": description.image_size,
    }
    config = description.config
    try:
        return make_model(config.architecture, **{**config.model_arguments(), **shape})
    except ValueError:
        raise
    except Exception as error:  # the user's own module may raise anything
        reason = str(error).partition("\n")[0]  # torch appends its stack
        raise ValueError(
            f"the network of this model cannot be made: {type(error).__name__}: {reason}"
        ) from error


def _described(header: Mapping[str, Any]) -> Description:
    try:
        return Description.model_validate_json(json.dumps(header))
    except pydantic.ValidationError as error:
        raise ValueError(
            f"its description cannot be read by this version: {all_in_words(error)}"
        ) from error
