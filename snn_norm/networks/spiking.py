"""The spiking network: a trunk that computes whole sequences at once. Shapes: see ``trunk``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeGuard

import snntorch
import torch
from torch import Tensor, nn

from snn_norm.bounds import check_bounds
from snn_norm.networks.initialization import initialize
from snn_norm.networks.layers import ConvolutionOfEachStep, Outputs, standardized
from snn_norm.networks.saved_spikes import PackedSpikes, recomputed
from snn_norm.networks.table import Layer, check_init, make_trunk
from snn_norm.networks.trunk import TrunkNetwork, normalizes_currents
from snn_norm.neurons.fused import check_transforms, left_uncompiled
from snn_norm.neurons.layers import LeakyReadout, State, make_neuron
from snn_norm.neurons.recurrence import stretches
from snn_norm.neurons.table import SURROGATES
from snn_norm.norms.protocol import Standardizes
from snn_norm.norms.shared import ThresholdDependentBatchNorm2d

_VALUES_AT_ONCE = 7_000_000
"""The first layer's number of values in a stretch of time steps: enough to keep a CPU busy."""

_VALUES_AT_ONCE_GPU = 64_000_000
"""The same on a GPU, for few launches: several time steps of 128 images. This is not measured."""

_STEPS_KEPT = 25
"""If there are more time steps than this, the last ones are kept whole for the gradient, and the
trunk's cheap convolutions are recomputed for those before."""


