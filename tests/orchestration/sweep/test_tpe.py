"""The rounds of settings that ``tpe`` draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from searched import searched

from orchestration.errors import SpecError
from orchestration.sweep.continued import continued
from orchestration.sweep.points import Setting
from orchestration.sweep.search_cost import search_cost
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.tpe import with_next_round

SPACE: dict[str, Any] = {
    "momentum": {"uniform": [0.0, 0.9]},
    "learning_rate": {"log": [1e-4, 1.0]},
    "batch_size": {"uniform": [8, 64]},
    "optimizer": ["adam", "sgd"],
}


def tpe(**search: Any) -> SweepSpec:
    return searched(**{"sampler": "tpe", "space": SPACE, "trials": 40, "round": 8, **search})


def near_a_hundredth(setting: Setting) -> float:
    return -abs(math.log10(setting.values["learning_rate"]) + 2)


def to_the_end(
    spec: SweepSpec, score: Callable[[Setting], float] = near_a_hundredth, rounds: int = 100
) -> SweepSpec:
    for _ in range(rounds):
        scores = [[score(one) for one in of_cell] for of_cell in spec.settings()]
        further = with_next_round(spec, scores)
        if further == spec:
            break
        spec = further
    return spec


def test_the_first_round_is_of_sobols_sequence_and_the_others_are_near_the_best() -> None:
    spec = to_the_end(tpe())
    first, other = spec.settings()
    assert [one.values for one in first[:8]] == [
        one.values for one in tpe(sampler="sobol", trials=8, round=None).settings()[0]
    ]
    assert [one.number for one in first] == list(range(1, 41))
    assert len({one.config for one in first}) == 40
    begin, end = (sum(map(near_a_hundredth, part)) / 8 for part in (first[:8], first[32:]))
    assert begin < -0.9
    assert end > -0.6
    assert [one.values for one in other] == [one.values for one in first], "the scores are equal"
    for one in first:
        assert ("momentum" in one.values) == (one.values["optimizer"] == "sgd")
        assert isinstance(one.values["batch_size"], int)
        assert float(f"{one.values['learning_rate']:.4g}") == one.values["learning_rate"]


def test_a_round_is_drawn_once_all_settings_have_ended_and_is_the_same_whenever_it_is() -> None:
    spec = tpe()
    scores: list[list[float | None]] = [[0.1 * n for n in range(8)] for _ in range(2)]
    waiting = [scores[0], [*scores[1][:7], None]]
    half = with_next_round(spec, waiting)
    assert [len(of_cell) for of_cell in half.settings()] == [16, 8]
    assert with_next_round(spec, waiting) == half
    whole = with_next_round(half, [[*scores[0], *[None] * 8], scores[1]])
    assert whole == with_next_round(spec, scores)
    assert with_next_round(whole, [[*of_cell, *[None] * 8] for of_cell in scores]) == whole


def test_the_record_has_what_was_drawn_and_a_sweep_goes_on_from_it() -> None:
    spec = to_the_end(tpe(), rounds=2)
    recorded = SweepSpec.from_json(spec.to_json())
    assert recorded == spec
    assert recorded.settings() == spec.settings()
    assert "drawn" not in tpe().to_json()
    assert continued(tpe(), recorded) == spec
    larger = continued(tpe(trials=48), recorded)
    assert larger.settings() == spec.settings()
    assert to_the_end(larger).settings()[0][:24] == spec.settings()[0]
    assert to_the_end(continued(tpe(trials=20), recorded)).settings()[0] == spec.settings()[0][:20]
    assert continued(tpe(round=4), recorded) == tpe(round=4)


def test_a_space_with_few_settings_is_used_up_and_no_setting_comes_twice() -> None:
    spec = tpe(space={"batch_size": [8, 16, 32], "init": ["default", "kaiming"]}, round=4)
    assert spec.setting_counts() == [6, 6]
    whole = to_the_end(spec, lambda one: float(one.values["batch_size"]))
    assert [len({one.config for one in of_cell}) for of_cell in whole.settings()] == [6, 6]
    assert search_cost(spec).settings == 12


def test_a_setting_without_a_finite_score_counts_as_the_worst() -> None:
    def score(setting: Setting) -> float:
        return -math.inf if setting.values["learning_rate"] > 0.01 else 0.5

    settings = to_the_end(tpe(), score).settings()[0]
    too_large = [one.values["learning_rate"] > 0.01 for one in settings]
    assert sum(too_large[:8]) == 4
    assert sum(too_large[8:]) < 12


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"prune": {"keep": 0.5, "at": [1]}}, "search.prune: needs sampler: sobol or random"),
        ({"sampler": "sobol"}, "search.round: needs sampler: tpe, whose settings come in rounds"),
        ({"round": 1}, "search.round: must be at least 2, got 1"),
        ({"drawn": 3}, "search.drawn: is for the record of a sweep alone: leave it out"),
        ({"drawn": [[]]}, "search.drawn: must have the settings of each of the 2 cells, got"),
        ({"drawn": [[{"init": "x"}], []]}, "search.drawn: has a setting that no cell can have"),
    ],
)
def test_what_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        tpe(**search)
    assert message in str(error.value)


def test_drawn_settings_of_a_record_that_nobody_can_have_are_refused() -> None:
    data = json.loads(to_the_end(tpe(), rounds=1).to_json())
    data["search"]["drawn"][0][0]["learning_rate"] = "fast"
    with pytest.raises(SpecError, match="has a setting that no cell can have"):
        SweepSpec.from_json(json.dumps(data))
