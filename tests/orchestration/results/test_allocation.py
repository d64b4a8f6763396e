"""Which seed is bought next, and that the order of buying decides nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import spec

from orchestration.results.deciding.allocation import expected_growth, next_allocation, seeds_wanted
from orchestration.results.deciding.forecast import Cost, forecast
from orchestration.results.deciding.hours import hours_unit, trial_hours
from orchestration.results.deciding.sequential import evidence
from orchestration.results.deciding.state import DecisionState, Pairs, decision_state
from orchestration.sweep.spec import SweepSpec

NORMS = ["none", "bntt", "homeostatic", "tebn"]
PAIRS = [{"norm": ["none", "bntt"]}, {"norm": ["homeostatic", "tebn"]}]
Places = set[tuple[int, int]]


def sweep(compare: Any = PAIRS, **keys: Any) -> SweepSpec:
    seeds = {"until": "decided", "at_least": 3, "at_most": 20, **keys}
    grid = [{"architecture": "snn", "norm": NORMS, "width": 8}]
    return SweepSpec.from_dict(spec(seeds=seeds, compare=compare, grid=grid))


def accuracy(cell: int, seed: int, effects: Sequence[float]) -> float:
    return float(0.9 + 0.01 * (effects[cell] + np.random.default_rng([cell, seed]).normal()))


def table_of(wanted: SweepSpec, ended: Places, effects: Sequence[float]) -> dict[int, pd.DataFrame]:
    found = {}
    for cell in range(len(wanted.cells())):
        rows = [
            (seed, accuracy(cell, seed, effects), "completed")
            for number, seed in sorted(ended)
            if number == cell
        ]
        columns = ["seed", "best_test_accuracy", "outcome"]
        found[cell] = pd.DataFrame(rows, columns=columns).set_index("seed")
    return found


def stand(wanted: SweepSpec, ended: Places, effects: Sequence[float]) -> DecisionState:
    return decision_state(wanted, table_of(wanted, ended, effects))


def first(wanted: SweepSpec, n: int) -> Places:
    return {(cell, seed) for cell in range(4) for seed in wanted.seed_order()[:n]}


FAR_AND_NEAR = (0.0, 6.0, 0.0, 0.5)


def test_what_promises_more_evidence_for_an_hour_is_bought_first() -> None:
    wanted = sweep()
    order, ended = wanted.seed_order(), first(wanted, 3)
    now = stand(wanted, ended, FAR_AND_NEAR)
    assert not now.verdicts.any()
    bought = next_allocation(wanted, now, [1.0] * 4, given=ended)
    assert bought == (0, 4, ((0, order[3]), (1, order[3])))
    # As expensive as that, its evidence is not worth it; and the longer trial starts first.
    bought = next_allocation(wanted, now, [1.0, 1e6, 1.0, 2.0], given=ended)
    assert bought == (1, 4, ((3, order[3]), (2, order[3])))
    # Half of it is there already.
    half = ended | {(1, order[3])}
    bought = next_allocation(wanted, now, [1.0, 1e6, 1.0, 2.0], given=half)
    assert bought == (0, 4, ((0, order[3]),))


def test_nobody_runs_ahead_before_all_have_their_next_pair_nor_by_more_than_two() -> None:
    wanted = sweep()
    ended = first(wanted, 3)
    now, given = stand(wanted, ended, FAR_AND_NEAR), set(ended)
    bought = []
    while one := next_allocation(wanted, now, None, given=given):
        bought.append(one)
        given |= set(one.trials)
    assert [(one.comparison, one.pair, len(one.trials)) for one in bought] == [
        (0, 4, 2),
        (1, 4, 2),
        *[(0, pair, 1) for pair in (5, 5, 6, 6)],
        *[(1, pair, 1) for pair in (5, 5, 6, 6)],
    ]
    failed = {(2, wanted.seed_order()[3])}
    others = next_allocation(wanted, now, None, given={*ended, *bought[0].trials}, failed=failed)
    assert others is not None
    assert others.comparison == 0, "what waits for a failed trial gets no seeds"


def test_a_trial_that_serves_two_comparisons_promises_what_both_do() -> None:
    wanted = sweep([{"norm": "none", "against": ["bntt", "homeostatic"]}, PAIRS[1]])
    ended = first(wanted, 3)
    order = wanted.seed_order()
    given = ended | {(1, order[3]), (2, order[3])}
    now = stand(wanted, ended, (0.0, 2.0, 2.0, 4.0))
    growth = [expected_growth(pairs, wanted.seeds, 3) for pairs in now.pairs]  # type: ignore[arg-type]
    hours = [1.5, 1.0, 1.0, 2.0]
    assert max(growth[:2]) / 1.5 < growth[2] / 2 < sum(growth[:2]) / 1.5
    bought = next_allocation(wanted, now, hours, given=given)
    assert bought is not None
    assert bought.trials == ((0, order[3]),)


def test_growth_is_that_of_a_pair_like_those_so_far() -> None:
    wanted = sweep()
    rule: Any = wanted.seeds
    pairs = Pairs((1, 2, 3), np.array([0.01, 0.02, 0.04]), *np.zeros((2, 3), dtype=bool))
    before = evidence(*pairs[1:], rule, 2, None).log_e[-1]
    after = []
    for one in range(3):
        more = [np.append(values, values[one]) for values in pairs[1:]]
        after.append(evidence(*more, rule, 2, None).log_e[-1])  # type: ignore[arg-type]
    assert expected_growth(pairs, rule, 2) == pytest.approx(np.mean(after) - before)
    level = pairs._replace(differences=np.array([0.01, -0.01, 0.0]))
    assert expected_growth(level, rule, 2) == 0
    assert expected_growth(pairs.upto(0), rule, 2) == 0
    spending: Any = sweep(method="spending", at_least=2).seeds
    assert expected_growth(pairs, spending, 2) > 0


def test_a_forecast_of_what_is_certain_what_is_likely_and_the_most() -> None:
    wanted = sweep([PAIRS[0]], at_least=4, at_most=9)  # two of the four cells are compared
    hours = [1.0, 2.0, 4.0, 8.0]
    nothing = forecast(wanted, stand(wanted, set(), FAR_AND_NEAR), None, "core")
    assert nothing.likely is None
    assert (nothing.certain, nothing.most) == (Cost(16, None), Cost(26, None))
    told = forecast(wanted, stand(wanted, first(wanted, 3), FAR_AND_NEAR), hours, "GPU")
    assert (told.certain, told.most) == (Cost(16, 60.0), Cost(26, 75.0))
    assert told.likely == Cost(18, 63.0), "four pairs have no more evidence than 11, five 36"
    near = forecast(wanted, stand(wanted, first(wanted, 3), (0, 1.5, 0, 0)), hours, "GPU")
    assert near.likely is not None
    assert 16 < near.likely.trials <= 26
    equal = forecast(wanted, stand(wanted, first(wanted, 3), (0, 0, 0, 0)), hours, "GPU")
    assert equal.likely == equal.most
    decided = stand(wanted, first(wanted, 9), FAR_AND_NEAR)
    n = int(decided.looks[0])
    assert forecast(wanted, decided, hours, "GPU").likely == Cost(8 + 2 * n, 48.0 + 3 * n)


def test_how_many_seeds_equal_takes_follows_from_the_rule_and_from_records() -> None:
    wanted = sweep(practically_equal=0.01, at_most=200, assume="exchangeable")
    n = 150
    order = wanted.seed_order()
    tables = {}
    for cell in range(4):  # all values alike, but for a spread of one margin in the first seeds
        values = np.full(n, 0.9)
        values[:3] += [-0.01, 0.0, 0.01]
        rows = list(zip(order, values, ["completed"] * n, strict=False))
        columns = ["seed", "best_test_accuracy", "outcome"]
        tables[cell] = pd.DataFrame(rows, columns=columns).set_index("seed")
    decided = decision_state(wanted, tables)
    unknown = forecast(wanted, stand(wanted, set(), FAR_AND_NEAR), None, "core").equal
    known = forecast(wanted, decided, None, "core").equal
    assert unknown is not None
    assert known is not None
    assert (unknown.from_records, known.from_records) == (False, True)
    assert unknown.fewest == 29, "1 - 0.05^(1/n) is below 1/10"
    assert known.fewest == unknown.fewest_with_spread == decided.looks[0]
    cell = tables[0]
    cell.loc[order[0], ["best_test_accuracy", "outcome"]] = [0.1, "collapsed"]
    collapsed = forecast(wanted, decision_state(wanted, tables), None, "core").equal
    assert collapsed is not None
    assert collapsed.fewest is None
    assert forecast(sweep(), stand(sweep(), set(), FAR_AND_NEAR), None, "core").equal is None


@settings(max_examples=15)
@given(
    st.randoms(use_true_random=False),
    st.tuples(*[st.sampled_from([0.0, 0.7, 1.5, 3.0])] * 4),
    st.sampled_from([None, 0.005]),
    st.sampled_from(["sequential", "spending"]),
)
def test_in_whatever_order_seeds_are_bought_the_decisions_are_those_of_all_records(
    chance: random.Random, effects: tuple[float, ...], margin: float | None, method: str
) -> None:
    wanted = sweep([{"norm": NORMS}], at_most=9, practically_equal=margin, method=method)
    hours = [chance.uniform(0.1, 10) for _ in range(4)]
    ended = first(wanted, 3)
    at_work: list[tuple[int, int]] = []
    now = stand(wanted, ended, effects)
    for _ in range(200):
        workers = chance.randint(1, 4)
        while len(at_work) < workers:
            bought = next_allocation(wanted, now, hours, given=ended.union(at_work))
            if bought is None:
                break
            at_work += bought.trials
        if not at_work:
            break
        ended.add(at_work.pop(chance.randrange(len(at_work))))
        now = stand(wanted, ended, effects)
    assert not at_work
    by_cell = table_of(wanted, ended, effects)
    beginnings = [int(n) for n in seeds_wanted(wanted, now, by_cell)]
    assert all(n <= len(by_cell[cell]) for cell, n in enumerate(beginnings)), "nothing is wanted"
    everything = stand(wanted, first(wanted, 9), effects)
    assert now.verdicts.tolist() == everything.verdicts.tolist()
    decided = everything.verdicts != 0
    assert now.looks[decided].tolist() == everything.looks[decided].tolist()


def test_hours_of_a_trial_follow_from_epochs_of_the_nearest_kind() -> None:
    grid = [
        {"architecture": "snn", "norm": ["none", "bntt"], "width": [8, 16], "num_steps": 10},
        {"architecture": "ann", "norm": "none", "width": 8},
    ]
    content = spec(
        grid=grid, epochs=6, resources={"cpu": 2}, stop_when_collapsed={"after_epochs": 3}
    )
    wanted = SweepSpec.from_dict(content)
    assert hours_unit(wanted) == "core"
    assert trial_hours(wanted, []) is None
    epochs = [(0, 30.0, "collapsed"), (0, 60.0, "completed"), (2, 120.0, None)]
    hours = trial_hours(wanted, epochs)
    assert hours is not None
    cores = 2 / 3600
    assert hours[0] == pytest.approx(cores * (30 * 3 + 60 * 6) / 2)
    assert hours[2] == pytest.approx(cores * 120 * 6)
    # Four times as expensive an epoch, by the mean of all three; and an artificial one, a tenth.
    mean = np.mean([30 * 3, 60 * 6, 120 * 6])
    assert hours[1] == pytest.approx(cores * 4 * mean)
    assert hours[4] == pytest.approx(cores * mean / 10)
    with_gpu = SweepSpec.from_dict({**content, "resources": {"cpu": 2, "gpu": 0.25}})
    assert hours_unit(with_gpu) == "GPU"
    assert trial_hours(with_gpu, epochs)[2] == pytest.approx(0.25 * 120 * 6 / 3600)  # type: ignore[index]
