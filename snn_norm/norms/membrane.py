"""Normalization of the membrane, between its update and the threshold, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``v_TNCHW`` names them in order.
"""

from __future__ import annotations

from torch import Tensor

from snn_norm.norms.temporal import TemporalNorm2d


class MembranePotentialBatchNorm2d(TemporalNorm2d):
    r"""Batch normalization of the membrane before it is compared with the threshold (MPBN).

    .. math:: \tilde v_t = w \, \frac{v_t - m_t}{\sqrt{s_t^2 + \epsilon}} + b

    This is a ``torch.nn.BatchNorm2d`` that is called at each time step. Its statistics are taken
    over (N, H, W) of the step, it learns a weight and a bias, (C,), and every step updates the same
    running statistics. Evaluation is one affine map, which folds into the threshold: if w is
    positive, :math:`\tilde v_t` exceeds :math:`\theta` where v exceeds
    :math:`(\theta - b) \sqrt{\sigma^2 + \epsilon} / w + \mu`; if w is negative, where v is below.

    Training normalizes each step by its own statistics, but evaluation normalizes all steps by the
    same ones. If the membranes of the steps differ much, train and test accuracy therefore lie far
    apart (docs/evidence-norms.md). The paper adds this norm to a batch normalization after each
    convolution, which is the norm ``batchnorm-mpbn`` of this project; in ``mpbn`` it is the only
    norm, like every norm that is compared. The authors' neuron (two time steps, a decay of 0.25 and
    a reset to zero) is in the packaged spec ``norms-published``.

    After Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks", ICCV
    2023 (https://arxiv.org/abs/2308.08359). The authors carry the raw membrane over to the next
    step; SpikingJelly carries the normalized one, and its norm then cannot be folded.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, with eps 1e-5; x is the membrane,
    (N, C, H, W) with its ``t``, or the membranes of all steps.
    """

    place = "membrane"
    each_step = False

    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        moving = self._moving(steps)
        for mean_C, var_C in zip(mean, var, strict=True):
            moving.follow(mean_C, var_C, values)
        return self._affine(steps)
