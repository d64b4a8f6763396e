"""The contenders of the training-step benchmark: one network, in several libraries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from snn_norm import SNNCNN
from snn_norm.networks.layers import Outputs
from snn_norm.networks.table import Layer, Trunk, make_trunk
from snn_norm.neurons.engine import choose_engine
from snn_norm.training.allocator import keep_freed_memory
from snn_norm.training.cuda_graph import CudaGraph


class Setting(NamedTuple):
    """What a step is measured on."""

    device: str
    precision: str
    norm: str
    num_steps: int
    batch_size: int
    width: int
    image_size: int
    threads: int
    clock: str
    trunk: str = "reference"

    def layers(self) -> Trunk:
        """The trunk that every contender builds."""
        return make_trunk(self.trunk, self.width)


def _network(setting: Setting, **keys: Any) -> SNNCNN:
    return SNNCNN(
        setting.norm,
        num_steps=setting.num_steps,
        image_size=setting.image_size,
        width=setting.width,
        trunk=setting.trunk,
        **keys,
    ).to(setting.device)


class _Ours(nn.Module):
    """This project's step, as training runs it: the allocator's setting is part of it."""

    graph: CudaGraph | None = None
    """To capture the step in."""

    def __init__(
        self,
        setting: Setting,
        *,
        compiled: bool | Literal["auto"] = "auto",
        captured: bool = False,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        if captured:
            self.graph = CudaGraph(torch.device(setting.device))
        self.network = _network(setting)
        choose_engine(self.network, compiled, torch.device(setting.device))
        self.device = torch.device(setting.device).type
        self.bf16 = setting.precision == "bf16"

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            logits_NK: Tensor = self.network(x_NCHW)
        return logits_NK.float()


def _snntorch(setting: Setting) -> nn.Module:
    """snnTorch's neurons in the usual loop, in float32."""
    return _network(setting, neuron="snntorch")


OF_SPIKINGJELLY = ("bntt", "tdbn", "tebn", "mpbn")
"""The norms that it has a layer, or a neuron, for."""


