"""Statistics of a batch, moving statistics, and normalization by either.

Shapes: N images, C channels, T time steps; statistics are (C,), or (T, C) if each step has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from snn_norm.norms.recomputation import Passes, recomputing


def check_momentum(momentum: float | None) -> None:
    """Raise a ValueError if the momentum is outside 0 to 1."""
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, or None, got {momentum}")


def check_enough_values(x: Tensor, processes: int = 1) -> None:
    """Refuse a batch with one value for each channel, before it changes any statistic.

    Args:
        x: this process's part of the batch, (N, C, …).
        processes: the number of processes, each with a part of that size.
    """
    if x.numel() * processes <= x.shape[1]:
        raise ValueError(
            f"training needs more than one value a channel, got an input of {tuple(x.shape)}"
        )


class Moving(NamedTuple):
    """Moving statistics: mean and variance, (C,) or (T, C), and the number of batches, () or (T,).

    Each is updated in place. ``momentum`` is the weight of the newest batch; None gives all batches
    the same weight.

    A channel keeps its statistics if the batch's mean or variance is infinite or NaN, and a batch
    in which this holds for every channel is not counted.
    """

    mean: Tensor
    var: Tensor
    num_batches_tracked: Tensor
    momentum: float | None

    def newest_share(self) -> Tensor:
        """1/n for the next batch, the n-th, in a shape that broadcasts with the statistics."""
        return (self.num_batches_tracked + 1).to(self.mean.dtype).reciprocal().unsqueeze(-1)

    def update(self, mean: Tensor, var: Tensor) -> None:
        """Set the statistics to these new values where they are finite, and count the batch."""
        finite = var.isfinite()  # a mean that is not finite has no finite variance
        self.mean.copy_(torch.where(finite, mean, self.mean))
        self.var.copy_(torch.where(finite, var, self.var))
        self.num_batches_tracked.add_(finite.any(-1))

    def follow(self, batch_mean: Tensor, batch_var: Tensor, values: int | Tensor) -> None:
        """Update with a batch as ``torch.nn.BatchNorm2d`` does, except during recomputation.

        Args:
            batch_mean: mean of ``values`` values.
            batch_var: their biased variance.
            values: the number of values; (T, 1) if it differs between the steps.
        """
        if recomputing():
            return
        unbiased = (batch_var * (values / (values - 1))).to(self.var.dtype)
        self.update(*self.moved_towards(batch_mean, unbiased))

    def moved_towards(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """The statistics after an update towards these by the momentum."""
        share = self.newest_share()
        # Steps that are called one by one may have seen different numbers of batches.
        rate = share if self.momentum is None else torch.full_like(share, self.momentum)
        return self.mean.lerp(mean, rate), self.var.lerp(var, rate)


@torch.no_grad()
def statistics(
    x: Tensor, dtype: torch.dtype, group: dist.ProcessGroup | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel of (N, C, …).

    Args:
        x: this process's part of the batch.
        dtype: data type of the statistics.
        group: the processes that hold the batch; None if this one holds all of it.
    """
    x = x.detach().to(dtype)
    # The faster operation supports neither symbolic shapes nor torch.func's transforms.
    if x.is_meta or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
    else:
        mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
    if group is not None:
        values = mean.new_tensor([x.numel() // x.shape[1]])
        count, sums = _summed(group, values, values * mean)
        own, mean = mean, sums / count
        (squares,) = _summed(group, values * (var + (own - mean).square()))
        var = squares / count
    return mean, var


def _summed(group: dist.ProcessGroup, *parts: Tensor) -> tuple[Tensor, ...]:
    together = torch.cat(parts)
    dist.all_reduce(together, group=group)
    return torch.split(together, [len(part) for part in parts])


def for_gradient(values: Tensor) -> Tensor:
    """A copy of moving statistics for the gradient, since training may update them before."""
    # No copy while tracing: torch.jit.trace compares its recording, made with gradients, to a pass
    # without.
    copied = torch.is_grad_enabled() and not torch._C._get_tracing_state()
    return values.clone() if copied else values


def affine_map(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """The scale and offset that normalize x by these statistics."""
    scale = (var + eps).rsqrt()
    return composed(scale, -mean * scale, weight, bias)


def set_points(
    batch_mean: Tensor,
    batch_var: Tensor,
    moving: Moving,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    passes: Passes,
    key: object = None,
) -> tuple[Tensor, Tensor]:
    """Update the moving statistics, and return the scale and offset of x̂ that normalize by them.

    With x̂ = (x - m)/s, the homeostatic output (x - μ)/σ is x̂·r + d, where r = s/σ and
    d = (m - μ)/σ. Holding r and d constant gives the gradient (1/σ)·[g - mean(g) - x̂·mean(g·x̂)],
    so this is a batch normalization with r and d folded into its affine map.

    Args:
        passes: remembers r and d for a pass that is recomputed.
        key: identifies the statistics ``moving`` within the layer.
    """
    if recomputing():
        r, d = passes.recall(key, (batch_mean, batch_var))
    else:
        share = moving.newest_share()
        rate = share if moving.momentum is None else share.clamp(min=moving.momentum)
        moving.update(*mixture(batch_mean, batch_var, moving.mean, moving.var, rate))
        r, d = renormalization(batch_mean, batch_var, moving.mean, moving.var, eps)
        passes.remember(key, (batch_mean, batch_var), (r, d))
    return composed(r, d, weight, bias)


def composed(
    scale: Tensor, offset: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compose a scale and offset with the weight and bias that follow them."""
    if weight is not None:
        scale, offset = scale * weight, offset * weight
    return scale, offset if bias is None else offset + bias


def mixture(
    batch_mean: Tensor, batch_var: Tensor, mean: Tensor, var: Tensor, rate: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance of a mixture of past batches and, with weight ``rate``, a new one."""
    shift = batch_mean - mean
    mixed = var.lerp(batch_var, rate) + rate * (1 - rate) * shift.square()
    return mean + rate * shift, mixed


def renormalization(
    batch_mean: Tensor, batch_var: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """r and d of :func:`set_points` for the present moving statistics."""
    compute = _renormalization_compiled if torch.compiler.is_compiling() else _renormalization
    r, d = compute(batch_mean, batch_var, mean, var, eps)
    return r, d


def _renormalization(
    batch_mean: Tensor, batch_var: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    inverse_deviation = (var + eps).rsqrt()
    return (batch_var + eps).sqrt() * inverse_deviation, (batch_mean - mean) * inverse_deviation


# This is a custom operator because torch.compile (2.13) would otherwise compute r and d again in
# the backward pass, from statistics that have been updated since.
@torch.library.custom_op("snn_norm::renormalization", mutates_args=())
def _renormalization_compiled(
    batch_mean: Tensor, batch_var: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    if torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "a checkpointed pass is computed again, and a compiled layer cannot give what it gave "
            "the first time; do not compile it, or leave the normalization out of the checkpoint"
        )
    return _renormalization(batch_mean, batch_var, mean, var, eps)


@_renormalization_compiled.register_fake
def _(batch_mean: Tensor, batch_var: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(batch_var), torch.empty_like(batch_mean)


def standardize(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    scale: Tensor | None,
    offset: Tensor | None,
    eps: float,
    *,
    of_batch: bool,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """Batch normalization of (N, C, …).

    Args:
        of_batch: whether mean and variance are those of ``x``, and so depend on it; otherwise they
            are constants.
        group: the processes over whose ``x`` they were taken.
    """
    if not of_batch:
        if isinstance(x, Tensor):  # torch.fx traces with something else, and no gradients
            mean, var = for_gradient(mean), for_gradient(var)
        return F.batch_norm(x, mean, var, scale, offset, eps=eps)
    y: Tensor = _BatchNormalization.apply(x, mean, var, scale, offset, eps, group)  # type: ignore[no-untyped-call, unused-ignore]
    return y


class _BatchNormalization(torch.autograd.Function):
    """PyTorch's batch normalization, with given statistics so that it need not compute them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        scale: Tensor | None,
        offset: Tensor | None,
        eps: float,
        group: dist.ProcessGroup | None,  # noqa: ARG004
    ) -> Tensor:
        return F.batch_norm(x, mean, var, scale, offset, eps=eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        *tensors, ctx.eps, ctx.group = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, var, scale, _ = ctx.saved_tensors
        needed = [ctx.needs_input_grad[index] for index in (0, 3, 4)]
        grads: Sequence[Tensor | None]
        if ctx.group is not None or torch.is_grad_enabled():
            grads = _gradients(grad, x, mean, var, scale, ctx.eps, ctx.group)
        else:
            inverse_deviation = (var + ctx.eps).rsqrt()
            grads = torch.ops.aten.native_batch_norm_backward(
                grad, x, scale, None, None, mean, inverse_deviation, True, ctx.eps, needed
            )
        of_x, of_scale, of_offset = (
            value if need else None for value, need in zip(grads, needed, strict=True)
        )
        return of_x, None, None, of_scale, of_offset, None, None


def _gradients(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    scale: Tensor | None,
    eps: float,
    group: dist.ProcessGroup | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, scale and offset, which are differentiable themselves.

    With statistics over several processes they are not, and the gradients of scale and offset are
    this process's share of the sum.
    """
    dims, shape = [0, *range(2, x.dim())], [-1, *[1] * (x.dim() - 2)]
    count: int | Tensor = x.numel() // x.shape[1]
    if group is None:
        var, mean = torch.var_mean(x.to(mean.dtype), dims, correction=0)
    elif torch.is_grad_enabled():
        raise RuntimeError("statistics over processes have no gradient of their gradient")
    inverse_deviation = (var + eps).rsqrt().view(shape)
    x_hat = (x - mean.view(shape)) * inverse_deviation
    grad_scale, grad_offset = (grad * x_hat).sum(dims), grad.to(mean.dtype).sum(dims)
    of_x_hat, constant = grad_scale, grad_offset
    if group is not None:
        values = mean.new_tensor([count])
        count, of_x_hat, constant = _summed(group, values, grad_scale, grad_offset)
    of_x_hat, constant = (of_x_hat / count).view(shape), (constant / count).view(shape)
    grad_x = (grad - constant - x_hat * of_x_hat) * inverse_deviation
    if scale is not None:
        grad_x = grad_x * scale.view(shape)
    return grad_x.to(x.dtype), grad_scale, grad_offset
