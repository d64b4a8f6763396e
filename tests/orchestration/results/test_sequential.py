"""E-values, the interval and the decisions, against other ways to the same numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestration.results.deciding.sequential import (
    DIFFERENT,
    EQUAL,
    UNDECIDED,
    Evidence,
    decide,
    evidence,
    failure_log_e,
    shift_interval,
    sign_log_e,
    student_interval,
    student_log_e,
)
from orchestration.results.deciding.spending import nominal_levels, spent
from orchestration.results.deciding.unseen import Seen, seen_in
from orchestration.sweep.stopping import UntilDecided

accuracies = st.floats(-1, 1).map(lambda value: round(value, 4))
some_differences = st.lists(accuracies, min_size=1, max_size=12).map(np.array)


def rule(**keys: Any) -> UntilDecided:
    return UntilDecided(until="decided", **keys)


def no_failures(like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.zeros(like.shape, dtype=bool)


# The e-value of Student's case


def test_student_s_e_value_is_the_mixture_integrated_numerically() -> None:
    d = np.array([0.3, -0.1, 0.4, 0.25, 0.05, 0.31])
    for n in range(2, len(d) + 1):
        part = d[:n]
        t = part.mean() / (part.std(ddof=1) / math.sqrt(n))

        def integrand(effect: float, n: int = n, t: float = t) -> float:
            ratio = scipy.stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) / scipy.stats.t.pdf(
                t, n - 1
            )
            return float(ratio * scipy.stats.norm.pdf(effect))

        integral, _ = scipy.integrate.quad(integrand, -9, 9, epsabs=1e-10)
        assert np.exp(student_log_e(d)[n - 1]) == pytest.approx(integral, rel=1e-6)


@given(some_differences, st.sampled_from([-1e3, 1e-3, 7.0]))
def test_student_s_e_value_knows_no_unit_and_no_direction(d: Any, scale: float) -> None:
    assert student_log_e(d * scale) == pytest.approx(student_log_e(d), rel=1e-9, abs=1e-9)


def test_student_s_e_value_at_its_edges() -> None:
    assert student_log_e(np.array([0.7]))[0] == pytest.approx(0, abs=1e-12)
    # All alike: S² = nV, and the closed form is ((n + 1))^((n - 1)/2).
    n = np.arange(1, 8)
    assert np.exp(student_log_e(np.full(7, 0.3))) == pytest.approx((n + 1) ** ((n - 1) / 2))
    # Nothing but zeros: 0/0, which counts as the smallest value.
    assert np.exp(student_log_e(np.zeros(7))) == pytest.approx(1 / np.sqrt(n + 1))
    assert np.exp(student_log_e(np.full(7, 1e-170))[-1]) == pytest.approx(1 / math.sqrt(8))
    assert np.isfinite(student_log_e(np.full(200, 1.0))).all()


def test_a_pair_that_does_not_count_leaves_it_as_it_was() -> None:
    d = np.array([0.3, np.nan, 0.1, np.nan])
    counted = student_log_e(np.array([0.3, 0.1]))
    assert student_log_e(d).tolist() == [counted[0], counted[0], counted[1], counted[1]]


@given(some_differences, st.sampled_from([0.05, 0.01, 0.5]))
def test_the_interval_is_the_e_value_turned_round(d: Any, alpha: float) -> None:
    assume(np.ptp(d) > 0.01)
    low, high = student_interval(d, alpha)
    for n in range(1, len(d) + 1):

        def above(mean: float, n: int = n) -> float:
            return float(student_log_e(d[:n] - mean)[-1] + math.log(alpha))

        if not np.isfinite(high[n - 1]):
            # No mean whatever is refuted.
            assert max(above(mean) for mean in (-1e9, 1e9, -5.0, 5.0)) < 1e-9
        elif low[n - 1] == high[n - 1]:
            assert np.ptp(d[:n]) == 0
        else:
            centre = d[:n].mean()
            for end in (low[n - 1], high[n - 1]):
                assert above(end) == pytest.approx(0, abs=1e-5)
                assert above(centre + 0.99 * (end - centre)) < 0
                assert above(centre + 1.01 * (end - centre)) > 0


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy tails", "discrete"])
@pytest.mark.parametrize("n", [7, 10, 30])
def test_the_interval_of_shifts_holds_every_shift_that_signs_do_not_reject(
    shape: str, n: int
) -> None:
    generator = np.random.default_rng(n)
    d = {
        "normal": lambda: 0.01 * generator.standard_normal(n),
        "skewed": lambda: 0.01 * (generator.exponential(size=n) - 1),
        "heavy tails": lambda: 0.01 * generator.standard_t(2, n),
        "discrete": lambda: 0.01 * generator.choice([-1.0, 1.0, 0.0], size=n),
    }[shape]()
    low, high = shift_interval(d, 0.02)
    width = high - low
    shifts = np.linspace(low - 3 * width, high + 3 * width, 7001)
    accepted = shifts[sign_log_e(d - shifts[:, None])[:, -1] < math.log(50)]
    assert low == pytest.approx(accepted.min(), abs=width / 500)
    assert high == pytest.approx(accepted.max(), abs=width / 500)
    assert np.exp(sign_log_e(d - low)[-1]) == pytest.approx(50, rel=1e-3)
    assert np.exp(sign_log_e(d - high)[-1]) == pytest.approx(50, rel=1e-3)


def test_the_interval_of_shifts_has_ends_as_soon_as_equal_signs_reject() -> None:
    d = np.array([0.3, 0.1, 0.4, 0.2, 0.5, 0.25, 0.35])
    assert shift_interval(d[:5], 0.05) == (-np.inf, np.inf)  # 2⁴ is below 20
    low, high = shift_interval(d[:6], 0.05)
    assert 0 < low < 0.1 < 0.5 < high
    assert shift_interval(d[:6], 0.05 / 3) == (-np.inf, np.inf)
    assert np.isfinite(shift_interval(d, 0.05 / 3)).all()
    assert shift_interval(np.insert(d, 2, np.nan), 0.05) == shift_interval(d, 0.05)
    assert shift_interval(np.zeros(0), 0.05) == (-np.inf, np.inf)


def test_an_interval_s_ends_with_large_means_and_little_spread() -> None:
    low, high = student_interval(0.7 + np.array([1e-7, -1e-7] * 5), 0.05)
    small_low, small_high = student_interval(np.array([1e-7, -1e-7] * 5), 0.05)
    assert high[-1] - low[-1] == pytest.approx(small_high[-1] - small_low[-1], rel=1e-6)
    low, high = student_interval(np.full(6, 0.25), 0.05)
    assert np.isinf(high[:4]).all()
    assert (low[4:], high[4:]) == (pytest.approx(0.25), pytest.approx(0.25))


# The e-value of signs


def all_signs(magnitudes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The magnitudes with each of their 2^n signs."""
    signs = itertools.product([-1.0, 1.0], repeat=len(magnitudes))
    return np.array(list(signs)) * magnitudes


