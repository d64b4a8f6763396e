"""What ``equal`` assumes of seeds that have not been trained: their spread and losses. Pure.

Pairs that happen to agree have almost no spread, and a loss that one seed in ten suffers is often
missing from the first ten. So a comparison is not called equal by its own pairs alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestration.results.statistics import Floats

LEAST_LOSS = 10.0
"""Times the margin: how much an unseen seed may lose, even where no such loss is on record."""


class Seen(NamedTuple):
    """What the seeds that every cell of a sweep has got show of the spread and of losses.

    Args:
        spread: the standard deviation over seeds of the values of one cell, the median over cells.
        loss: the largest distance of a seed from the median of its cell. A failed seed, if it has a
            value, is at the distance from the best cell's median.
    """

    spread: Floats
    loss: Floats


def seen_in(values: Floats, failed: npt.NDArray[np.bool_]) -> Seen:
    """What these seeds show; 0 where none of them learned.

    Args:
        values: of each cell and seed, on the last two axes; NaN for a seed without a value.
        failed: whether the seed failed; it then does not count for spread and median.
    """
    learned = np.ma.masked_array(values, failed | np.isnan(values))
    median: Any = np.ma.median  # numpy has no types for it
    medians = median(learned, axis=-1, keepdims=True)
    spread = median(learned.std(axis=-1, ddof=1), axis=-1)
    fall = np.abs(learned - medians).max(axis=(-2, -1))
    lowest = np.ma.masked_array(values, ~failed | np.isnan(values)).min(axis=(-2, -1))
    cost = medians.max(axis=(-2, -1)) - lowest
    losses = [np.ma.filled(np.ma.asarray(loss), 0.0) for loss in (fall, cost)]
    return Seen(np.ma.filled(np.ma.asarray(spread), 0.0), np.maximum(*losses))


def unseen_share(n: npt.NDArray[np.integer] | int, alpha: float) -> Floats:
    """The share of seeds that may fail although none of n pairs did: 1 - α^(1/n)."""
    share: Floats = 1 - alpha ** (1 / np.asarray(n, dtype=float))
    return share


def largest_mean(
    differences: Floats, low: Floats, high: Floats, margin: float, alpha: float, loss: Floats
) -> Floats:
    """The largest mean difference, either way, that each look leaves possible.

    The interval holds for the share of seeds that pairs so far stand for. The others may lose as
    much as a seed on record has lost, and no less than ``LEAST_LOSS`` margins.

    Args:
        differences: of each pair, on the last axis.
        low, high: of the interval at each look.
        margin: what is practically equal.
        alpha: how often more seeds than ``unseen_share`` may be unseen.
        loss: the largest on record, of all cells.
    """
    n = np.arange(1, differences.shape[-1] + 1)
    unseen = unseen_share(n, alpha)
    own = np.maximum.accumulate(np.abs(differences), axis=-1)
    loss = np.maximum(np.maximum(loss[..., None], own), LEAST_LOSS * margin)
    mean: Floats = (1 - unseen) * np.maximum(-low, high) + unseen * loss
    return mean
