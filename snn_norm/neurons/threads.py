"""Runs the parts of a loop on the threads of PyTorch's own OpenMP.

After an operation of PyTorch, the threads of its OpenMP keep their cores for a while, waiting for
the next one. Threads of another pool would have to wait for them, so they gain nothing where there
are as many threads as cores.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_parallel(part: Callable[[int], object], parts: int) -> None:
    """Call ``part`` with each number below ``parts``, on PyTorch's threads.

    Calls run at the same time as far as ``part`` releases the interpreter's lock.

    Raises:
        Exception: the first one that a call raised, after all calls have ended.
    """
    threads = torch.get_num_threads()
    if threads == 1 or parts == 1:
        for index in range(parts):
            part(index)
        return
    openmp = _openmp()
    if openmp is None:
        pool = _pool(os.getpid(), threads)
        futures = [pool.submit(part, index) for index in range(parts)]
        wait(futures)
        for future in futures:
            future.result()
        return
    errors: list[BaseException] = []
    ended = [False] * threads

    def run(_data: int | None) -> None:
        try:
            thread = openmp.omp_get_thread_num()
            for index in range(thread, parts, threads):
                part(index)
            ended[thread] = True
        except BaseException as error:  # noqa: BLE001 - raised below, by the thread that called
            errors.append(error)

    # Always all threads: OpenMP ends those that a smaller team does not need.
    openmp.GOMP_parallel(_Callback(run), None, threads, 0)
    if errors:
        raise errors[0]
    if not all(ended):  # a signal's handler raised before the call began
        raise KeyboardInterrupt


@functools.cache
def _openmp() -> Any:
    """PyTorch's OpenMP with the interface of GNU's, or None: on macOS, say, or without OpenMP."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_global_deps.so"))
        library.GOMP_parallel.argtypes = [_Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        library.GOMP_parallel.restype = None
        library.omp_get_thread_num.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has no threads
    return ThreadPoolExecutor(threads, "snn_norm")
