"""Normalization layers whose statistics are shared by all time steps, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
Statistics are taken over (T, N, H, W), so training needs whole sequences.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_norm.norms.base import HomeostaticLearning, StandardizingNorm2d
from snn_norm.norms.batch_statistics import check_enough_values, standardize, statistics


class SharedNorm2d(StandardizingNorm2d):
    """A normalization by the statistics of all time steps together."""

    whole_sequence = True

    def _statistics(self, x_TNCHW: Tensor, num_steps: int) -> tuple[Tensor, Tensor, int]:
        flat = x_TNCHW.flatten(0, 1)
        check_enough_values(flat)
        mean, var = statistics(flat, self.running_mean.dtype)
        return mean, var, x_TNCHW[0].numel() * num_steps // self.num_features

    def _normalize(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        mean, var, scale, offset = self._maps(x_TNCHW, steps)
        per_step = scale is not None and scale.dim() == 2
        flat, of_all = x_TNCHW.flatten(0, 1), (None, None) if per_step else (scale, offset)
        y = standardize(flat, mean, var, *of_all, self.eps, of_batch=self.training)
        y_TNCHW = y.view(x_TNCHW.shape)
        if not per_step:
            return y_TNCHW
        assert scale is not None
        y_TNCHW = y_TNCHW * scale.to(y.dtype)[:, None, :, None, None]
        return y_TNCHW if offset is None else y_TNCHW + offset.to(y.dtype)[:, None, :, None, None]


class SequenceBatchNorm2d(SharedNorm2d):
    r"""Batch normalization with one set of statistics for all time steps (``batchnorm``).

    .. math:: y_t = w \, \frac{x_t - m}{\sqrt{s^2 + \epsilon}} + b

    This is a ``torch.nn.BatchNorm2d`` of (T·N, C, H, W), the norm of most programs that do not
    describe theirs. Its statistics are taken over (T, N, H, W), and it learns a weight and a bias,
    (C,). Evaluation uses the moving statistics, one affine map, which folds into the weights of the
    layer before. It stands before the neuron.

    Programs that apply a ``BatchNorm2d`` step by step (snnTorch's examples, SpikingJelly's ``'s'``
    step mode) use another norm: there a batch is normalized by each step's own statistics, and all
    steps update the same running ones.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`.
    """


class ThresholdDependentBatchNorm2d(SharedNorm2d):
    r"""Batch normalization over time, scaled to the threshold (tdBN).

    .. math:: y_t = w \, \alpha \theta \, \frac{x_t - m}{\sqrt{s^2 + \epsilon}} + b

    with the neuron's threshold :math:`\theta`, and :math:`\alpha = 1/\sqrt{n}` where the outputs of
    n branches are added before the neuron. The statistics are taken over (T, N, H, W). The layer
    learns a weight and a bias, (C,), initialized to 1 and 0. Evaluation uses the moving statistics,
    one affine map, which folds into the weights of the layer before. The layer stands between the
    convolution and the neuron.

    After Zheng et al., "Going Deeper With Directly-Trained Larger Spiking Neural Networks", AAAI
    2021 (https://arxiv.org/abs/2011.05280), whose formula has :math:`\alpha \theta` as a factor
    beside the weight, as does MPBN's program. SpikingJelly and BrainCog make it the weight's
    initial value instead: the function is the same at first, but Adam's steps have another relative
    size. With threshold 1 and one branch, this is :class:`SequenceBatchNorm2d`.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, and

    Args:
        threshold: threshold of the neurons that follow.
        branches: n, the number of outputs that are added before them.
    """

    def __init__(
        self, *args: Any, threshold: float = 1.0, branches: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not threshold > 0 or branches < 1:
            raise ValueError(
                "threshold must be above 0 and branches at least 1, "
                f"got threshold {threshold} and branches {branches}"
            )
        self.threshold = threshold
        self.branches = branches

    def extra_repr(self) -> str:
        """The arguments of the layer, for its ``repr``."""
        return f"{super().extra_repr()}, threshold={self.threshold}, branches={self.branches}"

    def _affine(self, steps: slice) -> tuple[Tensor | None, Tensor | None]:
        weight, bias = super()._affine(steps)
        weight = torch.ones_like(self.running_mean) if weight is None else weight
        return weight * (self.threshold / self.branches**0.5), bias


class TemporalEffectiveBatchNorm2d(SharedNorm2d):
    r"""Batch normalization over time, with a learned factor for each step (TEBN).

    .. math:: y_t = p_t \left( w \, \frac{x_t - m}{\sqrt{s^2 + \epsilon}} + b \right)

    The statistics are taken over (T, N, H, W). The layer learns a weight and a bias, (C,), and p,
    (T,), initialized to 1, 0 and 1. Evaluation uses the moving statistics, an affine map for each
    step. The layer stands before the neuron.

    After Duan et al., "Temporal Effective Batch Normalization in Spiking Neural Networks", NeurIPS
    2022. SpikingJelly's layer, where p is called ``scale``, computes the same numbers. The authors'
    ResNet has factors for 4 steps, whatever T is.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`; without ``affine``, p is not learned
    either.
    """

    factor_power = 1


class SharedHomeostaticNorm2d(HomeostaticLearning, SharedNorm2d):
    r"""A :class:`snn_norm.HomeostaticNorm` with statistics shared by all time steps.

    Formula and gradient are those of that layer, for (T·N, C, H, W). The statistics are taken over
    (T, N, H, W), so the moving variance includes the variation between the steps. The layer learns
    a weight and a bias, (C,). Training and evaluation both normalize by the moving statistics; in
    evaluation that is one affine map, which folds into the weights of the layer before. The layer
    stands before the neuron. On the first batch, with momentum 1, and in evaluation with the same
    statistics it equals :class:`SequenceBatchNorm2d`.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, with eps 1e-4 as
    :class:`snn_norm.TemporalHomeostaticNorm2d`.
    """

    default_eps = 1e-4
