"""What is kept of a spiking layer for the gradient: as little as gives the same numbers.

An operation keeps its input until the backward pass has come to it, over all time steps. Spikes are
small integers, so a byte holds each; and what a convolution made of them can be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class PackedSpikes:
    """Spikes, each kept in a byte by the operations that ask for it.

    Args:
        spikes: multiples of 1 / levels, from 0 to 1.
        levels: 1 for spikes as neurons fire them, 4 for averages over 2x2 squares.
    """

    def __init__(self, spikes: Tensor, levels: int = 1) -> None:
        # Not the spikes themselves, whose memory is to be freed.
        self._address, self._dtype, self._shape = spikes.data_ptr(), spikes.dtype, spikes.shape
        self._levels = levels
        self._bytes: Tensor | None = None

    def as_bytes(self) -> AbstractContextManager[Any]:
        """While it lasts, what an operation keeps of the spikes is kept in a byte each."""
        return _replaced(self._address, self._pack, self._unpack)

    @property
    def kept(self) -> bool:
        """Whether an operation has kept them: not one whose weights and input need no gradient."""
        return self._bytes is not None

    def again(self) -> Tensor:
        """The spikes, out of the bytes that an operation kept."""
        assert self._bytes is not None, "no operation has kept these spikes"
        return self._unpack(self._bytes).view(self._shape)

    def _pack(self, spikes: Tensor) -> Tensor:
        self._bytes = (spikes if self._levels == 1 else spikes * self._levels).to(torch.int8)
        return self._bytes

    def _unpack(self, packed: Tensor) -> Tensor:
        spikes = packed.to(self._dtype)
        return spikes if self._levels == 1 else spikes.div_(self._levels)


def made_anew(made: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[Any]:
    """While it lasts, an operation keeps nothing of ``made``: ``make`` makes it once more.

    Args:
        made: what the operation takes.
        make: gives the same numbers in the same memory order; called in the backward pass, with
            autocast as it is now.
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
    """While it lasts, operations keep ``pack(tensor)`` of the tensor at ``address``."""

    def keep(tensor: Tensor) -> tuple[bool, Tensor]:
        here = tensor.data_ptr() == address
        return here, pack(tensor) if here else tensor

    def give(kept: tuple[bool, Tensor]) -> Tensor:
        here, tensor = kept
        return unpack(tensor) if here else tensor

    return saved_tensors_hooks(keep, give)
