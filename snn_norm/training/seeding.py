"""Derives all randomness of a run from its seed, so that an interrupted run continues the same."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(seed: int, use: str) -> int:
    """Derive a 32-bit seed for one use, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {use}".encode()).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed every random number generator that a user's own code may use."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the state of every random number generator at the end of the block."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
