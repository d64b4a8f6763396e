"""Folds the norms of a trained network into its weights and thresholds.

Shapes: T time steps, C channels; O and I output and input channels of a convolution.
"""

from __future__ import annotations

import copy
import logging
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from snn_norm.networks.layers import ConvolutionOfEachStep
from snn_norm.networks.trunk import TrunkNetwork, normalizes_currents, place_of
from snn_norm.neurons.layers import LIF
from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.protocol import OnWeights, evaluation_map

_Network = TypeVar("_Network", bound=TrunkNetwork)

_LOG = logging.getLogger(__name__)


@torch.no_grad()
def fold(model: _Network) -> _Network:
    """Return a copy without norms that computes what the network computes in evaluation.

    A norm that is a fixed scale and offset is folded into the weights and the bias of the
    convolution before it, standardized weights replace the weights that they are computed from, and
    a norm on the membrane is folded into a threshold for each channel. If the time steps have
    separate maps (``bntt``, ``tebn``, ``tab``, ``homeostatic``), each step gets its own
    convolution: T times the weights, which is logged. A folded network is copied as it is.

    Weights that ``torch.nn.utils.parametrize`` computes, such as those of
    ``parametrizations.weight_norm``, become plain weights with the computed values.

    Args:
        model: an ``ANNCNN`` or ``SNNCNN``.

    Returns:
        The folded network, in evaluation mode. Up to rounding, it has the spikes and the logits of
        the given one.

    Raises:
        ValueError: a norm cannot be folded, since it normalizes by the statistics of the input in
            evaluation too, or is a user's own without ``affine_map()``; the neurons are snnTorch's;
            a hook recomputes weights before each call, as pruning does; or a convolution is not
            PyTorch's own layer.
    """
    if not isinstance(model, TrunkNetwork):
        raise ValueError(f"only an ANNCNN or SNNCNN can be folded, got a {type(model).__name__}")
    if getattr(model, "neuron", None) == "snntorch":
        raise ValueError("neuron snntorch cannot be folded; load its state_dict into one of lif")
    _refuse_hooked_weights(model)
    folded = copy.deepcopy(model).eval()
    _make_plain(folded)
    steps = 1
    for layer in folded.trunk.layers:
        convolution, norm = folded.convolutions[layer.name], folded.norms[layer.name]
        if isinstance(convolution, ConvolutionOfEachStep):
            continue  # it has been folded already
        if getattr(type(convolution), "forward", None) is not nn.Conv2d.forward:
            raise ValueError(
                f"the convolution of {layer.name} must be a torch.nn.Conv2d to be folded, "
                f"got a {type(convolution).__name__}"
            )
        assert isinstance(convolution, nn.Conv2d)
        if place_of(norm) == "weights":
            assert isinstance(norm, OnWeights)
            convolution.weight.copy_(norm.standardize(convolution.weight))
        elif normalizes_currents(norm):
            scale, offset = _map_of(norm, layer.name)
            merged = _merged(convolution, scale, offset)
            folded.convolutions[layer.name] = merged
            steps = max(steps, len(scale) if scale.dim() == 2 else 1)
        folded.norms[layer.name] = nn.Identity()
        neuron = folded.neurons[layer.name] if layer.fires else None
        on_membrane = neuron.on_membrane if isinstance(neuron, LIF) else None
        if on_membrane is not None and not isinstance(on_membrane, ThresholdOfEachChannel):
            assert isinstance(neuron, LIF)
            scale, offset = _map_of(on_membrane, layer.name)
            neuron.on_membrane = ThresholdOfEachChannel(neuron.threshold, scale, offset)
    if steps > 1:
        _LOG.warning("each time step has weights of its own: %d times those of the network", steps)
    return folded


def _refuse_hooked_weights(model: nn.Module) -> None:
    """Refuse weights that a hook computes from other parameters before each call.

    The values that such an attribute has between two calls may be out of date.
    """
    for name, module in model.named_modules():
        for tensor in ("weight", "bias"):
            if isinstance(vars(module).get(tensor), Tensor):  # neither a parameter nor a buffer
                raise ValueError(
                    f"{name}.{tensor} is computed by a hook before each call, so it cannot be "
                    "folded: make it a parameter again first, with the function of "
                    "torch.nn.utils that removes the hook and keeps the weights (prune.remove, "
                    "remove_weight_norm or remove_spectral_norm)"
                )


def _make_plain(model: nn.Module) -> None:
    """Replace parametrized tensors by the values that they have in evaluation."""
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        computed = {name: getattr(module, name) for name in module.parametrizations}  # type: ignore[union-attr]
        # torch's remove_parametrizations would change the class, which the given network shares.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        for name, value in computed.items():
            module.register_parameter(name, nn.Parameter(value.clone()))


class ThresholdOfEachChannel(nn.Module):
    """A threshold for each channel, with the norm on the neuron's membrane folded into it.

    A neuron fires if its membrane is above ``threshold``, or below it where ``sign`` is -1, which
    is the case for a negative weight of the norm. The reset still subtracts the neuron's own
    threshold.

    Args:
        threshold: θ of the neuron.
        scale, offset: the norm's map, (C,): a neuron fires if scale · v + offset exceeds θ.
    """

    threshold: Tensor
    sign: Tensor

    def __init__(self, threshold: float, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        sign = torch.where(scale < 0, -1.0, 1.0).to(scale.dtype)
        # With a scale of 0 the threshold is infinite: the channel always fires or never does.
        self.register_buffer("threshold", (threshold - offset) / scale.abs() * sign)
        self.register_buffer("sign", sign)
        self._level = threshold

    def standardization(self, v_TNCHW: Tensor, steps: slice) -> Standardization:
        """The map of the membrane under which the neuron's own threshold has the same effect."""
        del v_TNCHW
        shape = (steps.stop - steps.start, len(self.sign))
        mean, sign = self.threshold.expand(shape), self.sign.expand(shape)
        ones = torch.ones_like(sign)
        return Standardization(mean, sign, ones, ones * self._level, of_batch=False)


def _map_of(norm: nn.Module, layer: str) -> tuple[Tensor, Tensor]:
    found = evaluation_map(norm)
    if found is None:
        raise ValueError(
            f"the norm of {layer}, a {type(norm).__name__}, cannot be folded: in evaluation it "
            "is no fixed scale and offset of each channel (groupnorm and layernorm take the "
            "statistics of each input; a norm of your own needs affine_map())"
        )
    return found


def _merged(convolution: nn.Conv2d, scale: Tensor, offset: Tensor) -> nn.Module:
    """A convolution that includes the scale and offset, (C,) or (T, C), that follow it."""
    weight = convolution.weight * scale[..., None, None, None]
    bias = offset if convolution.bias is None else offset + convolution.bias * scale
    if scale.dim() == 2:
        return ConvolutionOfEachStep(convolution, weight, bias)
    convolution.weight.copy_(weight)
    convolution.bias = nn.Parameter(bias.clone())
    return convolution
