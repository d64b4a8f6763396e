"""A trained network as one file, and the network out of such a file.

The file is in the format safetensors (https://github.com/huggingface/safetensors): the weights, and
in its header a JSON text that says how the network is made and how its images are normalized.
Nothing in it is code and nothing is pickled, so that reading it runs no code, but what the
configuration names: modules of the user's own, which are imported to make the network.

Shapes: N images, T time steps, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset
from snn_norm.networks.cnn import make_model
from snn_norm.references import is_reference, source_digest
from snn_norm.training.evaluation import logits_of

__all__ = [
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "Description",
    "TrainedModel",
    "check_whole",
    "describe",
    "description_in",
    "load_model",
    "model_bytes",
    "source_digests",
]

WEIGHTS_FILE = "model.safetensors"
"""In a model's folder, the model."""

CONFIG_FILE = "config.json"
"""In a model's folder, what the header of the other says, for people and other programs."""

_KEY = "snn_norm"
"""Of the description among a file's metadata. A single key: with several, their order varies."""


class Description(pydantic.BaseModel):
    """What a network's use needs besides its weights.

    Args:
        format: of this description.
        config: the run's.
        epoch: after which the weights were taken, from 1.
        metrics: losses and accuracies of that epoch, those that are finite.
        in_channels: C.
        num_classes: K.
        image_size: H and W, in pixels.
        sequence_steps: T of a data set of sequences; None where a sample is a single image.
        mean, std: by channel, of the training images scaled to 0..1.
        sources: digest of the code of each module of the user's own that the network is made of.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    format: Literal[1] = 1
    config: RunConfig
    epoch: int
    metrics: dict[str, float]
    in_channels: int
    num_classes: int
    image_size: int
    sequence_steps: int | None = None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sources: dict[str, str] = {}

    def to_json(self, indent: int | None = None) -> str:
        """As JSON; every number keeps all its digits."""
        given = {**self.model_dump(mode="json"), "config": self.config.given()}
        return json.dumps(given, indent=indent, allow_nan=False)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(C, H, W), or (T, C, H, W) of sequences."""
        image = (self.in_channels, self.image_size, self.image_size)
        return image if self.sequence_steps is None else (self.sequence_steps, *image)


def describe(
    config: RunConfig,
    dataset: Dataset,
    sources: Mapping[str, str],
    epoch: int,
    metrics: Mapping[str, float],
) -> Description:
    """The description of a network in training.

    Args:
        config: the run's.
        dataset: what it trains on, without held-out images.
        sources: of :func:`source_digests`.
        epoch: that has ended, from 1.
        metrics: of that epoch, of which those are told that measuring again gives again: no times.
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
    """A trained network that takes images as they are, in evaluation.

    Args:
        network: takes normalized images.
        description: how it was made and trained.

    Attributes:
        network: the network itself, a plain module.
        description: as given.

    Shape:
        uint8 (N, C, H, W), or (N, T, C, H, W) of sequences, to logits (N, K) in float32.

    Example:
        >>> model = load_model("snn-bntt-seed42")
        >>> model(images).argmax(1)  # classes of uint8 images
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
        """Logits (N, K) of uint8 images.

        Raises:
            ValueError: they are not uint8, or of another shape.
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
    """A network and its description as one file; the same ones give the same bytes.

    Raises:
        ValueError: the network's state holds what is no tensor, or one that the format lacks.
    """
    state: dict[str, Any] = network.state_dict()
    if other := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"its state_dict holds {other[0]!r}, which is no tensor")
    # Copies, as tensors that share memory are refused.
    tensors = {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in state.items()
    }
    try:
        return bytes(safetensors.torch.save(tensors, {_KEY: description.to_json()}))
    except (KeyError, safetensors.SafetensorError) as error:
        raise ValueError(f"its state_dict cannot be saved as safetensors: {error}") from error


def description_in(data: bytes) -> Description:
    """The description in the header of a file.

    Raises:
        ValueError: the file is none of :func:`model_bytes`, or of a later version.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        text = json.loads(data[8 : 8 + length])["__metadata__"][_KEY]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError("it is not the file of a trained model") from error
    return _read_description(text)


def check_whole(data: bytes) -> None:
    """Check that a file lacks nothing.

    Raises:
        ValueError: it is cut short, or no file of :func:`model_bytes`.
    """
    description_in(data)
    try:
        safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is damaged: {error}") from error


def load_model(path: str | Path, device: torch.device | str = "cpu") -> TrainedModel:
    """Load a trained model.

    Modules of the user's own that its configuration names are imported, and so run; a warning says
    so where their code has changed since the training. Nothing else is run.

    Args:
        path: its folder, or the file ``model.safetensors`` itself.
        device: where it is to compute.

    Raises:
        ValueError: there is no such file, it is no model's or damaged, or the network cannot be
            made: its own module is missing, or has other weights by now.
    """
    path = Path(path)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"there is no trained model {os.fspath(file)!r}; a sweep's are fetched with "
            "snn-sweep models NAME --download DIR"
        )
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{os.fspath(file)!r} is not a trained model: {error}") from error
    if text is None:
        raise ValueError(f"{os.fspath(file)!r} does not say how its network is made")
    description = _read_description(text)
    _tell_of_changes(description)
    network = _network(description)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the network that {description.config.architecture!r} makes now has other weights "
            f"than the saved one: {error}"
        ) from error
    return TrainedModel(network, description).to(device)


def source_digests(config: RunConfig) -> dict[str, str]:
    """Digest of each module of the user's own that a network is made of, where it can be read."""
    digests = {}
    for reference in filter(is_reference, (config.architecture, config.norm)):
        try:
            digests[reference] = source_digest(reference)
        except ValueError:  # written in C, or made: the loaded one cannot be compared
            continue
    return digests


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
    except Exception as error:  # of the user's own module, which may raise anything
        raise ValueError(
            f"the network of this model cannot be made: {type(error).__name__}: {error}"
        ) from error


def _read_description(text: str) -> Description:
    try:
        return Description.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise ValueError(f"its description cannot be read by this version: {error}") from error


def _tell_of_changes(description: Description) -> None:
    now = source_digests(description.config)
    for reference, digest in description.sources.items():
        if now.get(reference, digest) != digest:
            warnings.warn(
                f"the code of {reference} has changed since this model was trained: "
                "it may compute something else now",
                stacklevel=3,
            )
