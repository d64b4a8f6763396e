"""The evidence of a paired comparison after each seed, valid at every look. Pure.

The last axis of an array has one element for each pair, in the order of the seeds, or for each
look, which is after that pair. Other axes are separate comparisons. ``docs/sequential-tests.md``
has the sources of the formulas and the reasons why they hold.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from orchestration.results.deciding.spending import nominal_levels, spent
from orchestration.results.deciding.unseen import Seen, largest_mean
from orchestration.results.statistics import Floats, holm, student_t
from orchestration.sweep.stopping import UntilDecided

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]

UNDECIDED, DIFFERENT, EQUAL = 0, 1, 2

_C2 = 1.0  # the standardized effect that is bet on has variance 1 / c²
_SIGNS_C2 = 0.1  # larger effects: one that is always of the same sign doubles E with each pair
_SHIFTS, _BISECTIONS = 257, 24  # of the search for the ends of an interval


class Evidence(NamedTuple):
    """The evidence at each look.

    Args:
        log_e: logarithm of the e-value; NaN if the method has none.
        p: a p-value that is valid at all looks at once, and never grows.
        low, high: the ends of an interval for the mean that is valid at all looks at once if
            differences are normal; infinite if there is none.
        equal: whether the mean difference is within ± ``practically_equal``.
    """

    log_e: Floats
    p: Floats
    low: Floats
    high: Floats
    equal: Bools


def sign_log_e(differences: Floats) -> Floats:
    """Log of the e-value against exchangeable pairs, whatever the shape of their differences.

    If both values of a pair are exchangeable, the sign of their difference is a fair coin, given
    all magnitudes and earlier signs. Each pair multiplies E by 2·p, where p is the probability
    of its sign under the alternative of :func:`student_log_e`: with S = Σd and V = Σd² up to this
    pair, p = F(S²) / (F(S²) + F((S - 2d)²)), F(S²) = [(n+c²)V / ((n+c²)V - S²)]^(n/2), c² = 0.1.
    So E is a martingale, its mean over all signs is exactly 1, and a tie leaves it as it is.

    Args:
        differences: NaN or 0 for a pair that does not count.
    """
    d = np.nan_to_num(differences)
    largest = np.max(np.abs(d), axis=-1, keepdims=True, initial=0.0)
    d = np.divide(d, largest, out=np.zeros_like(d), where=largest > 0)  # squares stay finite
    n = (d != 0).cumsum(axis=-1)
    total, squares = d.cumsum(axis=-1), (d * d).cumsum(axis=-1)
    as_it_is, turned = (
        _log_mixture(n, sums * sums, squares, _SIGNS_C2) for sums in (total, total - 2 * d)
    )
    log_e: Floats = (np.log(2) + as_it_is - np.logaddexp(as_it_is, turned)).cumsum(axis=-1)
    return log_e


def student_log_e(differences: Floats) -> Floats:
    """Log of the e-value against a mean of 0 of normal differences of unknown variance.

    E = √(c²/(n+c²)) · [(n+c²)V / ((n+c²)V - S²)]^(n/2) with S = Σd, V = Σd², c² = 1: the ratio of
    likelihoods of the scale-free data, mixed over standardized effects from N(0, 1/c²) (Wang and
    Ramdas, arXiv 2310.03722, theorem 4.9). S² ≤ nV, so that it is finite; where all differences
    are 0 it is √(c²/(n+c²)), its smallest value.

    Args:
        differences: NaN for a pair that does not count; E then stays as it is.
    """
    counted = ~np.isnan(differences)
    d = np.where(counted, differences, 0.0)
    n = counted.cumsum(axis=-1)
    total, squares = d.cumsum(axis=-1), (d * d).cumsum(axis=-1)
    return _log_mixture(n, total * total, squares, _C2)


def _log_mixture(n: Integers, total_squared: Floats, squares: Floats, c2: float) -> Floats:
    full = (n + c2) * squares
    share = np.divide(total_squared, full, out=np.zeros_like(full), where=full > 0)
    log_e: Floats = 0.5 * np.log(c2 / (n + c2)) - n / 2 * np.log1p(-share)
    return log_e


def student_interval(
    differences: Floats, alpha: float, least_spread: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """The means against which :func:`student_log_e` is below log 1/α, at each look.

    With κ = (n+c²)/c² and R = (κ/α²)^(1/n): d̄ ± (s/√n)·√((n-1)(R-1)/(1-R/κ)), infinite while
    R ≥ κ.

    Args:
        differences: NaN for a pair that does not count.
        alpha: how often the interval may fail to hold the mean at some look.
        least_spread: taken for s where s is smaller.
    """
    counted, mean, std = _running(differences)
    n = np.maximum(counted, 1)
    kappa = (n + _C2) / _C2
    log_r = (np.log(kappa) - 2 * np.log(alpha)) / n
    bounded = log_r < np.log(kappa)
    r = np.exp(np.where(bounded, log_r, 0.0))
    factor = np.sqrt((n - 1) * (r - 1) / np.where(bounded, 1 - r / kappa, 1.0))
    std = np.maximum(std, np.expand_dims(least_spread, -1))
    half = np.where(bounded, std / np.sqrt(n) * factor, np.inf)
    return mean - half, mean + half


def shift_interval(differences: Floats, alpha: float) -> tuple[float, float]:
    """An interval for the shift between the two values of each pair, after all pairs.

    Suppose that the first value of each pair is the larger one by a shift θ, and that the pair is
    otherwise exchangeable. Then each difference minus θ is positive or negative with the same
    probability. So θ is rejected if :func:`sign_log_e` of the differences minus θ reaches log 1/α.
    The interval reaches from the smallest to the largest shift that is not rejected; some shifts
    between them may be rejected.

    Args:
        differences: the differences of one comparison; NaN for a pair that does not count.
        alpha: the probability that the interval misses the shift at any look.

    Returns:
        The lower and the upper end: infinite if there are too few pairs, NaN if all shifts are
        rejected.
    """
    d = differences[~np.isnan(differences)]

    def accepted(shifts: Floats) -> Bools:
        below: Bools = sign_log_e(d - shifts[:, None])[:, -1] < -np.log(alpha)
        return below

    # A shift far beyond all differences leaves them almost equal: the most evidence of n pairs.
    if not len(d) or accepted(np.array([1e9 * (1 + np.abs(d).max())])).any():
        return -np.inf, np.inf
    reach = float(np.ptp(d)) or 1.0
    while accepted(np.array([d.min() - reach, d.max() + reach])).any():
        reach *= 2
    shifts = np.linspace(d.min() - reach, d.max() + reach, _SHIFTS)
    inside = np.flatnonzero(accepted(shifts))
    if not len(inside):
        return np.nan, np.nan
    ends, outside = shifts[inside[[0, -1]]], shifts[inside[[0, -1]] + [-1, 1]]
    for _ in range(_BISECTIONS):
        middle = (ends + outside) / 2
        within = accepted(middle)
        ends, outside = np.where(within, middle, ends), np.where(within, outside, middle)
    return float(outside[0]), float(outside[1])


def failure_log_e(first: Bools, second: Bools) -> Floats:
    """Log of the e-value against equal probabilities of failing, of two cells seed by seed.

    Each pair multiplies E by pₐ(x)·p_b(y) / (p₀(x)·p₀(y)) with p₀ = (pₐ + p_b)/2 (Turner, Ly and
    Grünwald, arXiv 2106.02693); pₐ and p_b are (failures + ½)/(pairs + 1) of the pairs before.
    Without any failure E stays exactly 1.

    Args:
        first, second: whether the seed failed in each cell.
    """
    before = np.arange(first.shape[-1])
    p_first = (first.cumsum(axis=-1) - first + 0.5) / (before + 1)
    p_second = (second.cumsum(axis=-1) - second + 0.5) / (before + 1)
    p_null = (p_first + p_second) / 2
    bets = [
        np.log(np.where(failed, p / p_null, (1 - p) / (1 - p_null)))
        for failed, p in ((first, p_first), (second, p_second))
    ]
    log_e: Floats = (bets[0] + bets[1]).cumsum(axis=-1)
    return log_e


def log_e_values(
    differences: Floats, first: Bools, second: Bools, rule: UntilDecided
) -> tuple[Floats, Floats]:
    """Logs of the e-values of the differences of pairs in which no seed failed, and of failures.

    Their product is an e-value too. :func:`evidence` describes the arguments.
    """
    learned = np.where(first | second, np.nan, differences)
    if rule.assumes == "normal":
        return student_log_e(learned), failure_log_e(first, second)
    # Of a pair in which one seed failed, which one it was is a fair coin as well.
    return sign_log_e(learned), sign_log_e(second.astype(float) - first)


def evidence(
    differences: Floats,
    first: Bools,
    second: Bools,
    rule: UntilDecided,
    family: int,
    seen: Seen | None,
) -> Evidence:
    """The evidence of comparisons at each look; before ``at_least`` pairs there is none.

    Args:
        differences: the difference of each pair; NaN for a pair that does not count.
        first, second: whether the seed failed (collapsed, diverged) in each cell.
        rule: the spec's rule; its method chooses between e-values and alpha spending.
        family: the number of declared comparisons; intervals hold for all of them at once.
        seen: what the sweep's certain seeds show; None while some are missing. Nothing is equal
            until then, unless differences are assumed to be normal.
    """
    failed = first | second
    if rule.method == "spending":
        log_e = np.full(differences.shape, np.nan)
        n, mean, std = _running(differences)
        p = spent(student_t(mean, std, n)[1], rule.at_least, rule.at_most)
        levels = nominal_levels(rule.alpha / family, rule.at_least, rule.at_most)[: n.shape[-1]]
        quantiles = -special.stdtrit(np.maximum(n - 1, 1), np.maximum(levels, 1e-300) / 2)
        with np.errstate(invalid="ignore"):  # early looks have the level 0, whatever the spread
            half = quantiles * std / np.sqrt(n)
        low, high = mean - half, mean + half
    else:
        log_e = np.add(*log_e_values(differences, first, second, rule))
        p = np.exp(-np.maximum(log_e, 0.0))
        exact = rule.assumes == "exchangeable"
        spread = seen.spread if exact and seen else 0.0
        low, high = student_interval(differences, rule.alpha / family, spread)
        # Where failures count with what they reached, differences are not normal.
        mixed = np.logical_or.accumulate(failed & ~np.isnan(differences), axis=-1)
        low, high = np.where(mixed, -np.inf, low), np.where(mixed, np.inf, high)
    early = np.arange(differences.shape[-1]) < rule.at_least - 1
    p = np.minimum.accumulate(np.where(early, 1.0, p), axis=-1)
    low, high = np.where(early, -np.inf, low), np.where(early, np.inf, high)
    # Where trials failed, cells may differ in how often they do, which no interval tells.
    equal = ~np.logical_or.accumulate(failed, axis=-1)
    margin = rule.practically_equal or 0.0
    if rule.assumes == "normal":
        equal &= (low > -margin) & (high < margin)
    elif seen is None:
        equal &= False
    else:
        equal &= largest_mean(differences, low, high, margin, rule.alpha, seen.loss) < margin
    return Evidence(log_e, p, low, high, equal)


def decide(found: Evidence, rule: UntilDecided) -> tuple[Integers, Integers]:
    """Decide families of comparisons look by look, all of a family after the same pair.

    At each look a comparison is decided, and stays so, if it is ``equal``, or else if its p,
    corrected by Holm's method over the whole family, is at most ``alpha`` (different). What is
    decided keeps the p that it had then, so that trials beyond a decision change nothing.

    Args:
        found: the evidence, with the comparisons of a family on the second axis from the end. If
            one has fewer pairs than another, its last look is repeated.

    Returns:
        ``UNDECIDED``, ``DIFFERENT`` or ``EQUAL``, and the look, from 1; the last one if undecided.
    """
    verdicts = np.zeros(found.p.shape[:-1], dtype=np.int64)
    looks = np.full(verdicts.shape, found.p.shape[-1])
    p = np.ones(verdicts.shape)
    for look in range(found.p.shape[-1]):
        undecided = verdicts == UNDECIDED
        p = np.where(undecided, found.p[..., look], p)
        equal = found.equal[..., look]
        decided = undecided & (equal | (holm(p) <= rule.alpha))
        verdicts = np.where(decided, np.where(equal, EQUAL, DIFFERENT), verdicts)
        looks = np.where(decided, look + 1, looks)
    return verdicts, looks


def _running(differences: Floats) -> tuple[Integers, Floats, Floats]:
    """Number, mean and standard deviation (n - 1) of the differences so far that count."""
    counted = ~np.isnan(differences)
    n = counted.cumsum(axis=-1)
    if not n.size:
        return n, differences, differences
    some = np.maximum(n, 1)
    # Relative to the first one, so that large means with little spread do not cancel.
    first = counted.argmax(axis=-1, keepdims=True)
    origin = np.nan_to_num(np.take_along_axis(differences, first, axis=-1))
    d = np.where(counted, differences - origin, 0.0)
    total, squares = d.cumsum(axis=-1), (d * d).cumsum(axis=-1)
    variance = np.maximum(squares - total * total / some, 0.0) / np.maximum(n - 1, 1)
    return n, origin + total / some, np.sqrt(variance)
