"""The two networks: one trunk, in which only the neuron differs.

Shapes: N images, C channels, T time steps, H height, W width, K classes, F features. Sequences are
named (T, N, C, H, W) but lie in memory as (T, N, H, W, C), the order in which convolutions are
fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal, TypeGuard

import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.networks.saved_spikes import PackedSpikes, made_anew
from snn_norm.neurons.layers import LIF, LeakyReadout, State
from snn_norm.neurons.recurrence import stretches
from snn_norm.norms.make import check_own, make_norm
from snn_norm.norms.temporal import TemporalNorm2d
from snn_norm.references import is_reference, load_reference

__all__ = ["ANNCNN", "ARCHITECTURES", "SNNCNN", "make_model"]

_HIDDEN = 256

_VALUES_AT_ONCE = 7_000_000
"""Values of the first layer in a stretch of time steps: enough to keep a processor busy."""

_VALUES_AT_ONCE_GPU = 64_000_000
"""The same on a GPU, for few launches: several time steps of 128 images. Not measured."""

_STEPS_KEPT = 25
"""Of more time steps than these, the last are kept whole for the gradient, and of those before
the convolutions in ``_MADE_ANEW`` are computed a second time."""

_MADE_ANEW = ("conv2", "conv3")
"""Three fifths of what the convolutions put out, for three eighths of their arithmetic."""


class _CNN(nn.Module):
    """Convolutions w-w-pool-2w-2w-pool-4w-4w-pool, a hidden layer of 256, a classifier.

    Convolutions are 3x3 and padded, pools average 2x2, a norm follows each convolution (which then
    has no bias), a neuron each norm and the hidden layer. Layers are named conv1 to conv6, hidden.
    """

    def __init__(
        self,
        norm: str,
        make_neuron: Callable[[], nn.Module],
        *,
        num_steps: int | None,
        in_channels: int,
        num_classes: int,
        image_size: int,
        width: int,
    ) -> None:
        super().__init__()
        if image_size < 8:
            raise ValueError(f"image_size must be at least 8 (three 2x2 pools), got {image_size}")
        widths = (width, width, 2 * width, 2 * width, 4 * width, 4 * width)
        self.convolutions = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.neurons = nn.ModuleDict()
        channels = in_channels
        for index, out_channels in enumerate(widths, start=1):
            name = f"conv{index}"
            self.convolutions[name] = nn.Conv2d(
                channels, out_channels, 3, padding=1, bias=norm == "none"
            )
            self.norms[name] = make_norm(norm, out_channels, num_steps)
            self.neurons[name] = make_neuron()
            channels = out_channels
        self.hidden = nn.Linear(channels * (image_size // 8) ** 2, _HIDDEN)
        self.neurons["hidden"] = make_neuron()
        self.classifier = nn.Linear(_HIDDEN, num_classes)


def _pooled(name: str) -> bool:
    """Whether a pool follows this convolution: the second of each pair."""
    return name in ("conv2", "conv4", "conv6")


class ANNCNN(_CNN):
    """The artificial network: rectified linear units.

    Args:
        norm: none, batchnorm, homeostatic, or ``package.module:name``, called as
            ``name(num_features)``.
        in_channels: channels of an image.
        num_classes: K, the number of classes.
        image_size: height and width in pixels, at least 8.
        width: channels of the first convolution.

    Shape:
        Images (N, C, H, W); output logits (N, K).

    Raises:
        ValueError: an unknown norm, or image_size below 8.
    """

    def __init__(
        self,
        norm: str = "batchnorm",
        *,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = 64,
    ) -> None:
        super().__init__(
            norm,
            nn.ReLU,
            num_steps=None,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            width=width,
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        for name, convolution in self.convolutions.items():
            x_NCHW = self.neurons[name](self.norms[name](convolution(x_NCHW)))
            if _pooled(name):
                x_NCHW = F.avg_pool2d(x_NCHW, 2)
        hidden_NF = self.neurons["hidden"](self.hidden(x_NCHW.flatten(1)))
        logits_NK: Tensor = self.classifier(hidden_NF)
        return logits_NK


class SNNCNN(_CNN):
    """The spiking network: leaky integrate-and-fire neurons over T time steps.

    The image is a constant input current at every step; the logits are the mean membrane of a
    readout that leaks and never resets.

    Args:
        norm: none, bntt, homeostatic, or ``package.module:name``, called as
            ``name(num_features, num_steps)`` and given whole sequences (T, N, C, H, W).
        num_steps: T, the number of time steps.
        beta: decay of every membrane a time step, 0 to 1.
        threshold: the membrane at which a spike is fired.
        slope: of the surrogate gradient, a fast sigmoid.
        neuron: ``lif`` runs whole sequences at once; ``snntorch`` runs snnTorch's own neurons step
            by step, the slow reference. Both give the same numbers.
        in_channels: channels of an image.
        num_classes: K, the number of classes.
        image_size: height and width in pixels, at least 8.
        width: channels of the first convolution.

    Shape:
        Images (N, C, H, W); output logits (N, K).

    Raises:
        ValueError: an unknown norm or neuron, or image_size below 8.
    """

    def __init__(
        self,
        norm: str = "bntt",
        *,
        num_steps: int = 25,
        beta: float = 0.9,
        threshold: float = 1.0,
        slope: float = 25.0,
        neuron: Literal["lif", "snntorch"] = "lif",
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: int = 32,
        width: int = 64,
    ) -> None:
        if neuron not in ("lif", "snntorch"):
            raise ValueError(f"neuron must be lif or snntorch, got {neuron!r}")

        def make_neuron() -> nn.Module:
            if neuron == "lif":
                return LIF(beta, threshold, slope)
            # In double precision, lest a double network compute with float's 0.9.
            decay, level = (torch.tensor(c, dtype=torch.float64) for c in (beta, threshold))
            surrogate = snntorch.surrogate.fast_sigmoid(slope)
            leaky: nn.Module = snntorch.Leaky(decay, level, surrogate, init_hidden=True)
            return leaky

        super().__init__(
            norm,
            make_neuron,
            num_steps=num_steps,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            width=width,
        )
        self.num_steps = num_steps
        self.neuron = neuron
        self.readout = LeakyReadout(beta)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        return self._step_by_step(x_NCHW) if self.neuron == "snntorch" else self._at_once(x_NCHW)

    def _at_once(self, x_NCHW: Tensor) -> Tensor:
        """Each layer over a stretch of time steps before the next layer."""
        # The input is constant, so the first convolution is too: one step stands for all.
        x = self.convolutions["conv1"](x_NCHW.contiguous(memory_format=torch.channels_last))
        first_1NCHW = x.contiguous(memory_format=torch.channels_last).unsqueeze(0)
        states = {name: State() for name in self.neurons}
        outputs_TNK = [
            self._stretch(first_1NCHW, steps, states) for steps in self._stretches(first_1NCHW)
        ]
        logits_NK: Tensor = self.readout(torch.cat(outputs_TNK))
        return logits_NK

    def _stretches(self, x_1NCHW: Tensor) -> list[slice]:
        """The time steps in stretches of about equal length."""
        norm = self.norms["conv1"]
        whole = not (_folds(norm) or isinstance(norm, nn.Identity))  # a user's own is promised it
        values = _VALUES_AT_ONCE_GPU if x_1NCHW.is_cuda else _VALUES_AT_ONCE
        number = 1 if whole else -(-self.num_steps * x_1NCHW.numel() // values)
        return stretches(self.num_steps, min(number, self.num_steps))

    def _stretch(self, x_TNCHW: Tensor, steps: slice, states: dict[str, State]) -> Tensor:
        """The classifier's output (T, N, K) at some time steps, after the first convolution."""
        early = steps.stop <= self.num_steps - _STEPS_KEPT
        for name, convolution in self.convolutions.items():
            less_kept: AbstractContextManager[Any] = nullcontext()
            if name != "conv1":
                spikes = PackedSpikes(x_TNCHW, levels=1 if _pooled(name) else 4)
                with spikes.as_bytes():
                    x_TNCHW = _each_step(convolution, x_TNCHW)
                if early and name in _MADE_ANEW:
                    less_kept = made_anew(x_TNCHW, partial(_again, convolution, spikes))
            with less_kept:
                x_TNCHW = self._fire(name, x_TNCHW, steps, states[name])
        spikes_TNF = self.neurons["hidden"](self.hidden(x_TNCHW.flatten(2)), state=states["hidden"])
        outputs_TNK: Tensor = self.classifier(spikes_TNF)
        return outputs_TNK

    def _fire(self, name: str, x_TNCHW: Tensor, steps: slice, state: State) -> Tensor:
        """Normalize, fire, and pool where a pool follows."""
        norm, standardization = self.norms[name], None
        num_steps = steps.stop - steps.start
        if _folds(norm):
            standardization = norm.standardization(x_TNCHW, steps)
        elif not isinstance(norm, nn.Identity):
            x_TNCHW = norm(x_TNCHW.expand(num_steps, -1, -1, -1, -1))
        spikes_TNCHW: Tensor = self.neurons[name](
            x_TNCHW, standardization, num_steps=num_steps, pool=_pooled(name), state=state
        )
        return spikes_TNCHW

    def _step_by_step(self, x_NCHW: Tensor) -> Tensor:
        """All layers at one time step before the next step, as snnTorch's tutorials do."""
        for neuron in self.neurons.values():
            assert isinstance(neuron, snntorch.Leaky)
            neuron.reset_mem()
        outputs = []
        for t in range(self.num_steps):
            x = x_NCHW
            for name, convolution in self.convolutions.items():
                x = convolution(x)
                norm = self.norms[name]
                x = self.neurons[name](x if isinstance(norm, nn.Identity) else norm(x, t))
                x = x.to(x_NCHW.dtype)  # snnTorch's surrogate makes every spike a float32
                if _pooled(name):
                    x = F.avg_pool2d(x, 2)
            spikes_NF = self.neurons["hidden"](self.hidden(x.flatten(1))).to(x_NCHW.dtype)
            outputs.append(self.classifier(spikes_NF))
        logits_NK: Tensor = self.readout(torch.stack(outputs))
        return logits_NK


