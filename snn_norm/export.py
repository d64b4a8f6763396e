"""Exports a trained spiking network to NIR: ``python -m snn_norm.export MODEL network.nir``.

MODEL is the folder of a model that a sweep kept, or a file of ``TrainingRun.state_dict()``.

NIR (https://neuroir.org) is a format that simulators and neuromorphic chips read. Its neurons reset
immediately to a fixed value. The reset ``zero`` has the same effect one step later, but NIR cannot
represent a subtraction one step late. Its weights are the same at each time step. The input of the
graph is normalized images as a constant current; its output is the readout's membrane, whose mean
over the time steps is the logits. A time step is 1.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from snn_norm.bounds import check_bounds
from snn_norm.config import RunConfig
from snn_norm.networks.cnn import make_model
from snn_norm.networks.fold import ThresholdOfEachChannel, fold
from snn_norm.networks.layers import ConvolutionOfEachStep
from snn_norm.networks.spiking import SNNCNN
from snn_norm.networks.table import Layer, Output
from snn_norm.neurons.layers import LIF
from snn_norm.references import check_named
from snn_norm.shell import add_own_code
from snn_norm.training.models.saved_model import load_model


def to_nir(model: SNNCNN, in_channels: int, image_size: int) -> Any:
    """Return the folded network as a ``nir.NIRGraph``.

    Args:
        model: a network with reset ``zero``, and a norm that folds into static weights, or none.
        in_channels: number of channels of an image.
        image_size: height and width of an image in pixels.

    Raises:
        ValueError: NIR cannot represent the network, its images have another shape, or
            :func:`snn_norm.fold` raises it.
    """
    return _Graph(model, in_channels, image_size).graph()


class _Graph:
    """The nodes and edges; several edges into a node are summed, which represents a shortcut."""

    def __init__(self, model: SNNCNN, in_channels: int, image_size: int) -> None:
        if not isinstance(model, SNNCNN):
            raise ValueError(f"only an SNNCNN can be exported, got a {type(model).__name__}")
        self._model = fold(model)
        _check_images(model, in_channels, image_size)
        self._layers = {layer.name: layer for layer in model.trunk.layers}
        self._shapes: dict[str | None, tuple[int, int, int]] = {
            None: (in_channels, image_size, image_size)
        }
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []

    def graph(self) -> Any:
        import nir

        model, input_shape = self._model, self._shapes[None]
        self._nodes["input"] = nir.Input({"input": np.array(input_shape)})
        for layer in self._layers.values():
            self._add_layer(layer)
        last = list(self._layers.values())[-1]
        features, shape = self._sources((last.name, "spikes")), self._shapes[last.name]
        if model.trunk.average:
            size = np.array(shape[1:])
            self._add("average", nir.AvgPool2d(size, size, np.zeros(2, dtype=int)), features)
            features, shape = ["average"], (shape[0], 1, 1)
        first = model.classifier if model.hidden is None else model.hidden
        if math.prod(shape) != first.in_features:
            raise ValueError(
                "image_size must be the size at which the network was trained: from images of "
                f"{input_shape[-1]} pixels come {math.prod(shape)} features, and it takes "
                f"{first.in_features}"
            )
        self._add("flatten", nir.Flatten({"input": np.array(shape)}, 0, -1), features)
        before = "flatten"
        if model.hidden is not None:
            self._add("hidden", _affine(model.hidden), [before])
            hidden = (model.hidden.out_features,)
            self._add("hidden_neurons", _neuron(model.neurons["hidden"], hidden), ["hidden"])
            before = "hidden_neurons"
        self._add("classifier", _affine(model.classifier), [before])
        classes = (model.classifier.out_features,)
        readout = nir.I(np.ones(classes))
        if model.readout.beta < 1:
            readout = nir.LI(*_leak(model.readout.beta, classes))
        self._add("readout", readout, ["classifier"])
        self._add("output", nir.Output({"output": np.array(classes)}), ["readout"])
        return nir.NIRGraph(self._nodes, self._edges, metadata={}, type_check=False)

    def _add(self, name: str, node: Any, sources: list[str]) -> None:
        self._nodes[name] = node
        self._edges += [(source, name) for source in sources]

    def _add_layer(self, layer: Layer) -> None:
        import nir

        convolution = self._model.convolutions[layer.name]
        if isinstance(convolution, ConvolutionOfEachStep):
            raise ValueError(
                "each time step has weights of its own, and NIR's are the same at each: train with "
                "a norm that folds into static weights, such as batchnorm or homeostatic-shared"
            )
        assert isinstance(convolution, nn.Conv2d)
        bias = np.zeros(layer.channels)
        if convolution.bias is not None:
            bias = _array(convolution.bias)
        _, height, width = self._shapes[layer.source]
        node = nir.Conv2d(
            (height, width), _array(convolution.weight), layer.stride, layer.kernel // 2, 1, 1, bias
        )
        source: Output | None = (layer.source, "spikes") if layer.source else None
        self._add(layer.name, node, self._sources(source) if source else ["input"])
        height, width = -(-height // layer.stride), -(-width // layer.stride)
        self._shapes[layer.name] = (layer.channels, height, width)
        if not layer.fires:
            return
        neuron = _neuron(self._model.neurons[layer.name], self._shapes[layer.name])
        self._add(f"{layer.name}_neurons", neuron, self._sources((layer.name, "currents")))
        if layer.pool:
            two = np.array([2, 2])
            pool = nir.AvgPool2d(two, two, np.zeros(2, dtype=int))
            self._add(f"{layer.name}_pool", pool, [f"{layer.name}_neurons"])
            self._shapes[layer.name] = (layer.channels, height // 2, width // 2)

    def _sources(self, output: Output) -> list[str]:
        """The nodes whose sum is a layer's currents or spikes."""
        name, kind = output
        layer = self._layers[name]
        own = name if kind == "currents" else f"{name}_{'pool' if layer.pool else 'neurons'}"
        added = layer.adds is not None and layer.adds.to == kind
        return [own, *(self._sources(layer.adds.output) if added and layer.adds else [])]


