"""All that is random in a run, from its seed: the same wherever and however often it goes on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(seed: int, use: str) -> int:
    """A seed of 32 bits for one use, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {use}".encode()).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed every generator that a user's own code may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def generators_restored() -> Iterator[None]:
    """Leave every generator as it was, whatever is seeded and drawn in the block."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
