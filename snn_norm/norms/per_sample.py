"""Normalization of each image at each time step by its own statistics, for both architectures.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def groups_of(num_features: int) -> int:
    """The number of groups: the largest, up to 32, with equal groups of four or more channels.

    That is 4 groups for 16 channels, 16 for 64, and the paper's 32 for 128 and more. If no other
    number fits, it is one group.
    """
    return max(
        g for g in range(1, 33) if g == 1 or (num_features % g == 0 and num_features >= 4 * g)
    )


class GroupNorm2d(nn.GroupNorm):
    r"""``torch.nn.GroupNorm`` of each image, at each time step if there are any.

    .. math:: y = w \, \frac{x - m}{\sqrt{s^2 + \epsilon}} + b

    The statistics are taken over (C/G, H, W), with the G groups of :func:`groups_of`. The layer
    learns a weight and a bias, (C,), the same at all steps. Evaluation uses the statistics of the
    image just as training does, so the layer cannot be folded. It stands before the neuron.

    After Wu and He, "Group Normalization", ECCV 2018 (https://arxiv.org/abs/1803.08494).

    Args:
        num_features: C, the number of channels.
        num_steps: T of a spiking network; None for an artificial one.
        eps: added to the variance.
        affine: whether to learn a weight and a bias for each channel.
        device: the device of the parameters.
        dtype: of the parameters.

    Shape:
        (N, C, H, W), with or without ``t``, or (T, N, C, H, W); the output has the same shape.
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
        """Normalize images, ``x_NCHW``, of any time step, or sequences, ``x_TNCHW``.

        Raises:
            ValueError: the shape is wrong.
        """
        dims = (4, 5) if t is None else (4,)
        if x.dim() not in dims or x.shape[-3] != self.num_features:
            raise ValueError(
                "input must be (N, C, H, W), or without t (T, N, C, H, W), with "
                f"C = {self.num_features}, got {tuple(x.shape)}"
            )
        return super().forward(x.flatten(0, -4)).view(x.shape)


class LayerNorm2d(GroupNorm2d):
    r"""Layer normalization of each image, at each time step if there are any: one group.

    The statistics are taken over (C, H, W). The layer learns a weight and a bias of shape (C,), not
    (C, H, W) as in ``torch.nn.LayerNorm``, so that it does not depend on the size of images. It is
    a :class:`GroupNorm2d` in all other respects.

    After Ba et al., "Layer Normalization" (https://arxiv.org/abs/1607.06450).
    """

    @staticmethod
    def _groups(num_features: int) -> int:  # noqa: ARG004
        return 1