def _folds(norm: nn.Module) -> TypeGuard[TemporalNorm2d]:
    """Whether the neurons can do what the norm does; not where a subclass does it its own way."""
    return isinstance(norm, TemporalNorm2d) and type(norm).forward is TemporalNorm2d.forward


def _each_step(layer: Callable[[Tensor], Tensor], x_TNCHW: Tensor) -> Tensor:
    """Apply a layer for images to every image of every time step."""
    y_TNCHW: Tensor = layer(x_TNCHW.flatten(0, 1)).unflatten(0, x_TNCHW.shape[:2])
    return y_TNCHW


def _again(convolution: nn.Module, spikes: PackedSpikes) -> Tensor:
    """What the convolution made of these spikes."""
    return _each_step(convolution.forward, spikes.again())


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"ann": ANNCNN, "snn": SNNCNN}
"""Networks by name."""


def make_model(architecture: str, **keys: object) -> nn.Module:
    """Make a network from its name.

    Args:
        architecture: ann, snn, or ``package.module:name`` for your own, called with the same keys.
        keys: norm, in_channels, num_classes, image_size and the network's other arguments.

    Raises:
        ValueError: the name is unknown or cannot be imported, or a key's value is wrong.
    """
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture](**keys)
    if is_reference(architecture):
        model: nn.Module = load_reference(architecture)(**keys)
        check_own(architecture, model)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(f"{architecture} has no parameters to train")
        return model
    raise ValueError(
        f"architecture must be one of {', '.join(ARCHITECTURES)}, or package.module:name, "
        f"got {architecture!r}"
    )
