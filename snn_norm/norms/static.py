"""The homeostatic normalization layer of an artificial network.

Shapes: N images, C channels, T time steps, L length, H height, W width; ``x_TNCHW`` names them in
order. Statistics are taken over all dimensions but the channel.

The homeostatic layers differ from the published ones in three ways, which ``docs/theory.md``
derives: the gradient sees the batch statistics (Batch Renormalization's gradient,
https://arxiv.org/abs/1702.03275, without its clipping), the moving variance is that of the mixture
of all batches seen, and the first batches get their full weight, so that no statistic starts from a
guess.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.fx
from torch import Tensor, nn

from snn_norm.norms.base import StandsInForBatchNorm
from snn_norm.norms.batch_statistics import (
    Moving,
    affine_map,
    check_enough_values,
    check_momentum,
    set_points,
    standardize,
    statistics,
)
from snn_norm.norms.recomputation import Passes


class HomeostaticNorm(StandsInForBatchNorm):
    r"""Normalize each channel by its moving statistics, in training as in evaluation.

    .. math::
        \mu \leftarrow \mu + \alpha (m - \mu), \qquad
        \sigma^2 \leftarrow (1 - \alpha) \sigma^2 + \alpha s^2 + \alpha (1 - \alpha) (m - \mu)^2,
        \qquad y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \, w + b

    with the batch's mean :math:`m` and biased variance :math:`s^2`, and
    :math:`\alpha = \max(\text{momentum}, 1/n)` on the n-th batch. The gradient is that of batch
    normalization, scaled to the moving deviation: both statistics are set-points, which a change of
    ``x`` must not be able to evade. In evaluation, with momentum 1, and on the first batch, output
    and gradient equal those of ``torch.nn.BatchNorm1d`` and ``BatchNorm2d``, and the layer's
    ``state_dict`` is interchangeable with theirs.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the moving statistics, 0 to 1; None for the
            cumulative average over all batches, which is also the result of 0. Default: 0.1
        affine: whether to learn a weight (the set-point of the deviation) and a bias (that of the
            mean) for each channel.
        device: the device of the parameters and statistics.
        dtype: of the parameters and statistics.

    Attributes:
        synchronized: whether statistics are taken over all processes that share a batch, if there
            are several; :func:`snn_norm.norms.synchronize` sets it.
        process_group: these processes; None for all.

    Shape:
        Input (N, C), (N, C, L) or (N, C, H, W). In training there must be more than one value for
        each channel, counted over all processes if synchronized. The output has the same shape.

    Raises:
        ValueError: the momentum is outside 0 to 1, the shape is wrong, or there is only one value
            for each channel in training.

    Example:
        >>> norm = HomeostaticNorm(64)
        >>> norm(torch.randn(8, 64, 16, 16)).shape
        torch.Size([8, 64, 16, 16])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_momentum(momentum)
        super().__init__(num_features, eps, momentum, affine, True, device=device, dtype=dtype)
        self.synchronized = False
        self.process_group: dist.ProcessGroup | None = None
        self._passes = Passes()

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C), (N, C, L) or (N, C, H, W); in training, update the statistics."""
        _check_input(x, self.num_features)
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        affine: tuple[Tensor | None, Tensor | None] = (self.weight, self.bias)
        group = None
        if self.training:
            group = self._processes()
            check_enough_values(x, 1 if group is None else dist.get_world_size(group))
            moving = Moving(mean, var, count, self.momentum)
            mean, var = statistics(x, mean.dtype, group)
            affine = set_points(mean, var, moving, *affine, self.eps, self._passes)
        return standardize(x, mean, var, *affine, self.eps, of_batch=self.training, group=group)

    def _processes(self) -> dist.ProcessGroup | None:
        """The processes that share a batch; None if this one has it alone."""
        # The group is looked up at each call, since a module that holds it cannot be copied or
        # saved.
        here = self.synchronized and dist.is_available() and dist.is_initialized()
        return (self.process_group or dist.group.WORLD) if here else None

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """The scale and offset that evaluation applies, (C,)."""
        return affine_map(self.running_mean, self.running_var, self.weight, self.bias, self.eps)


def synchronize(model: nn.Module, process_group: dist.ProcessGroup | None = None) -> nn.Module:
    """Make the batch normalizations of a network take their statistics over all processes.

    This extends ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``: torch's own layers become
    ``SyncBatchNorm`` here too, and each :class:`snn_norm.HomeostaticNorm` is kept and becomes
    ``synchronized``. If it is used without ``torch.distributed`` later, it trains as one process.

    Args:
        model: the network, changed in place.
        process_group: the processes; default: all. As with ``SyncBatchNorm``, a network that holds
            a group of its own cannot be copied or saved as a whole; only its ``state_dict`` can.

    Returns:
        The network, or the layer that has replaced it.

    Raises:
        ValueError: the network has a norm for spiking networks, whose statistics can only be taken
            in each process by itself, or torch.distributed has not been initialized.
    """
    if not dist.is_initialized():
        raise ValueError("there are no processes yet; call torch.distributed.init_process_group")
    if isinstance(model, HomeostaticNorm):
        model.synchronized = True
        model.process_group = process_group
    elif isinstance(model, StandsInForBatchNorm):
        raise ValueError(
            f"a {type(model).__name__} cannot take its statistics over processes; leave it as it "
            "is: each process then keeps its own"
        )
    elif not list(model.children()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model, process_group)
        return converted
    for name, child in model.named_children():
        setattr(model, name, synchronize(child, process_group))
    return model


@torch.fx.wrap  # makes evaluation traceable
def _check_input(x: Tensor, num_features: int) -> None:
    if x.dim() not in (2, 3, 4) or x.shape[1] != num_features:
        raise ValueError(
            f"input must be (N, C), (N, C, L) or (N, C, H, W) with C = {num_features}, "
            f"got {tuple(x.shape)}"
        )
