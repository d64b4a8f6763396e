"""Gradient checkpointing: a forward pass that is recomputed must not update statistics again.

``torch.utils.checkpoint`` runs a layer a second time, in the backward pass. Layers that normalize
by moving statistics must then return what they returned the first time, although the statistics
have been updated since; so each layer remembers its last passes inside a checkpoint.
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
"""How many passes are remembered for each time step or stretch of steps. This limits the number of
micro-batches that may wait for their gradients."""


_hooks_on_saved_tensors: Callable[[bool], object] = getattr(
    torch._C._autograd,
    "_top_saved_tensors_default_hooks",
    lambda _: True,  # torch 2.6 cannot tell, so every pass may be one of a checkpoint
)


def _may_be_computed_again() -> bool:
    """Whether this forward pass can be inside a checkpoint.

    A non-reentrant checkpoint installs hooks on the tensors that are saved for the gradient. A
    reentrant one is an autograd function, inside which gradients are disabled, in forward mode too.
    A pass in training under ``torch.no_grad`` or ``torch.inference_mode`` shows neither sign.
    """
    if torch.is_grad_enabled():
        return _hooks_on_saved_tensors(False) is not None
    return not torch._C._is_fwd_grad_enabled() and not torch.is_inference_mode_enabled()


def recomputing() -> bool:
    """Whether this is the backward pass, in which layers run only for recomputation."""
    if torch.compiler.is_compiling():
        return False
    task: int = torch._C._current_graph_task_id()
    return task != -1


@dataclass
class _Pass:
    """A batch's mean and variance, and the result that was computed from them."""

    statistics: Pair
    result: Pair
    recomputed: bool = False


class Passes:
    """A layer's last passes inside checkpoints; a copied or unpickled layer starts with none."""

    def __init__(self) -> None:
        self._of: dict[object, deque[_Pass]] = {}

    def __reduce__(self) -> tuple[type[Passes], tuple[()]]:
        return Passes, ()

    def remember(self, key: object, statistics: Pair, result: Pair) -> None:
        """Remember what a pass computed from a batch's statistics, if it may be recomputed.

        Args:
            key: identifies those of the layer's statistics that the pass updated.
        """
        if not torch.compiler.is_compiling() and _may_be_computed_again():
            passes = self._of.setdefault(key, deque(maxlen=_REMEMBERED))
            passes.append(_Pass(statistics, result))

    def recall(self, key: object, statistics: Pair) -> Pair:
        """Return what the pass that is now recomputed had computed from the same statistics.

        Raises:
            RuntimeError: no remembered pass matches, or several with different results.
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
    """Which of the others are equal to it, to the last bit."""
    if not others:
        return []
    each = torch.stack([torch.stack(pair) for pair in others])
    equal = torch.isclose(each, torch.stack(wanted), 0, 0, equal_nan=True)
    same: list[bool] = equal.flatten(1).all(1).tolist()
    return same