@given(st.lists(st.sampled_from([0.0, 1e-4, 0.003, 0.01, 0.7, 1e150]), min_size=1, max_size=9))
def test_its_mean_over_all_signs_is_one_at_every_look(magnitudes: list[float]) -> None:
    e_values = np.exp(sign_log_e(all_signs(np.array(magnitudes))))
    assert e_values.mean(axis=0) == pytest.approx(1, rel=1e-12)


def test_however_one_stops_its_mean_over_all_signs_is_one() -> None:
    e_values = np.exp(sign_log_e(all_signs(np.array([0.1, 0.3, 0.0, 0.2, 0.2, 5.0, 0.1, 0.4]))))
    for bound in (1.2, 2.0, 5.0, 20.0):
        crossed = e_values >= bound
        stop = np.where(crossed.any(axis=1), crossed.argmax(axis=1), -1)
        assert np.take_along_axis(e_values, stop[:, None], axis=1).mean() == pytest.approx(1)
        assert crossed.any(axis=1).mean() <= 1 / bound


def test_differences_and_failures_together_too_have_the_mean_one() -> None:
    # Six pairs, each exchanged or not: learned, failed in one, learned, failed in both, …
    d = np.array([0.01, 0.8, 0.02, 0.001, -0.7, 0.01])
    first = np.array([False, False, False, True, True, False])
    second = np.array([False, True, False, True, False, False])
    exchanged = np.array(list(itertools.product([False, True], repeat=6)))
    found = evidence(
        np.where(exchanged, -d, d),
        np.where(exchanged, second, first),
        np.where(exchanged, first, second),
        rule(assume="exchangeable", at_least=2),
        1,
        None,
    )
    assert np.exp(found.log_e).mean(axis=0) == pytest.approx(1)
    assert np.ptp(found.log_e[:, -1]) > 1


