"""Memory: the C library's allocator, set to keep what training frees; and none being left."""

from __future__ import annotations

import ctypes
import functools
import platform

import torch

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


@functools.cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for reuse, in this process and from now on.

    By default it maps each large tensor anew and unmaps it when freed, so that every training step
    pays a page fault for each page of each temporary. The process keeps its peak size in return.

    Returns:
        Whether it could be set: only glibc has this.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine, or of a GPU, was used up."""
    # Torch has no class of its own for a CPU whose memory is exhausted.
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "DefaultCPUAllocator" in str(error)
