"""The contenders of the training-step benchmark: one network, in several libraries."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm import SNNCNN
from snn_norm.neurons.engine import choose_engine
from snn_norm.training.allocator import keep_freed_memory
from snn_norm.training.cuda_graph import CudaGraph

__all__ = ["CAPTURED", "CONTENDERS", "Setting"]


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


def _network(setting: Setting, **keys: Any) -> SNNCNN:
    return SNNCNN(
        setting.norm,
        num_steps=setting.num_steps,
        image_size=setting.image_size,
        width=setting.width,
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


class _SpikingJelly(nn.Module):
    """SpikingJelly's multi-step mode with its own batch norm through time, in float32."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        self._functional = functional
        self.num_steps = setting.num_steps
        backend = "triton" if setting.device.startswith("cuda") else "torch"

        def fire() -> nn.Module:
            node = neuron.LIFNode(
                tau=10.0, decay_input=False, v_threshold=1.0, v_reset=None, detach_reset=True,
                surrogate_function=surrogate.ATan(), step_mode="m",
            )  # fmt: skip
            node.backend = backend
            return node

        layers: list[nn.Module] = []
        width, channels = setting.width, 3
        for index, out in enumerate((width, width, 2 * width, 2 * width, 4 * width, 4 * width)):
            layers.append(
                layer.Conv2d(
                    channels, out, 3, padding=1, bias=setting.norm == "none", step_mode="m"
                )
            )
            if setting.norm != "none":
                layers.append(
                    layer.BatchNormThroughTime2d(setting.num_steps, out, eps=1e-4, step_mode="m")
                )
            layers.append(fire())
            if index % 2:
                layers.append(layer.AvgPool2d(2, step_mode="m"))
            channels = out
        features = channels * (setting.image_size // 8) ** 2
        layers += [
            layer.Flatten(step_mode="m"),
            layer.Linear(features, 256, step_mode="m"),
            fire(),
            layer.Linear(256, 10, step_mode="m"),
        ]
        self.layers = nn.Sequential(*layers).to(setting.device)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        self._functional.reset_net(self)
        x_TNCHW = x_NCHW.unsqueeze(0).repeat(self.num_steps, 1, 1, 1, 1)
        logits_NK: Tensor = self.layers(x_TNCHW).mean(0)
        return logits_NK


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
        width = setting.width
        widths = (3, width, width, 2 * width, 2 * width, 4 * width, 4 * width)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=False)
            for before, after in itertools.pairwise(widths)
        ).to(setting.device, dtype, memory_format=torch.channels_last)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        size = self.setting.image_size
        for index, convolution in enumerate(self.convolutions):
            weight = convolution.weight
            if index == 0:
                x = x_NCHW.to(weight.dtype)
            else:
                images = len(x_NCHW) * self.setting.num_steps
                shape = (images, weight.shape[1], size >> index // 2, size >> index // 2)
                x = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
                x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
            y = F.conv2d(x, weight, padding=1)
            y.backward(y.detach())
        return torch.zeros(len(x_NCHW), 10, device=weight.device, requires_grad=True)


CAPTURED = "snn_norm, captured"
"""As training runs it on a GPU: compiled, and captured in a CUDA graph. There alone."""

CONTENDERS: dict[str, Callable[[Setting], nn.Module]] = {
    "snn_norm": _Ours,
    "snn_norm, compiled": partial(_Ours, compiled=True),
    CAPTURED: partial(_Ours, captured=True),
    "snnTorch loop": _snntorch,
    "SpikingJelly multi-step": _spikingjelly,
    "SpikingJelly, our allocator": _spikingjelly_tuned,
    "convolutions alone": _Convolutions,
}