@given(some_differences, st.sampled_from([-1e3, 1e-3, 1e200]))
def test_the_e_value_of_signs_knows_no_unit_and_no_direction(d: Any, scale: float) -> None:
    assert sign_log_e(d * scale) == pytest.approx(sign_log_e(d), rel=1e-9, abs=1e-9)


def test_a_tie_or_a_pair_that_does_not_count_leaves_signs_as_they_were() -> None:
    counted = sign_log_e(np.array([0.3, 0.1]))
    d = np.array([0.0, 0.3, np.nan, 0.1, 0.0])
    assert sign_log_e(d).tolist() == [0, counted[0], counted[0], counted[1], counted[1]]
    assert sign_log_e(np.zeros((2, 3))).tolist() == [[0.0] * 3] * 2
    assert sign_log_e(np.zeros((2, 0))).shape == (2, 0)


def test_signs_all_alike_nearly_double_it_with_each_pair() -> None:
    e_values = np.exp(sign_log_e(np.full(9, 0.3)))
    assert e_values[0] == 1
    assert (e_values <= 2.0 ** np.arange(9)).all()
    assert (e_values >= 0.94 * 2.0 ** np.arange(9)).all()


def test_differences_of_one_image_either_way_are_not_told_apart() -> None:
    coins = np.random.default_rng(4).choice([-1e-4, 1e-4], size=(5_000, 3, 40))
    none = no_failures(coins)
    wrong = {}
    for name in ("exchangeable", "normal"):
        how = rule(assume=name)
        verdicts, _ = decide(evidence(coins, none, none, how, 3, None), how)
        wrong[name] = (verdicts == DIFFERENT).any(axis=1).mean()
    assert wrong["exchangeable"] < 0.05 < 0.09 < wrong["normal"]


# What equal assumes of unseen seeds


def test_what_certain_seeds_show_of_spread_and_losses() -> None:
    cells = np.array([[0.90, 0.92, 0.94], [0.80, 0.81, 0.79], [0.1, 0.1, 0.95]])
    failed = np.array([[False] * 3, [False] * 3, [True, True, False]])
    spread, loss = seen_in(cells, failed)
    assert spread == pytest.approx(0.015)  # the median of 2 points and 1; one seed has none
    assert loss == pytest.approx(0.95 - 0.1)
    spread, loss = seen_in(cells[:2], failed[:2])
    assert (spread, loss) == (pytest.approx(0.015), pytest.approx(0.02))
    # Failed seeds of own training code have no value.
    own = np.where(failed, np.nan, cells)
    assert seen_in(own, failed).loss == pytest.approx(0.02)
    nothing = seen_in(np.full((2, 3), np.nan), np.ones((2, 3), dtype=bool))
    assert (float(nothing.spread), float(nothing.loss)) == (0, 0)


