"""Alpha spending: tests at several looks that err with a given probability together. Pure.

Lan and DeMets (Biometrika 70, 1983) with a spending function of O'Brien and Fleming's shape: on
each of both sides 2 - 2Φ(z / √t), z = Φ⁻¹(1 - α/4), is spent at the share t of all pairs. Looks
are taken after every pair from ``at_least`` to ``at_most``. The boundaries are those of a mean of
normal differences of known variance; the p-value of Student's t-test is held against the same
level. That is a customary approximation, and ``docs/sequential-tests.md`` says how far it holds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri, roots_legendre

from orchestration.results.statistics import Floats

_ALPHAS = np.geomspace(1e-9, 0.99, 46)
_NODES = 160
_BISECTIONS = 45
_FARTHEST = 37.0  # standard deviations; a probability beyond it is zero in double precision


def nominal_levels(alpha: float, at_least: int, at_most: int) -> Floats:
    """The level of a fixed test at each look, from pair 1 to ``at_most``; 0 before ``at_least``."""
    log_alphas, log_levels = spending_levels(at_least, at_most)
    found = [np.interp(np.log(alpha), log_alphas, column) for column in log_levels.T]
    return np.concatenate([np.zeros(at_least - 1), np.exp(found)])


def spent(p_fixed: Floats, at_least: int, at_most: int) -> Floats:
    """The smallest α at which a look rejects, from the p-value of a fixed test at that look.

    Args:
        p_fixed: the p-value of each look on the last axis, from the first pair on. Looks before
            ``at_least`` and those without a p-value give 1.
    """
    log_alphas, log_levels = spending_levels(at_least, at_most)
    found = np.ones(p_fixed.shape)
    with np.errstate(divide="ignore"):
        log_p = np.log(np.nan_to_num(p_fixed, nan=1.0))
    for look in range(at_least - 1, p_fixed.shape[-1]):
        levels = log_levels[:, look - at_least + 1]
        found[..., look] = np.exp(np.interp(log_p[..., look], levels, log_alphas, right=0.0))
    return found


@lru_cache(maxsize=8)
def spending_levels(at_least: int, at_most: int) -> tuple[Floats, Floats]:
    """Logarithms of some values of α, and for each of them of the nominal level of each look.

    The sum of differences is a random walk whose step has variance 1 for each pair. The density of
    walks within all boundaries so far is computed from look to look on Gauss's nodes, for all α at
    once. Each boundary is where the walk has spent the probability that it may.

    Returns:
        α (A,) and levels (A, at_most - at_least + 1).
    """
    nodes, weights = roots_legendre(_NODES)
    looks = np.arange(at_least, at_most + 1)
    may_spend = 4 * ndtr(ndtri(_ALPHAS / 4)[:, None] / np.sqrt(looks / at_most))
    may_spend[:, 1:] -= may_spend[:, :-1].copy()
    levels = np.empty(may_spend.shape)
    places, mass = np.zeros((len(_ALPHAS), 1)), np.ones((len(_ALPHAS), 1))
    for look, n in enumerate(looks):
        step = np.sqrt(at_least if look == 0 else 1)
        low, high = np.zeros(len(_ALPHAS)), np.full(len(_ALPHAS), _FARTHEST)
        for _ in range(_BISECTIONS):
            z = (low + high) / 2
            crossing = ndtr((places - (z * np.sqrt(n))[:, None]) / step)
            too_much = 2 * (mass * crossing).sum(axis=1) > may_spend[:, look]
            low, high = np.where(too_much, z, low), np.where(too_much, high, z)
        levels[:, look] = 2 * ndtr(-z)
        # Farther out than nine standard deviations there is nothing to carry on.
        reach = np.minimum(z, 9.0) * np.sqrt(n)
        there = reach[:, None] * nodes
        kernel = np.exp(-(((there[:, :, None] - places[:, None, :]) / step) ** 2) / 2)
        density = (kernel @ mass[:, :, None])[..., 0] / (step * np.sqrt(2 * np.pi))
        places, mass = there, density * reach[:, None] * weights
    return np.log(_ALPHAS), np.log(levels)