class SNNCNN(TrunkNetwork):
    """The spiking network: integrate-and-fire neurons over T time steps.

    An image is a constant input current at every step; the logits are the mean membrane of a
    readout that leaks and never resets. The neurons lif, plif and if apply a norm that is an affine
    map of each step themselves, so forward hooks on such a norm are not called. Put the hook on its
    neurons, or use the diagnostics.

    ``torch.compile`` leaves the network unchanged, because its neurons have kernels of their own,
    which :func:`snn_norm.neurons.engine.choose_engine` compiles. ``torch.func``'s transforms raise
    an error.

    Args:
        norm: a norm of :data:`snn_norm.norms.table.NORMS` for snn, or ``package.module:name``,
            called as ``name(num_features, num_steps)``; it gets whole sequences (T, N, C, H, W).
        num_steps: T, the number of time steps.
        beta: decay of every membrane per time step, 0 to 1.
        threshold: the membrane at which a spike is fired.
        neuron: lif, plif (with a learned decay, which starts at beta) or if (without decay: beta is
            1, for the readout too) compute whole sequences at once. ``snntorch`` runs snnTorch's
            own lif neurons step by step, as the slow reference. It computes the same numbers as
            lif, and supports no other reset or surrogate and no norm on the membrane.
        reset: subtract or zero.
        surrogate: the surrogate gradient, a name in :data:`snn_norm.neurons.table.SURROGATES`.
        slope: the slope of the surrogate; None for its usual one.
        trunk: a name in :data:`snn_norm.networks.table.TRUNKS`.
        width: channels of the first convolution; default: the trunk's own, 64 for the reference.
        depth: for trunk resnet only, 6n + 2; default 20.
        shortcut: for trunk resnet only: none, spike (sums of spikes) or membrane (sums of currents,
            the default).
        init: default (PyTorch's weights), kaiming, fluctuation or activity; see
            :mod:`snn_norm.networks.initialization`.
        in_channels: channels of an image.
        num_classes: K, the number of classes.
        image_size: height and width in pixels, at least 8.

    Shape:
        Images (N, C, H, W) or sequences (N, T, C, H, W); output logits (N, K).

    Raises:
        ValueError: a name is unknown, a key belongs to another trunk or neuron, or a number is
            outside :data:`snn_norm.bounds.BOUNDS`.
    """

    def __init__(
        self,
        norm: str = "bntt",
        *,
        num_steps: int = 25,
        beta: float = 0.9,
        threshold: float = 1.0,
        slope: float | None = None,
        neuron: str = "lif",
        reset: str = "subtract",
        surrogate: str = "fast_sigmoid",
        trunk: str = "reference",
        width: int | None = None,
        depth: int | None = None,
        shortcut: str | None = None,
        init: str = "default",
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: int = 32,
    ) -> None:
        check_bounds(beta=beta, threshold=threshold, slope=slope)
        beta = 1.0 if neuron == "if" else beta
        keys: dict[str, Any] = {"beta": beta, "threshold": threshold, "slope": slope}
        keys |= {"reset": reset, "surrogate": surrogate}

        def make(on_membrane: nn.Module | None) -> nn.Module:
            if neuron == "snntorch":
                return _leaky(**keys, on_membrane=on_membrane)
            return make_neuron(neuron, **keys, on_membrane=on_membrane)

        super().__init__(
            make_trunk(trunk, width, depth, shortcut),
            norm,
            make,
            num_steps=num_steps,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
        )
        check_init(init, spiking=True)
        initialize(self, init, num_steps=num_steps, beta=beta, threshold=threshold)
        for layer in self.trunk.layers:
            layer_norm = self.norms[layer.name]
            if isinstance(layer_norm, ThresholdDependentBatchNorm2d):
                layer_norm.threshold = threshold
                layer_norm.branches = 2 if layer.is_summand else 1
        self.num_steps = num_steps
        self.neuron = neuron
        self.readout = LeakyReadout(beta)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W) or sequences (N, T, C, H, W)."""
        if x.dim() == 5 and x.shape[1] != self.num_steps:
            raise ValueError(
                f"sequences must be (N, T, C, H, W) with T = num_steps = {self.num_steps}, "
                f"got {tuple(x.shape)}"
            )
        x_TNCHW = x.transpose(0, 1) if x.dim() == 5 else x.unsqueeze(0)
        if self.neuron == "snntorch":
            return self._step_by_step(x_TNCHW)
        return left_uncompiled(self._at_once)(x_TNCHW)

    def _step_by_step(self, x_TNCHW: Tensor) -> Tensor:
        """All layers at one time step before the next step, as snnTorch's tutorials do."""
        for neuron in self.neurons.values():
            assert isinstance(neuron, snntorch.Leaky)
            neuron.reset_mem()
        each = range(self.num_steps)
        outputs = [self._at_one_step(x_TNCHW[t % len(x_TNCHW)], t) for t in each]
        logits_NK: Tensor = self.readout(torch.stack(outputs))
        return logits_NK

    def _at_once(self, x_TNCHW: Tensor) -> Tensor:
        """Each layer over a stretch of time steps before the next layer."""
        check_transforms()
        layer, states = self.trunk.layers[0], {name: State() for name in self.neurons}
        constant = None
        if len(x_TNCHW) == 1 and not isinstance(
            self.convolutions[layer.name], ConvolutionOfEachStep
        ):
            # The currents of the first convolution are constant too, so one step is enough.
            constant = self._currents(layer, x_TNCHW, slice(0, 1))
        outputs = []
        for steps in self._stretches(x_TNCHW):
            currents_TNCHW = constant
            if currents_TNCHW is None:
                of_stretch = x_TNCHW if len(x_TNCHW) == 1 else x_TNCHW[steps]
                currents_TNCHW = self._currents(layer, of_stretch, steps)
            outputs.append(self._stretch(currents_TNCHW, steps, states))
        logits_NK: Tensor = self.readout(torch.cat(outputs))
        return logits_NK

    def _stretches(self, x_TNCHW: Tensor) -> list[slice]:
        """The time steps, divided into stretches of about equal length."""
        name = self.trunk.layers[0].name
        norm = self.norms[name]
        # A user's own norm always gets whole sequences.
        in_parts = not normalizes_currents(norm) or _folds(norm)
        on_membrane = getattr(self.neurons[name], "on_membrane", None)
        if not in_parts or getattr(norm, "whole_sequence", False) or on_membrane is not None:
            return stretches(self.num_steps, 1)
        images, _, height, width = x_TNCHW.shape[1:]
        values = self.num_steps * images * self.trunk.layers[0].channels * height * width
        number = -(-values // (_VALUES_AT_ONCE_GPU if x_TNCHW.is_cuda else _VALUES_AT_ONCE))
        return stretches(self.num_steps, min(number, self.num_steps))

    def _stretch(self, x_TNCHW: Tensor, steps: slice, states: dict[str, State]) -> Tensor:
        """The classifier's output (T, N, K) at some time steps, after the first convolution."""
        early = steps.stop <= self.num_steps - _STEPS_KEPT
        outputs = Outputs(self.trunk)
        for layer in self.trunk.layers:
            less_kept: AbstractContextManager[Any] = nullcontext()
            if layer.source is not None:
                spikes_TNCHW = outputs.take((layer.source, "spikes"))
                packed = PackedSpikes(
                    spikes_TNCHW, levels=4 if layer.source in self.trunk.pooled else 1
                )
                with packed.as_bytes():
                    x_TNCHW = self._currents(layer, spikes_TNCHW, steps)
                del spikes_TNCHW  # to free its memory
                if early and layer.cheap and packed.kept:
                    less_kept = recomputed(x_TNCHW, partial(self._again, layer, packed, steps))
            with less_kept:
                x_TNCHW = self._fire(layer, x_TNCHW, steps, states, outputs)
        features_TNF = self._features(x_TNCHW)
        if self.hidden is not None:
            features_TNF = self.neurons["hidden"](self.hidden(features_TNF), state=states["hidden"])
        outputs_TNK: Tensor = self.classifier(features_TNF)
        return outputs_TNK

    def _currents(self, layer: Layer, x_TNCHW: Tensor, steps: slice, again: bool = False) -> Tensor:
        """The output of a layer's convolution at these time steps."""
        convolution = self.convolutions[layer.name]
        if isinstance(convolution, ConvolutionOfEachStep):
            of_steps: Tensor = convolution(x_TNCHW, steps)
            return of_steps
        if layer.source is not None:
            y_NCHW = self._convolved(layer, x_TNCHW.flatten(0, 1), again)
        else:
            ordered = x_TNCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            y_NCHW = self._convolved(layer, ordered).contiguous(memory_format=torch.channels_last)
        y_TNCHW: Tensor = y_NCHW.unflatten(0, x_TNCHW.shape[:2])
        return y_TNCHW

    def _again(self, layer: Layer, packed: PackedSpikes, steps: slice) -> Tensor:
        """Recompute the output of the convolution from these spikes."""
        return self._currents(layer, packed.again(), steps, again=True)

    def _fire(
        self,
        layer: Layer,
        x_TNCHW: Tensor,
        steps: slice,
        states: dict[str, State],
        outputs: Outputs,
    ) -> Tensor:
        """Normalize, add shortcuts, fire, and pool if a pool follows."""
        norm, standardization = self.norms[layer.name], None
        num_steps = steps.stop - steps.start
        if normalizes_currents(norm):
            if _folds(norm):
                standardization = norm.standardization(x_TNCHW, steps)
            else:
                x_TNCHW = norm(x_TNCHW.expand(num_steps, -1, -1, -1, -1))
        if standardization is not None and self.trunk.takes_currents(layer):
            x_TNCHW = standardized(x_TNCHW.expand(num_steps, -1, -1, -1, -1), standardization)
            standardization = None
        x_TNCHW = outputs.added(layer, "currents", x_TNCHW)
        outputs.put(layer, "currents", x_TNCHW)
        if not layer.fires:
            return x_TNCHW
        spikes_TNCHW: Tensor = self.neurons[layer.name](
            x_TNCHW, standardization, num_steps=num_steps, pool=layer.pool, state=states[layer.name]
        )
        spikes_TNCHW = outputs.added(layer, "spikes", spikes_TNCHW)
        outputs.put(layer, "spikes", spikes_TNCHW)
        return spikes_TNCHW


def _leaky(
    beta: float,
    threshold: float,
    slope: float | None,
    reset: str,
    surrogate: str,
    on_membrane: nn.Module | None,
) -> nn.Module:
    """SnnTorch's own neurons."""
    if on_membrane is not None:
        raise ValueError("neuron snntorch takes no norm on the membrane; set neuron to lif")
    for key, got, known in (("reset", reset, "subtract"), ("surrogate", surrogate, "fast_sigmoid")):
        if got != known:
            raise ValueError(f"{key} of neuron snntorch must be {known}, got {got!r}")
    # In double precision, so that a float64 network does not compute with float32's 0.9.
    decay, level = (torch.tensor(c, dtype=torch.float64) for c in (beta, threshold))
    gradient = snntorch.surrogate.fast_sigmoid(SURROGATES[surrogate] if slope is None else slope)
    leaky: nn.Module = snntorch.Leaky(decay, level, gradient, init_hidden=True)
    return leaky


def _folds(norm: nn.Module) -> TypeGuard[Standardizes]:
    """Whether the neurons can apply the norm; not if a subclass overrides how it normalizes."""
    owners = type(norm).__mro__
    forward, standardization = (
        next((owner for owner in owners if name in vars(owner)), None)
        for name in ("forward", "standardization")
    )
    return standardization is not None and issubclass(standardization, forward or object)
