"""The interface of a norm's layer in each place; layers need not inherit from these classes.

A spiking network's layer is made by ``layer(num_features, num_steps)``, an artificial one's by
``layer(num_features)``, both with the keywords ``eps``, ``momentum`` (if it has moving statistics),
``affine``, ``device`` and ``dtype``. Its attribute ``place`` names its interface:

currents, also without that attribute
    ``forward(x, t=None)`` normalizes the input currents of the neurons: one time step, ``x_NCHW``
    with ``t``, or a sequence, ``x_TNCHW``. With ``whole_sequence = True``, training needs all time
    steps at once. Neurons apply the map of a norm that :class:`Standardizes` themselves.
membrane
    It :class:`Standardizes` the membrane between its update and the threshold.
weights
    :class:`OnWeights`.

Shapes: N images, C channels, T time steps, H height, W width; O and I output and input channels of
a convolution.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.batch_statistics import affine_map


@runtime_checkable
class Standardizes(Protocol):
    """Normalizes currents or membranes by a map that neurons can apply themselves."""

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        """The map of the time steps ``steps``; in training, this updates the statistics."""


@runtime_checkable
class OnWeights(Protocol):
    """Normalizes the weights of the convolution."""

    def standardize(self, weight_OIHW: Tensor) -> Tensor:
        """The normalized weights, for the convolution to use."""


def evaluation_map(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """The scale and offset that a norm applies in evaluation: y = x · scale + offset.

    Returns:
        Each is (C,), or (T, C) if the time steps differ. None if the norm is not a fixed map in
        evaluation, or acts on weights.
    """
    own = getattr(norm, "affine_map", None)
    if own is not None:
        scale, offset = own()
        return scale, offset
    if isinstance(norm, _BatchNorm) and norm.running_mean is not None:
        assert norm.running_var is not None
        return affine_map(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)
    return None
