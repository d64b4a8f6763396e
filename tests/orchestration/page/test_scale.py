"""Scales end at round numbers, whatever is measured."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.page.drawing.scale import axis_of, ends_of, near_the_best

LOSS, SCORE = Metric("loss", "minimize"), Metric("score", "maximize")
NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([1.1, 2.3], (1.0, 2.5)),
        ([0.013, 0.0171], (0.013, 0.018)),
        ([-5.0, 1234.0], (-500.0, 1500.0)),
        ([3.0], (2.95, 3.05)),
        ([0.0], (-1.0, 1.0)),
        ([], (0.0, 1.0)),
    ],
)
def test_ends_of_own_metrics(values: list[float], ends: tuple[float, float]) -> None:
    assert ends_of(values, LOSS) == pytest.approx(ends)


@given(NUMBERS)
def test_all_lies_between_the_ends(values: list[float]) -> None:
    low, high = ends_of(values, LOSS)
    slack = 1e-6 * max(abs(low), abs(high), 1e-9)
    assert low <= min(values) + slack
    assert high >= max(values) - slack
    axis = axis_of(values, LOSS)
    assert all(-1e-6 <= axis.part(value) <= 1 + 1e-6 for value in (*values, *axis.marks))
    assert 2 <= len(axis.marks) <= 8


def test_far_apart_an_axis_has_powers_of_ten() -> None:
    axis = axis_of([0.02, 40.0], LOSS)
    assert axis.marks == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert axis.part(1.0) == pytest.approx(0.5)
    assert axis_of([0.02, 0.9], LOSS).part(0.0) == pytest.approx(0)


def test_an_axis_of_accuracies_ends_where_they_do() -> None:
    assert axis_of([45.0, 99.0], TEST_ACCURACY).marks == [40, 60, 80, 100]
    assert axis_of([95.2, 99.1], TEST_ACCURACY).marks == [95, 96, 97, 98, 99, 100]
    assert axis_of([100.0, 100.0], TEST_ACCURACY).marks == [99, 100]
    assert axis_of([0.0, 0.0], TEST_ACCURACY).marks[0] == 0
    assert ends_of([0.941, 0.995], TEST_ACCURACY) == pytest.approx((0.94, 1.0))


def test_the_kind_of_an_axis_can_be_chosen() -> None:
    assert axis_of([0.02, 40.0], LOSS, "linear").part(20.0) == pytest.approx(20 / 40)
    close = axis_of([0.3, 2.0], LOSS, "logarithmic")
    assert close.marks == pytest.approx([0.2, 0.5, 1, 2])
    assert close.part(0.2) == 0
    assert close.part(2.0) == pytest.approx(1)
    assert axis_of([0.0, 10.0], LOSS, "logarithmic").part(0.0) == 0  # at the lower end
    assert axis_of([-1.0, 0.0], LOSS, "logarithmic").marks == axis_of([-1.0, 0.0], LOSS).marks


def test_what_has_run_away_takes_no_colours_from_the_others() -> None:
    assert near_the_best([1.0, 1.2, 1.4, 900.0], LOSS) == [1.0, 1.2, 1.4]
    assert near_the_best([1.0, 1.2, 1.4, -900.0], SCORE) == [1.0, 1.2, 1.4]
    assert near_the_best([1.0, 1.0, 1.0, 2.0], LOSS) == [1.0, 1.0, 1.0, 2.0]
    assert near_the_best([0.1, 0.9, 0.9, 0.9], TEST_ACCURACY) == [0.1, 0.9, 0.9, 0.9]
    assert near_the_best([], LOSS) == []
    assert math.isfinite(ends_of(near_the_best([5.0, 5.0, 5.0], LOSS), LOSS)[0])