def test_pairs_that_happen_to_agree_are_not_equal() -> None:
    d, calm = np.zeros((1, 80)), Seen(np.float64(0.007), np.float64(0.02))

    def looks_equal(seen: Seen | None, assume: str = "exchangeable") -> list[int]:
        how = rule(assume=assume, practically_equal=0.01, at_most=80)
        found = evidence(d, no_failures(d), no_failures(d), how, 3, seen)
        return (np.flatnonzero(found.equal[0]) + 1).tolist()

    assert looks_equal(None, "normal")[0] == 6
    # 1 - 0.05^(1/n) of seeds may lose ten margins, until n is 29; the spread of cells adds to it.
    assert 29 < looks_equal(calm)[0] < 60
    assert looks_equal(calm._replace(spread=np.float64(0.0)))[0] == 29
    assert looks_equal(calm._replace(loss=np.float64(0.8))) == []
    assert looks_equal(None) == []


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_loss_that_a_few_seeds_suffer_is_seldom_called_equal(share: float) -> None:
    """Its mean is exactly the margin."""
    generator = np.random.default_rng(5)
    lost = np.where(generator.random((2_000, 80)) < share, -0.01 / share, 0.0)
    d = lost + 0.001 * generator.standard_normal(lost.shape)
    how = rule(assume="exchangeable", practically_equal=0.01, at_most=80)
    calm = Seen(np.full(2_000, 0.001), np.full(2_000, 0.002))
    found = evidence(d, no_failures(d), no_failures(d), how, 3, calm)
    assert found.equal.any(axis=1).mean() < 0.05


# The e-value of failures


def test_the_e_value_of_failures_by_hand() -> None:
    first, second = np.array([[True, True, False], [False, False, False]])
    # ½ and ½; then ¾ and ¼; then (2½)/3 and ½/3; each against the mean of both, ½.
    expected = np.cumprod([1, 0.75 * 0.75 / 0.25, (1 / 6) * (5 / 6) / 0.25])
    assert np.exp(failure_log_e(first, second)) == pytest.approx(expected)
    assert np.exp(failure_log_e(second, first)) == pytest.approx(expected)


@pytest.mark.parametrize("probability", [0.01, 0.3, 0.5, 0.9])
def test_the_e_value_of_failures_is_a_supermartingale(probability: float) -> None:
    # Its expectation after four pairs, over all 256 outcomes, if both fail alike.
    outcomes = np.array(list(itertools.product([False, True], repeat=8))).reshape(-1, 2, 4)
    weights = np.where(outcomes, probability, 1 - probability).prod(axis=(1, 2))
    e_values = np.exp(failure_log_e(outcomes[:, 0], outcomes[:, 1]))
    assert ((weights[:, None] * e_values).sum(axis=0) <= 1 + 1e-12).all()
    assert weights @ e_values[:, -1] > 0.3


def test_without_failures_it_says_nothing() -> None:
    none = np.zeros(9, dtype=bool)
    assert (failure_log_e(none, none) == 0).all()


# Spending


def test_boundaries_as_published() -> None:
    # Lan and DeMets with O'Brien and Fleming's shape, five looks, α = 0.05 on two sides.
    z = scipy.stats.norm.isf(nominal_levels(0.05, 1, 5) / 2)
    assert z == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)


def test_what_is_spent_is_the_level_at_its_boundary() -> None:
    for alpha in (0.05, 0.05 / 3, 1e-4):
        levels = nominal_levels(alpha, 5, 20)
        assert spent(levels, 5, 20)[4:] == pytest.approx(alpha)
    assert (spent(np.zeros(20), 5, 20)[:4] == 1).all()
    assert (spent(np.full(20, np.nan), 5, 20) == 1).all()


def test_normal_looks_err_as_often_as_is_spent() -> None:
    walks = np.random.default_rng(1).standard_normal((40_000, 20)).cumsum(axis=1)
    p = 2 * scipy.stats.norm.sf(np.abs(walks) / np.sqrt(np.arange(1, 21)))
    for alpha in (0.05, 0.2):
        rejected = (p <= nominal_levels(alpha, 2, 20)).any(axis=1).mean()
        assert rejected == pytest.approx(alpha, abs=4 * math.sqrt(alpha / 40_000))


# Evidence and decisions


