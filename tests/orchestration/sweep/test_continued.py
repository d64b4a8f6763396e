"""A sweep goes on with another space of settings: which are kept, and which are new."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from commands import USERS_FOLDER
from specs import spec as plain_spec

from orchestration.errors import SpecError
from orchestration.sweep.continued import continued, words_on_space
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.tpe import with_next_round

RATE = {"log": [1e-3, 1e-2]}
WIDER = {"log": [1e-4, 1e-2]}
SPACE: dict[str, Any] = {
    "learning_rate": RATE,
    "init": ["default", "kaiming"],
    "threshold": {"uniform": [0.5, 1.5]},
}


def searching(
    trials: int | None = 8, norms: Collection[str] = ("none",), **search: Any
) -> SweepSpec:
    """A sweep of an artificial network, which has no threshold, and of a spiking one."""
    section = {"space": SPACE, "trials": trials, **search}
    return SweepSpec.from_dict(
        plain_spec(
            seeds="absent",
            training={"validation_fraction": 0.2},
            grid=[
                {"architecture": "ann", "norm": list(norms)},
                {"architecture": "snn", "norm": list(norms), "num_steps": 4},
            ],
            search={key: value for key, value in section.items() if value is not None},
            confirm={"seeds": [101, 102]},
        )
    )


def within(**changed: Any) -> dict[str, Any]:
    """The space with these keys changed."""
    return {**SPACE, **changed}


def trained(spec: SweepSpec, upto: int = 1000) -> set[str]:
    """The keys of the trials of the first settings of each cell."""
    return {t.key for of_cell in spec.setting_trials([0]) for ts in of_cell[:upto] for t in ts}


def goes_on(spec: SweepSpec, *before: SweepSpec, upto: int = 1000) -> SweepSpec:
    """The spec after the sweep has run with the ones before, each recorded and trained."""
    recorded, keys = None, set[str]()
    for one in before:
        recorded = SweepSpec.from_json(continued(one, recorded, keys).to_json())
        keys |= trained(recorded, upto)
    return continued(spec, recorded, keys)


def values(spec: SweepSpec, cell: int = 1) -> list[dict[str, Any]]:
    return [dict(setting.values) for setting in spec.settings()[cell]]


def rates(spec: SweepSpec, cell: int = 0) -> list[float]:
    return [one["learning_rate"] for one in values(spec, cell)]


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_a_widened_range_keeps_all_settings_and_takes_new_ones_where_none_was_tried(
    sampler: str,
) -> None:
    before = searching(sampler=sampler)
    wider = goes_on(searching(16, sampler=sampler, space=within(learning_rate=WIDER)), before)
    for cell in range(2):
        assert values(wider, cell)[:8] == values(before, cell)
        assert [one.number for one in wider.settings()[cell]] == list(range(1, 17))
    assert rates(wider, 0) == rates(wider, 1)
    # Half of the wider range was searched before, so 8 settings there are as many as 16 would have.
    below = sum(rate < 1e-3 for rate in rates(wider)[8:])
    assert below == 8 if sampler == "sobol" else below >= 6
    assert words_on_space(wider, before) == [
        "search.space has changed: 16 settings of all cells are kept, 16 are new"
    ]


def test_new_settings_depend_on_the_record_alone_and_a_larger_budget_appends_to_them() -> None:
    wider = searching(12, space=within(learning_rate=WIDER))
    first = goes_on(wider, searching())
    recorded = SweepSpec.from_json(first.to_json())
    assert recorded == first
    assert continued(wider, recorded, trained(recorded)) == first
    assert continued(first, searching(), trained(searching())) == first, "begun, but not recorded"
    larger = continued(searching(24, space=within(learning_rate=WIDER)), recorded)
    assert values(larger)[:12] == values(first)
    assert len(values(larger)) == 24


def test_settings_that_were_not_trained_do_not_count() -> None:
    wider = searching(space=within(learning_rate=WIDER))
    some = goes_on(wider, searching(), upto=3)
    assert values(some)[:3] == values(searching())[:3]
    assert values(some)[3] not in values(searching())
    assert goes_on(wider, searching(), upto=0) == wider
    # One cell that has trained a setting is enough, as all cells have the same points.
    first_cell = {t.key for (t,) in searching().setting_trials([0])[0][:5]}
    assert values(continued(wider, searching(), first_cell))[:5] == values(searching())[:5]


def test_a_narrowed_range_keeps_what_lies_within_in_all_cells_or_in_none() -> None:
    before = searching()
    narrow = goes_on(searching(space=within(threshold={"uniform": [0.5, 1.0]})), before)
    kept = [one for one in values(before) if one["threshold"] <= 1.0]
    assert values(narrow)[: len(kept)] == kept
    assert len(kept) == 4
    assert all(one["threshold"] <= 1.0 for one in values(narrow))
    assert rates(narrow, 0) == rates(narrow, 1), "the artificial network has no threshold"
    assert words_on_space(narrow, before) == [
        "search.space has changed: 8 settings of all cells are kept, 8 are new"
    ]


def test_with_a_budget_that_is_used_up_nothing_is_new_and_the_plan_says_what_to_raise() -> None:
    wider = goes_on(searching(space=within(learning_rate=WIDER)), searching())
    assert values(wider) == values(searching())
    (words,) = words_on_space(wider, searching())
    assert words.endswith(
        "16 settings of all cells are kept, 0 are new; raise search.trials to try others"
    )
    assert not any(one.is_sampled for of_cell in wider.settings() for one in of_cell)


def test_a_list_keeps_its_values_and_a_range_those_of_a_list() -> None:
    before = searching()
    longer = goes_on(searching(space=within(init=["kaiming", "fluctuation", "default"])), before)
    assert values(longer) == values(before)
    shorter = goes_on(searching(space=within(init=["kaiming"])), before)
    assert values(shorter)[:4] == [one for one in values(before) if one["init"] == "kaiming"]
    listed = searching(space=within(threshold=[0.75, 3.0]))
    ranged = goes_on(before, listed)
    assert values(ranged)[:4] == [one for one in values(listed) if one["threshold"] == 0.75]


@pytest.mark.parametrize("space", [within(beta={"uniform": [0.5, 0.9]}), {"learning_rate": RATE}])
def test_without_or_with_a_further_key_no_setting_can_be_kept(space: dict[str, Any]) -> None:
    other = goes_on(searching(space=space), searching())
    assert values(other) == values(searching(space=space))


def test_the_first_range_again_has_the_first_settings_again() -> None:
    wider = searching(12, space=within(learning_rate=WIDER))
    narrow = searching(space=within(learning_rate={"log": [5e-3, 1e-2]}))
    again = goes_on(searching(), searching(), narrow, wider, narrow)
    assert values(again) == values(searching())
    twice = goes_on(searching(24, space=within(learning_rate=WIDER)), searching(), narrow, wider)
    assert len({json.dumps(one) for one in values(twice)}) == 24
    assert values(twice)[:8] == values(searching())


def test_a_cell_that_is_added_has_the_kept_points_too() -> None:
    wider = {"space": within(learning_rate=WIDER)}
    first = goes_on(searching(12, **wider), searching())
    both = continued(searching(12, norms=["none", "homeostatic"], **wider), first)
    ((_, *of_none), homeostatic) = (values(both, cell) for cell in (0, 1))
    assert of_none == homeostatic[1:] == values(first, 0)[1:]


def test_another_sampler_begins_anew() -> None:
    other = searching(sampler="random", space=within(learning_rate=WIDER))
    assert goes_on(other, searching()) == other


def test_tpe_keeps_its_first_round_and_what_it_has_drawn() -> None:
    def tpe(**search: Any) -> SweepSpec:
        return searching(**{"sampler": "tpe", "round": 4, **search})

    drawn = with_next_round(tpe(), [[0.1, 0.2, 0.3, 0.4]] * 2)
    wider = goes_on(tpe(trials=12, space=within(learning_rate=WIDER)), drawn)
    assert values(wider) == values(drawn)
    further = with_next_round(wider, [[0.1 * n for n in range(8)]] * 2)
    assert values(further)[:8] == values(drawn)
    assert len(values(further)) == 12
    assert continued(wider, further) == further
    upper = within(learning_rate={"log": [4e-3, 1e-2]})
    narrow = goes_on(tpe(space=upper), drawn)
    for cell in range(2):
        kept = [one for one in values(drawn, cell) if one["learning_rate"] >= 4e-3]
        assert 1 < len(kept) < 8
        assert [one for one in values(narrow, cell) if one in kept] == kept
        assert all(rate >= 4e-3 for rate in rates(narrow, cell))


def test_hours_are_measured_again_on_kept_settings() -> None:
    def by_hours(**search: Any) -> SweepSpec:
        return searching(None, gpu_hours=1.0, round=4, **search)

    recorded = by_hours(bought=[8, 6])
    wider = goes_on(by_hours(space=within(learning_rate=WIDER)), recorded)
    assert wider.search is not None
    assert wider.search.bought is None
    assert values(wider, 0) == values(recorded, 0)[:4]


def test_own_training_code_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)

    def own(trials: int, hidden: Any, **more: Any) -> SweepSpec:
        return SweepSpec.from_dict(
            {
                "name": "own",
                "train": "own_runs:Fit",
                "epochs": 2,
                "metric": {"name": "val_error", "goal": "minimize"},
                "grid": [{"method": ["base", "ours"]}],
                "search": {
                    "space": {"hidden": hidden, "rate": {"log": [0.01, 1]}, **more},
                    "trials": trials,
                    "metric": {"name": "val_error", "goal": "minimize"},
                },
                "confirm": {"seeds": [101]},
            }
        )

    before = own(8, {"log": [4, 64]})
    wider = goes_on(own(12, {"log": [4, 256]}), before)
    assert values(wider)[:8] == values(before)
    assert all(isinstance(one["hidden"], int) for one in values(wider))
    whole = goes_on(own(8, {"log": [4, 64]}), own(8, {"log": [4.5, 64]}))
    assert all(isinstance(one["hidden"], int) for one in values(whole)), "12.5 is no whole number"
    one, true = (own(2, [4], flag=[flag]) for flag in (1, True))
    assert values(goes_on(one, true)) == values(one) == [{**v, "flag": 1} for v in values(true)]


@pytest.mark.parametrize(
    "earlier",
    [
        3,
        [3],
        [{"space": {}}],
        *([{"space": given, "points": [1]}] for given in (3, {"init": 3})),
        *([{"space": SPACE, "points": points}] for points in ([], [-1], ["1"], [10**9])),
    ],
)
def test_what_is_no_record_of_an_earlier_space_is_refused(earlier: Any) -> None:
    with pytest.raises(SpecError, match=r"search\.earlier: is for the record of a sweep alone"):
        searching(earlier=earlier)
