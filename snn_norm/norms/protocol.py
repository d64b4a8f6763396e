"""What the networks ask of a norm's layer, by its place; the layers need not inherit from these.

A spiking network's layer is made by ``layer(num_features, num_steps)``, an artificial one's by
``layer(num_features)``, both with keywords ``eps``, ``momentum`` (where statistics move),
``affine``, ``device`` and ``dtype``. The attribute ``place`` says which of these it is, "currents"
where there is none. Shapes: N images, C channels, T time steps, H height, W width;
O and I output and input channels of a convolution.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.batch_statistics import affine_map


class OnCurrents(Protocol):
    """Normalizes what flows into the neurons."""

    whole_sequence: bool
    """Whether training needs all time steps at once, and a single step in training is an error."""

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        """Normalize one time step, ``x_NCHW`` with ``t``, or a sequence, ``x_TNCHW``."""


@runtime_checkable
class Standardizes(Protocol):
    """Normalizes currents by a map that neurons can apply themselves."""

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        """That map, of the time steps ``steps``; in training, learn from them."""


class OnMembrane(Standardizes, Protocol):
    """Normalizes the membrane between its update and the threshold, by a map as on currents."""

    def forward(self, v_NCHW: Tensor, t: int) -> Tensor:
        """The membrane that is compared with the threshold."""


@runtime_checkable
class OnWeights(Protocol):
    """Normalizes the weights of the convolution."""

    def standardize(self, weight_OIHW: Tensor) -> Tensor:
        """The weights to convolve with."""


def evaluation_map(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """The scale and offset that a norm applies in evaluation: y = x · scale + offset.

    Returns:
        (C,) each, or (T, C) where time steps differ; None of a norm that is no fixed map then, or
        that acts on weights.
    """
    own = getattr(norm, "affine_map", None)
    if own is not None:
        scale, offset = own()
        return scale, offset
    if isinstance(norm, _BatchNorm) and norm.running_mean is not None:
        assert norm.running_var is not None
        return affine_map(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)
    return None