def test_ville_s_bound_holds_and_is_not_idle() -> None:
    d = np.random.default_rng(2).standard_normal((20_000, 200))
    found = evidence(d, no_failures(d), no_failures(d), rule(at_most=200, at_least=2), 1, None)
    for alpha in (0.05, 0.2, 0.5):
        crossed = (found.p[:, -1] <= alpha).mean()
        assert 0.4 * alpha < crossed < alpha
    # The interval is the same statement: it misses the mean where p has been small enough.
    missed = ((found.low > 0) | (found.high < 0)).any(axis=1)
    assert (missed == (found.p[:, -1] <= 0.05)).all()


def test_nothing_is_known_before_at_least() -> None:
    d = np.full(12, 0.5)
    for method in ("sequential", "spending"):
        found = evidence(d + np.arange(12) * 1e-6, no_failures(d), no_failures(d),
                         rule(at_least=7, at_most=12, method=method), 1, None)  # fmt: skip
        assert (found.p[:6] == 1).all()
        assert np.isinf(found.low[:6]).all()
        assert found.p[-1] < 0.01
        assert np.isfinite(found.low[7:]).all()


def test_failures_and_differences_multiply_and_take_the_interval_away() -> None:
    d = np.array([0.01, 0.02, 0.9, 0.01, 0.02, 0.03])
    failed = np.array([False, False, True, False, False, False])
    found = evidence(d, no_failures(d), failed, rule(at_least=2), 1, None)
    rest = student_log_e(d[~failed])
    assert found.log_e[[0, 1]] == pytest.approx(rest[[0, 1]])
    assert found.log_e[3:] == pytest.approx(rest[2:] + failure_log_e(~failed & failed, failed)[3:])
    assert np.isinf(found.high[2:]).all()


def test_a_network_that_never_learns_is_decided_at_the_fifth_seed() -> None:
    d = np.full((3, 6), -0.7)
    always = np.ones(d.shape, dtype=bool)
    found = evidence(d, always, no_failures(d), rule(), 3, None)
    verdicts, looks = decide(found, rule())
    assert (verdicts.tolist(), looks.tolist()) == ([DIFFERENT] * 3, [5] * 3)


def given_p(*p: list[float]) -> Evidence:
    values = np.array(p)
    wide = np.full(values.shape, np.inf)
    return Evidence(np.zeros(values.shape), values, -wide, wide, wide < 0)


def test_holm_over_the_whole_family_at_each_look() -> None:
    found = given_p([0.04, 0.04, 0.04], [1, 0.02, 0.02], [1, 1, 0.5])
    verdicts, looks = decide(found, rule())
    # 0.02 · 3 is too much, for ever: nothing is found.
    assert verdicts.tolist() == [UNDECIDED] * 3
    found = given_p([0.04, 0.04, 0.04], [1, 0.016, 0.016], [1, 1, 0.024])
    verdicts, looks = decide(found, rule())
    assert verdicts.tolist() == [UNDECIDED if one else DIFFERENT for one in (0, 0, 0)]
    assert looks.tolist() == [3, 2, 3]


def test_an_interval_within_the_margin_is_equal_even_where_it_lies_beside_zero() -> None:
    found = given_p([1.0, 0.001, 0.001])
    inside = found._replace(equal=np.array([[False, True, False]]))
    verdicts, looks = decide(inside, rule(practically_equal=0.005))
    assert (verdicts.tolist(), looks.tolist()) == ([EQUAL], [2])
    verdicts, looks = decide(found, rule())
    assert (verdicts.tolist(), looks.tolist()) == ([DIFFERENT], [2])


def test_what_was_decided_as_equal_wins_no_step_later() -> None:
    found = given_p([1, 1e-9, 1e-9], [1, 1, 0.04])
    equal_first = found._replace(equal=np.array([[True] * 3, [False] * 3]))
    verdicts, looks = decide(equal_first, rule(practically_equal=0.005))
    assert (verdicts.tolist(), looks.tolist()) == ([EQUAL, UNDECIDED], [1, 3])
