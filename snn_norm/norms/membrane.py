"""Normalization of the membrane, between its update and the threshold, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``v_TNCHW`` names them in order.
"""

from __future__ import annotations

from torch import Tensor

from snn_norm.norms.temporal import TemporalNorm2d


class MembranePotentialBatchNorm2d(TemporalNorm2d):
    r"""Batch normalization of the membrane before it is compared with the threshold (MPBN).

    .. math:: \tilde v_t = w \, \frac{v_t - m_t}{\sqrt{s_t^2 + \epsilon}} + b

    A ``torch.nn.BatchNorm2d`` that is called at each time step: statistics over (N, H, W) of the
    step; learned are a weight and a bias, (C,); every step moves the same running statistics, one
    affine map in evaluation, which folds into the threshold. For w above 0, :math:`\tilde v_t`
    passes :math:`\theta` where v passes :math:`(\theta - b) \sqrt{\sigma^2 + \epsilon} / w + \mu`;
    below 0, where v falls below it.

    Steps whose membranes differ much are normalized each by its own statistics in training and all
    by the same ones in evaluation: train and test accuracy then lie far apart (docs/evidence.md).
    The paper adds this norm to a batch normalization after each convolution, and has two time steps
    and a hard reset; in this project's networks it stands alone, as every norm that is compared.

    After Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks", ICCV
    2023 (https://arxiv.org/abs/2308.08359). The authors carry the raw membrane on to the next step,
    SpikingJelly the normalized one, which then does not fold.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, with eps 1e-5; x is the membrane,
    (N, C, H, W) with its ``t``, or those of all steps.
    """

    place = "membrane"
    default_eps = 1e-5
    each_step = False

    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        moving = self._moving(steps)
        for mean_C, var_C in zip(mean, var, strict=True):
            moving.follow(mean_C, var_C, values)
        return self._affine(steps)
