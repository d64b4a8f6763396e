"""Gradient checkpointing: a pass that is computed again must not move statistics again.

``torch.utils.checkpoint`` runs a layer a second time, in the backward pass. Layers that normalize
by moving statistics then have to give what they gave the first time, although these statistics have
moved since; so each layer remembers its last passes inside a checkpoint.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]

_REMEMBERED = 16
"""Passes of a time step, or of a stretch of them: as many micro-batches may wait for gradients."""


_hooks_on_saved_tensors: Callable[[bool], object] = getattr(
    torch._C._autograd,
    "_top_saved_tensors_default_hooks",
    lambda _: True,  # torch 2.6 cannot tell: every pass may be one of a checkpoint
)


def _may_be_computed_again() -> bool:
    """Whether this forward pass can be one of a checkpoint.

    One that is not reentrant watches what is saved for the gradient. A reentrant one is an autograd
    function: in it there are no gradients, neither backward nor forward. A pass of training under
    ``torch.no_grad`` or ``torch.inference_mode`` is neither.
    """
    if torch.is_grad_enabled():
        return _hooks_on_saved_tensors(False) is not None
    return not torch._C._is_fwd_grad_enabled() and not torch.is_inference_mode_enabled()


def recomputing() -> bool:
    """Whether this is the backward pass, in which layers run only to be computed again."""
    if torch.compiler.is_compiling():
        return False
    task: int = torch._C._current_graph_task_id()
    return task != -1


@dataclass
class _Pass:
    """A batch's mean and variance, and what was made of them."""

    statistics: Pair
    result: Pair
    recomputed: bool = False


class Passes:
    """A layer's last passes in checkpoints; a copy of the layer, or a pickle of it, has none."""

    def __init__(self) -> None:
        self._of: dict[object, deque[_Pass]] = {}

    def __reduce__(self) -> tuple[type[Passes], tuple[()]]:
        return Passes, ()

    def remember(self, key: object, statistics: Pair, result: Pair) -> None:
        """Remember what a pass made of a batch's mean and variance, if it may be computed again.

        Args:
            key: which of the layer's statistics it moved.
        """
        if not torch.compiler.is_compiling() and _may_be_computed_again():
            passes = self._of.setdefault(key, deque(maxlen=_REMEMBERED))
            passes.append(_Pass(statistics, result))

    def again(self, key: object, statistics: Pair) -> Pair:
        """What the pass that is now computed again made of the same mean and variance.

        Raises:
            RuntimeError: no pass can be meant, or more than one.
        """
        passes = list(self._of.get(key, ()))
        same = _same(statistics, [p.statistics for p in passes])
        found = list(itertools.compress(passes, same))
        found = [p for p in found if not p.recomputed] or found
        if not found:
            raise RuntimeError(
                "a checkpointed pass is computed again, but its batch statistics are none of the "
                f"last {_REMEMBERED} passes'; let fewer micro-batches wait for their gradients, or "
                "leave the normalization out of the checkpoint"
            )
        newest = found[-1]
        if not all(_same(newest.result, [p.result for p in found])):
            raise RuntimeError(
                "a checkpointed pass is computed again, and several passes had the same batch "
                "statistics, normalized by different moving ones; leave the normalization out of "
                "the checkpoint"
            )
        newest.recomputed = True
        return newest.result


def _same(wanted: Pair, others: list[Pair]) -> list[bool]:
    """Which of the others are the same to the last bit."""
    if not others:
        return []
    each = torch.stack([torch.stack(pair) for pair in others])
    equal = torch.isclose(each, torch.stack(wanted), 0, 0, equal_nan=True)
    same: list[bool] = equal.flatten(1).all(1).tolist()
    return same
