"""The headline as it was published, to compare a sweep with.

CIFAR-10, 30 epochs, seeds 42, 123 and 456, T = 25 for the spiking network: the best epoch on the
test set, then the best seed. Nothing but that best was published: no mean, and no single seed.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestration.results.columns import SELECTED_ON, TEST_SET

__all__ = ["HEADLINE_PUBLISHED", "PUBLISHED_CONDITIONS", "published_headline"]

HEADLINE_PUBLISHED = "headline-published"
"""What the reference is called wherever a sweep's name may stand to compare with."""

PUBLISHED_CONDITIONS: dict[str, Any] = {"dataset": "cifar10", "epochs": 30}

_SEEDS = 3
_CHANCE = 0.1
_BEST = {
    ("ann", "none"): 0.8878,
    ("ann", "batchnorm"): 0.9227,
    ("ann", "homeostatic"): 0.9251,
    ("snn", "none"): 0.1,
    ("snn", "bntt"): 0.862,
    ("snn", "homeostatic"): 0.7869,
}


def published_headline() -> pd.DataFrame:
    """Give the published numbers with the columns of ``Results.best_of_seeds``.

    What was not published is missing. A best at chance means that every seed collapsed.
    """
    table = pd.DataFrame(list(_BEST), columns=["architecture", "norm"])
    table["best"] = list(_BEST.values())
    table["best_seed"] = pd.array([pd.NA] * len(table), dtype="Int64")
    for name in ("mean", "std", "ci_low", "ci_high"):
        table[name] = float("nan")
    table["n_seeds"] = table["n_expected"] = _SEEDS
    table["n_collapsed"] = (table["best"] <= _CHANCE).map({True: _SEEDS, False: 0})
    table["n_diverged"] = 0
    table[SELECTED_ON] = TEST_SET
    return table
