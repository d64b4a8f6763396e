"""The accuracy that a network without learning may reach by chance."""

from __future__ import annotations

import torch
from torch import Tensor

_LUCK = 0.00135
"""The probability that guesses exceed it: three standard deviations on one side of a normal one."""


def chance_accuracy(labels_N: Tensor) -> float:
    """The highest accuracy, a fraction, that is no better than the best constant prediction.

    That prediction always names the largest class, whose share is p. An accuracy is better if N
    guesses, each correct with probability p, reach it less than once in 740 times (the exact
    binomial test, one-sided), or if the network makes at most half of the constant prediction's
    errors, since for few or very unbalanced labels not even a perfect network passes the test. With
    a single class every network counts as better, since there is nothing to learn.
    """
    images, largest = len(labels_N), int(labels_N.bincount().max())
    if largest == images:
        return -1.0
    hits = torch.arange(images + 1, dtype=torch.float64)
    whole = torch.tensor(images, dtype=torch.float64)
    share = torch.tensor(largest / images, dtype=torch.float64)
    log_choices = (whole + 1).lgamma() - (hits + 1).lgamma() - (whole - hits + 1).lgamma()
    log_probability = log_choices + hits * share.log() + (whole - hits) * (-share).log1p()
    at_least = log_probability.exp().flip(0).cumsum(0).flip(0)
    lucky = int((at_least >= _LUCK).sum()) - 1
    half_the_errors = (images + largest + 1) // 2
    return min(lucky, half_the_errors - 1) / images
