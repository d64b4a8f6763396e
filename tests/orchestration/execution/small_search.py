"""A spec with a search that takes seconds."""

from __future__ import annotations

from typing import Any

SEARCH: dict[str, Any] = {
    "space": {"learning_rate": {"log": [1e-3, 1e-1]}, "init": ["default", "kaiming"]},
    "trials": 5,
    "prune": {"keep": 0.4, "at": [1]},
}
CONTENT: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 3,
    "training": {"batch_size": 16, "validation_fraction": 0.25},
    "grid": [{"architecture": "ann", "norm": ["none", "homeostatic"], "width": 2}],
    "search": SEARCH,
    "confirm": {"seeds": [101, 102]},
}
UNTIL = {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 4}
