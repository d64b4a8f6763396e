"""Derives all randomness of a run from its seed, so that an interrupted run continues the same."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def generators_state() -> dict[str, Any]:
    """The states of these generators, as tensors and plain values."""
    numpy_state: Any = np.random.get_state()  # numpy's types do not tell its two forms apart
    name, keys, *rest = numpy_state
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": on_gpus,
    }


def restore_generators(state: dict[str, Any]) -> None:
    """Set the generators to what :func:`generators_state` returned, perhaps in another process."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the state of every random number generator at the end of the block."""
    state = generators_state()
    try:
        yield
    finally:
        restore_generators(state)
