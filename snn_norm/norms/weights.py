"""Standardization of the weights of a convolution, instead of a norm after it.

Shapes: O output channels, I input channels, H height and W width of a kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_GAIN_RELU = 1.7139
"""The factor that makes the variance of a rectified normal variable 1: √2 / √(1 - 1/π)."""

_GAIN_LIF = 2.8467
"""IS-SNN's factor for leaky integrate-and-fire neurons with τ = 2 and threshold 1."""


class ScaledWeightStandardization(nn.Module):
    r"""Weights of mean 0 and variance 1/N in each output channel, times a learned gain.

    .. math:: \hat W_o = g_o \, \frac{W_o - m_o}{\sqrt{N s_o^2 + \epsilon}}

    The statistics are those of the N = I·H·W weights of each output channel, over (I, H, W), and of
    no activations. The layer learns a gain, (O,). Evaluation does what training does, so the
    standardized weights can replace the weights for good. The gain is initialized to 1.7139 in an
    artificial network, with its rectified linear units, and to 2.8467 in a spiking one, which keeps
    the variance the same from layer to layer.

    After Brock et al., "Characterizing signal propagation to close the performance gap in
    unnormalized ResNets", ICLR 2021 (https://arxiv.org/abs/2101.08692); for spiking networks Xiao
    et al., "Online Training Through Time for Spiking Neural Networks", NeurIPS 2022
    (https://arxiv.org/abs/2210.04195), and IS-SNN (https://arxiv.org/abs/2606.31695), the source of
    the gain. Programs in PyTorch use the unbiased variance, which is a factor of √((N - 1)/N) in
    the weights.

    Args:
        num_features: O, the number of output channels.
        num_steps: T of a spiking network; None for an artificial one.
        eps: added to N times the variance.
        affine: whether to learn the gain; otherwise it keeps its initial value.
        device: the device of the gain.
        dtype: of the gain.

    Shape:
        Weights (O, I, H, W); the output has the same shape. Since ``forward`` is
        :meth:`standardize`, the layer can be a ``torch.nn.utils.parametrize`` parametrization.
    """

    place = "weights"

    def __init__(
        self,
        num_features: int,
        num_steps: int | None = None,
        eps: float = 1e-4,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_steps = num_steps
        self.eps = eps
        self.affine = affine
        self.gain = nn.Parameter(
            torch.empty(num_features, device=device, dtype=dtype), requires_grad=affine
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gain to its initial value."""
        nn.init.constant_(self.gain, _GAIN_RELU if self.num_steps is None else _GAIN_LIF)

    def extra_repr(self) -> str:
        """The arguments of the layer, for its ``repr``."""
        return f"{self.num_features}, {self.num_steps}, eps={self.eps}, affine={self.affine}"

    def standardize(self, weight_OIHW: Tensor) -> Tensor:
        """Return the weights for the convolution.

        Raises:
            ValueError: the shape is wrong.
        """
        if weight_OIHW.dim() != 4 or len(weight_OIHW) != self.num_features:
            raise ValueError(
                f"weights must be (O, I, H, W) with O = {self.num_features}, "
                f"got {tuple(weight_OIHW.shape)}"
            )
        var, mean = torch.var_mean(weight_OIHW, (1, 2, 3), correction=0, keepdim=True)
        fan_in = weight_OIHW[0].numel()
        scale = (fan_in * var + self.eps).rsqrt() * self.gain[:, None, None, None]
        return (weight_OIHW - mean) * scale

    def forward(self, weight_OIHW: Tensor) -> Tensor:
        """The same as :meth:`standardize`."""
        return self.standardize(weight_OIHW)
