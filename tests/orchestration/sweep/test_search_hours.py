"""For how many settings the hours of a search are enough."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from searched import searched

from orchestration.errors import SpecError
from orchestration.sweep.continued import continued
from orchestration.sweep.search import Search
from orchestration.sweep.search_cost import search_cost
from orchestration.sweep.search_hours import RoundTimes, affordable, with_bought
from orchestration.sweep.spec import SweepSpec

MINUTE_EPOCHS = RoundTimes(epochs=3, epoch_seconds=60.0)


def by_hours(hours: float = 1.0, **search: Any) -> SweepSpec:
    return searched(**{"trials": None, "gpu_hours": hours, "round": 4, **search})


def search_of(spec: SweepSpec) -> Search:
    assert spec.search is not None
    return spec.search


@pytest.mark.parametrize(
    ("hours", "search", "reserved", "settings"),
    [
        (1.0, {}, 1.0, 20),  # 60 minutes of 3 an entire setting
        (1.0, {}, 2.0, 10),
        (1.0, {}, 0.25, 80),
        (1.0, {"seeds": 2}, 1.0, 10),
        (0.01, {}, 1.0, 4),  # the first round is trained in any case
        (1e9, {}, 1.0, 1000),
        # Of n settings, half train 2 epochs beyond their first one: 2 n minutes. The first round
        # has trained 4, which may be of settings that others then surpass.
        (1.0, {"prune": {"keep": 0.5, "at": [1]}}, 1.0, 28),
    ],
)
def test_hours_are_enough_for_so_many_settings(
    hours: float, search: dict[str, Any], reserved: float, settings: int
) -> None:
    of_spec = search_of(by_hours(hours, **search))
    assert affordable(of_spec, MINUTE_EPOCHS, reserved, 5000) == settings


def test_without_a_possible_time_or_beyond_the_largest_sweep_no_setting_is_bought() -> None:
    search = search_of(by_hours(1e9))
    assert affordable(search, RoundTimes(3, math.inf), 1.0, 5000) == 4
    assert affordable(search, MINUTE_EPOCHS, 1.0, 30) == 30


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_each_cell_begins_with_its_first_round_and_shares_its_points_with_the_others(
    sampler: str,
) -> None:
    spec = by_hours(sampler=sampler)
    assert [len(of_cell) for of_cell in spec.settings()] == [4, 4]
    assert search_cost(spec).may_grow
    bought = with_bought(spec, [MINUTE_EPOCHS, None])
    assert [len(of_cell) for of_cell in bought.settings()] == [20, 4]
    both = with_bought(bought, [None, RoundTimes(3, 30.0)])
    slow, fast = both.settings()
    assert (len(slow), len(fast)) == (20, 40)
    assert [one.values for one in slow] == [one.values for one in fast[:20]]
    assert not search_cost(both).may_grow
    assert slow == searched(trials=20, sampler=sampler).settings()[0]


def test_the_record_has_the_number_and_a_sweep_goes_on_with_it() -> None:
    spec = by_hours()
    half = with_bought(spec, [MINUTE_EPOCHS, None])
    recorded = SweepSpec.from_json(half.to_json())
    assert recorded == half
    assert recorded.settings() == half.settings()
    assert continued(spec, recorded) == half
    larger = continued(by_hours(2.0), recorded)
    assert search_of(larger).bought is None, "other hours are enough for another number"
    assert search_of(continued(by_hours(round=5), recorded)).bought is None
    assert search_of(continued(searched(trials=9), recorded)).counts(2) == [9, 9]


def test_a_recorded_number_makes_no_spec_that_cannot_be_read() -> None:
    spec = by_hours(1e9)
    grid = [{"architecture": "ann", "norm": ["none"], "width": list(range(1, 101))}]
    wide = SweepSpec.from_dict({**json.loads(spec.to_json()), "grid": grid})
    bought = with_bought(wide, [MINUTE_EPOCHS] * 100)
    assert search_of(SweepSpec.from_json(bought.to_json())).bought == (98,) * 100  # 10,000 trials


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"trials": 3}, "search: needs either trials, the settings of each cell, or gpu_hours, the "
                        "hours of each cell: got both"),
        ({"gpu_hours": None}, "the hours of each cell: got neither"),
        ({"gpu_hours": 0}, "search.gpu_hours: must be greater than 0, got 0"),
        ({"gpu_hours": "2 h"}, "search.gpu_hours: must be a number, got '2 h'"),
        ({"bought": [3]}, "search.bought: must have a number for each of the 2 cells"),
        ({"bought": [0, 3]}, "search.bought: is for the record of a sweep alone: leave it out"),
        ({"trials": 3, "gpu_hours": None, "bought": [3, 3]}, "search.bought: must have a number"),
    ],
)  # fmt: skip
def test_what_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        by_hours(**search)
    assert message in str(error.value)
