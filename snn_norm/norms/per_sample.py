"""Normalization of each image at each time step by itself, for both kinds of networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def groups_of(num_features: int) -> int:
    """Groups of so many channels: the most up to 32 that are equal and have four channels or more.

    Four groups of 16 channels, 16 of 64, 32 of 128 and more, which are the paper's 32; one group
    where no other number fits.
    """
    return max(
        g for g in range(1, 33) if g == 1 or (num_features % g == 0 and num_features >= 4 * g)
    )


class GroupNorm2d(nn.GroupNorm):
    r"""``torch.nn.GroupNorm`` of an image, at each time step if there are any.

    .. math:: y = w \, \frac{x - m}{\sqrt{s^2 + \epsilon}} + b

    Statistics over (C/G, H, W), of the G groups of :func:`groups_of`; learned are a weight and a
    bias, (C,), the same at all steps; evaluation does what training does, with the statistics of
    the image, so nothing folds. Before the neuron.

    After Wu and He, "Group Normalization", ECCV 2018 (https://arxiv.org/abs/1803.08494).

    Args:
        num_features: C, the number of channels.
        num_steps: T of a spiking network, None of an artificial one.
        eps: added to the variance.
        affine: learn a weight and a bias a channel.
        device: where the parameters lie.
        dtype: of the parameters.

    Shape:
        (N, C, H, W), with or without ``t``, or (T, N, C, H, W); output the same.
    """

    def __init__(
        self,
        num_features: int,
        num_steps: int | None = None,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        groups = self._groups(num_features)
        super().__init__(groups, num_features, eps, affine, device=device, dtype=dtype)
        self.num_features = num_features
        self.num_steps = num_steps

    @staticmethod
    def _groups(num_features: int) -> int:
        return groups_of(num_features)

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        """Normalize images, ``x_NCHW``, of whichever time step, or sequences, ``x_TNCHW``.

        Raises:
            ValueError: another shape.
        """
        dims = (4, 5) if t is None else (4,)
        if x.dim() not in dims or x.shape[-3] != self.num_features:
            raise ValueError(
                "input must be (N, C, H, W), or without t (T, N, C, H, W), with "
                f"C = {self.num_features}, got {tuple(x.shape)}"
            )
        return super().forward(x.flatten(0, -4)).view(x.shape)


class LayerNorm2d(GroupNorm2d):
    r"""Layer normalization of an image, at each time step if there are any: one group.

    Statistics over (C, H, W); learned are a weight and a bias, (C,), and not (C, H, W) as in
    ``torch.nn.LayerNorm``, so that the layer does not depend on the size of images. All else as
    :class:`GroupNorm2d`.

    After Ba et al., "Layer Normalization" (https://arxiv.org/abs/1607.06450).
    """

    @staticmethod
    def _groups(num_features: int) -> int:  # noqa: ARG004
        return 1
