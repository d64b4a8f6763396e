"""Reduces the memory that a spiking layer needs for the gradient, without changing its numbers.

Autograd keeps the input of each operation, over all time steps, until the backward pass reaches it.
Spikes are small integers, so a byte can hold each, and the output of a convolution can be
recomputed from them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class PackedSpikes:
    """Spikes that operations inside :meth:`as_bytes` keep as one byte each.

    Args:
        spikes: multiples of 1 / levels, from 0 to 1.
        levels: 1 for the spikes of neurons, 4 for their averages over 2x2 squares.
    """

    def __init__(self, spikes: Tensor, levels: int = 1) -> None:
        # The spikes themselves are not kept, since their memory is to be freed.
        self._address, self._dtype, self._shape = spikes.data_ptr(), spikes.dtype, spikes.shape
        self._levels = levels
        self._bytes: Tensor | None = None

    def as_bytes(self) -> AbstractContextManager[Any]:
        """A context in which operations keep the spikes as one byte each."""
        return _replaced(self._address, self._pack, self._unpack)

    @property
    def kept(self) -> bool:
        """Whether an operation has kept them, which it does only to compute a gradient."""
        return self._bytes is not None

    def again(self) -> Tensor:
        """Restore the spikes from the bytes that an operation kept."""
        assert self._bytes is not None, "no operation has kept these spikes"
        return self._unpack(self._bytes).view(self._shape)

    def _pack(self, spikes: Tensor) -> Tensor:
        self._bytes = (spikes if self._levels == 1 else spikes * self._levels).to(torch.int8)
        return self._bytes

    def _unpack(self, packed: Tensor) -> Tensor:
        spikes = packed.to(self._dtype)
        return spikes if self._levels == 1 else spikes.div_(self._levels)


def recomputed(made: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """A context in which operations do not keep ``made``: ``make`` recomputes it when needed.

    Args:
        made: the input of the operation.
        make: returns the same numbers in the same memory order. It is called in the backward pass,
            with the autocast state of this call.
    """
    device = made.device.type
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def again(_: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device, dtype, enabled=enabled):
            return make()

    return _replaced(made.data_ptr(), lambda tensor: tensor.new_empty(0), again)


def _replaced(
    address: int, pack: Callable[[Tensor], Tensor], unpack: Callable[[Tensor], Tensor]
) -> AbstractContextManager[Any]:
    """A context in which operations keep ``pack(tensor)`` for the tensor at ``address``."""

    def keep(tensor: Tensor) -> tuple[bool, Tensor]:
        here = tensor.data_ptr() == address
        return here, pack(tensor) if here else tensor

    def give(kept: tuple[bool, Tensor]) -> Tensor:
        here, tensor = kept
        return unpack(tensor) if here else tensor

    return saved_tensors_hooks(keep, give)
