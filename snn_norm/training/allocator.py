"""Makes the C library keep the memory that training frees, and detects exhausted memory."""

from __future__ import annotations

import ctypes
import functools
import platform

import torch

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


@functools.cache
def keep_freed_memory() -> None:
    """Make glibc keep freed memory for reuse, in this process and from now on.

    By default glibc maps memory for each large tensor and unmaps it afterwards, so that every
    training step has a page fault for each page of each temporary. With this setting, the process
    keeps its peak size. Other C libraries do not have it.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine, or of a GPU, was exhausted."""
    # Torch has no exception class for exhausted memory of the CPU.
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "DefaultCPUAllocator" in str(error)
