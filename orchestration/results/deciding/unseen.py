"""What ``equal`` assumes about seeds that have not been trained: spread and losses. Pure.

Pairs that happen to agree have almost no spread, and a loss that one seed in ten suffers is often
missing from the first ten. So a comparison is not called equal by its own pairs alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestration.results.statistics import Floats

LEAST_LOSS = 10.0
"""The least loss of an unseen seed that is allowed for, as a multiple of the margin."""


class Seen(NamedTuple):
    """The spread and the losses of the seeds that every cell of a sweep has.

    Args:
        spread: the standard deviation over seeds of the values of one cell, the median over cells.
        loss: the largest distance of a seed from the median of its cell. A failed seed, if it has a
            value, is at the distance from the best cell's median.
    """

    spread: Floats
    loss: Floats


def seen_in(values: Floats, failed: npt.NDArray[np.bool_]) -> Seen:
    """What these seeds show; 0 if none of them learned.

    Args:
        values: the value of each cell and seed, on the last two axes; NaN if there is none.
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
    """The largest mean difference, in either direction, that remains possible at each look.

    The interval is valid for the seeds that the pairs so far represent. A share of
    ``unseen_share`` of all seeds may lose as much as the largest loss on record, which is taken to
    be at least ``LEAST_LOSS`` margins.

    Args:
        differences: the difference of each pair, on the last axis.
        margin: the largest difference that is practically equal.
        alpha: the probability that the share is larger than ``unseen_share``.
        loss: the largest loss on record, over all cells.
    """
    n = np.arange(1, differences.shape[-1] + 1)
    unseen = unseen_share(n, alpha)
    own = np.maximum.accumulate(np.abs(differences), axis=-1)
    loss = np.maximum(np.maximum(loss[..., None], own), LEAST_LOSS * margin)
    mean: Floats = (1 - unseen) * np.maximum(-low, high) + unseen * loss
    return mean