class _SpikingJelly(nn.Module):
    """SpikingJelly's multi-step mode with its own norms, in float32; of those it lacks, BNTT."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer

        self._functional = functional
        self.num_steps = setting.num_steps
        self.trunk = setting.layers()
        self.convolutions, self.norms, self.neurons = (nn.ModuleDict() for _ in range(3))
        inputs, sizes = _inputs(self.trunk, setting)
        for each in self.trunk.layers:
            self.convolutions[each.name] = layer.Conv2d(
                inputs[each.name][0], each.channels, each.kernel, each.stride, each.kernel // 2,
                bias=setting.norm == "none", step_mode="m",
            )  # fmt: skip
            self.norms[each.name] = _spikingjelly_norm(setting, each)
            if each.fires:
                self.neurons[each.name] = _spikingjelly_neuron(setting, each.channels)
        self.pool = layer.AvgPool2d(2, step_mode="m")
        last = self.trunk.layers[-1]
        features = last.channels * (1 if self.trunk.average else sizes[last.name] ** 2)
        hidden = self.trunk.hidden
        assert hidden is not None
        self.classifier = nn.Sequential(
            layer.Linear(features, hidden, step_mode="m"),
            _spikingjelly_neuron(setting, None),
            layer.Linear(hidden, 10, step_mode="m"),
        )
        self.to(setting.device)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        self._functional.reset_net(self)
        x_TNCHW = x_NCHW.unsqueeze(0).repeat(self.num_steps, 1, 1, 1, 1)
        outputs = Outputs(self.trunk)
        for each in self.trunk.layers:
            y = x_TNCHW if each.source is None else outputs.take((each.source, "spikes"))
            y = self.norms[each.name](self.convolutions[each.name](y))
            y = outputs.added(each, "currents", y)
            outputs.put(each, "currents", y)
            if each.fires:
                y = outputs.added(each, "spikes", self.neurons[each.name](y))
                y = self.pool(y) if each.pool else y
                outputs.put(each, "spikes", y)
        features_TNF = y.mean((-2, -1)) if self.trunk.average else y.flatten(2)
        logits_NK: Tensor = self.classifier(features_TNF).mean(0)
        return logits_NK


def _spikingjelly_norm(setting: Setting, each: Layer) -> nn.Module:
    from spikingjelly.activation_based import layer

    steps, channels = setting.num_steps, each.channels
    match setting.norm:
        case "none" | "mpbn":
            return nn.Identity()
        case "tdbn":
            alpha = 2**-0.5 if each.is_summand else 1.0
            return layer.ThresholdDependentBatchNorm2d(alpha, 1.0, channels)
        case "tebn":
            return layer.TemporalEffectiveBatchNorm2d(steps, channels)
        case _:
            return layer.BatchNormThroughTime2d(steps, channels, eps=1e-4, step_mode="m")


def _spikingjelly_neuron(setting: Setting, channels: int | None) -> nn.Module:
    from spikingjelly.activation_based import neuron, surrogate

    keys: dict[str, Any] = {
        "tau": 10.0, "decay_input": False, "v_threshold": 1.0, "v_reset": None,
        "detach_reset": True, "surrogate_function": surrogate.ATan(), "step_mode": "m",
    }  # fmt: skip
    if setting.norm == "mpbn" and channels is not None:
        return neuron.MPBNLIFNode(out_channels=channels, **keys)
    node = neuron.LIFNode(**keys)
    node.backend = "triton" if setting.device.startswith("cuda") else "torch"
    return node


def _spikingjelly(setting: Setting) -> nn.Module:
    return _SpikingJelly(setting)


def _spikingjelly_tuned(setting: Setting) -> nn.Module:
    """The same with our setting of the allocator, which its users do not have."""
    keep_freed_memory()
    return _SpikingJelly(setting)


class _Convolutions(nn.Module):
    """The convolutions alone, in the network's precision and fastest memory order.

    The first one once, the others over all images of all steps, each on spikes of its own: what is
    left when everything that can be saved is saved. Its "logits" carry each layer's gradient.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        keep_freed_memory()
        self.setting = setting
        dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
        trunk = setting.layers()
        self.inputs, _ = _inputs(trunk, setting)
        self.convolutions = nn.ModuleDict(
            {
                each.name: nn.Conv2d(
                    self.inputs[each.name][0], each.channels, each.kernel, each.stride,
                    each.kernel // 2, bias=False,
                )
                for each in trunk.layers
            }
        )  # fmt: skip
        layout: dict[str, Any] = {"memory_format": torch.channels_last}  # which no stub has
        self.convolutions.to(setting.device, dtype, **layout)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        for index, (name, convolution) in enumerate(self.convolutions.items()):
            weight: Tensor = convolution.get_parameter("weight")
            if index == 0:
                x = x_NCHW.to(weight.dtype)
            else:
                channels, size = self.inputs[name]
                shape = (len(x_NCHW) * self.setting.num_steps, channels, size, size)
                x = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
                x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
            y = convolution(x)
            y.backward(y.detach())
        return torch.zeros(len(x_NCHW), 10, device=weight.device, requires_grad=True)


def _inputs(trunk: Trunk, setting: Setting) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Channels and size of what each layer takes, and the size of what it puts out."""
    inputs: dict[str, tuple[int, int]] = {}
    channels: dict[str | None, int] = {None: 3}
    sizes: dict[Any, int] = {None: setting.image_size}
    for each in trunk.layers:
        inputs[each.name] = channels[each.source], sizes[each.source]
        channels[each.name] = each.channels
        sizes[each.name] = -(-sizes[each.source] // each.stride) // (2 if each.pool else 1)
    return inputs, sizes


CAPTURED = "snn_norm, captured"
"""As training runs it on a GPU: compiled, and captured in a CUDA graph. There alone."""

CONTENDERS: dict[str, Callable[[Setting], nn.Module]] = {
    "snn_norm": _Ours,
    "snn_norm, eager": partial(_Ours, compiled=False),
    "snn_norm, compiled": partial(_Ours, compiled=True),
    CAPTURED: partial(_Ours, captured=True),
    "snnTorch loop": _snntorch,
    "SpikingJelly multi-step": _spikingjelly,
    "SpikingJelly, our allocator": _spikingjelly_tuned,
    "convolutions alone": _Convolutions,
}