def _check_images(model: SNNCNN, in_channels: int, image_size: int) -> None:
    first = model.convolutions[model.trunk.layers[0].name]
    # The weights of a folded network may have a dimension of time before (O, I, kernel, kernel).
    assert isinstance(first.weight, Tensor)
    wanted = first.weight.shape[-3]
    if in_channels != wanted:
        raise ValueError(f"in_channels must be {wanted}, as the network has, got {in_channels}")
    check_bounds(image_size=image_size)


def _neuron(neuron: nn.Module, shape: tuple[int, ...]) -> Any:
    import nir

    assert isinstance(neuron, LIF)
    if neuron.reset != "zero":
        raise ValueError(
            "NIR's neurons reset to a fixed value, and not by subtraction one step late: "
            "train with reset: zero"
        )
    threshold = np.full(shape, neuron.threshold)
    level = neuron.on_membrane
    if isinstance(level, ThresholdOfEachChannel):
        if bool((level.sign < 0).any()):
            raise ValueError(
                "a norm on the membrane has a negative weight, so that neurons fire below their "
                "threshold, which NIR cannot say: train with another norm"
            )
        threshold = np.broadcast_to(_array(level.threshold)[:, None, None], shape).copy()
    zeros = np.zeros(shape)
    beta = float(torch.as_tensor(neuron.decay()).detach())
    if beta == 1:
        return nir.IF(np.ones(shape), threshold, zeros)
    return nir.LIF(*_leak(beta, shape), threshold, zeros)


def _leak(beta: float, shape: tuple[int, ...]) -> tuple[npt.NDArray[Any], ...]:
    """Time constant, resistance and resting value, so that an Euler step of 1 is v ← β·v + x."""
    constant = np.full(shape, 1 / (1 - beta))
    return constant, constant, np.zeros(shape)


def _affine(layer: nn.Linear) -> Any:
    import nir

    return nir.Affine(_array(layer.weight), _array(layer.bias))


def _array(values: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = values.detach().cpu().numpy()
    return array


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a trained network; the exit code is 0 for success, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m snn_norm.export", description=__doc__)
    parser.add_argument(
        "model",
        type=Path,
        help="the folder of a model, its model.safetensors, or a file of TrainingRun.state_dict()",
    )
    parser.add_argument("network", type=Path, help="where to write it, .nir")
    parser.add_argument(
        "--image-size", type=int, help="pixels, where a state_dict's data set decides"
    )
    add_own_code(parser)
    options = parser.parse_args(arguments)
    try:
        import nir
    except ImportError:
        print("the package nir is missing: pip install 'snn-norm[nir]'", file=sys.stderr)
        return 2
    try:
        model, in_channels, image_size = _network(
            options.model, options.image_size, options.own_code
        )
        nir.write(options.network, to_nir(model.double(), in_channels, image_size))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _network(
    path: Path, image_size: int | None, own_code: Sequence[str]
) -> tuple[SNNCNN, int, int]:
    """Load a spiking network; return it with the number of channels and the size of its images."""
    if path.is_dir() or path.suffix == ".safetensors":
        saved = load_model(path, own_code=own_code)
        _check_architecture(saved.description.config)
        assert isinstance(saved.network, SNNCNN)
        size = saved.description.image_size
        if image_size not in (None, size):
            raise ValueError(
                f"--image-size must be {size}, the size at which the model was trained, got "
                f"{image_size}: leave it out, as the model's file has it"
            )
        return saved.network, saved.description.in_channels, size
    return _of_state_dict(path, image_size, own_code)


def _of_state_dict(
    path: Path, image_size: int | None, own_code: Sequence[str]
) -> tuple[SNNCNN, int, int]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        config, weights = RunConfig(**state["config"]), state["model"]
    except OSError:
        raise
    except Exception as error:  # any other file may make torch raise anything
        raise ValueError(f"{path} is not what a training run saved: {error}") from error
    keys = config.model_arguments()
    keys["image_size"] = image_size or config.image_size
    if keys["image_size"] is None:
        raise ValueError("the run's data set decides the size of its images: give --image-size")
    _check_architecture(config)
    check_named({"norm": config.norm}, own_code)
    try:
        keys["in_channels"] = weights["convolutions.conv1.weight"].shape[1]
        keys["num_classes"] = len(weights["classifier.weight"])
        model = make_model(config.architecture, **keys)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"the weights of {path} are not those of its network for images of "
            f"{keys['image_size']} pixels; --image-size must be the size at which it was trained: "
            f"{error}"
        ) from error
    assert isinstance(model, SNNCNN)
    return model, keys["in_channels"], keys["image_size"]


def _check_architecture(config: RunConfig) -> None:
    if config.architecture != "snn":
        raise ValueError(f"architecture must be snn, got {config.architecture!r}")


if __name__ == "__main__":
    sys.exit(main())
