"""The sections search and confirm: what is refused, and the settings of each cell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from commands import USERS_FOLDER
from specs import spec

from orchestration.errors import SpecError
from orchestration.sweep.halving import TrialProgress, cell_search
from orchestration.sweep.more_seeds import with_more_seeds
from orchestration.sweep.search_cost import search_cost
from orchestration.sweep.spec import SweepSpec

SPACE: dict[str, Any] = {
    "learning_rate": {"log": [1e-4, 3e-2]},
    "init": ["default", "kaiming", "fluctuation"],
    "threshold": {"uniform": [0.2, 2.0]},
}


def content(search: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A small valid spec with a search, with changes of it and of its section search."""
    section = {"space": SPACE, "trials": 6} | (search or {})
    given = {
        "seeds": "absent",
        "training": {"validation_fraction": 0.2},
        "grid": [
            {"architecture": "ann", "norm": ["none", "batchnorm"]},
            {"architecture": "snn", "norm": ["none", "bntt"], "num_steps": 4},
        ],
        "search": {key: value for key, value in section.items() if value != "absent"},
        "confirm": {"seeds": [101, 102]},
    }
    return spec(**given | changes)


def searched(search: dict[str, Any] | None = None, **changes: Any) -> SweepSpec:
    return SweepSpec.from_dict(content(search, **changes))


def refused(search: dict[str, Any] | None = None, **changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        SweepSpec.from_dict(content(search, **changes))
    assert caught.value.exit_code == 2
    return str(caught.value)


def own(search: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    section = {
        "space": {"rate": {"log": [0.01, 1]}, "hidden": {"log": [4, 64]}, "kind": ["a", "b"]},
        "trials": 4,
        "metric": {"name": "held_out_error", "goal": "minimize"},
    } | (search or {})
    given = {
        "train": "own_runs:Fit",
        "dataset": "absent",
        "metric": {"name": "val_error", "goal": "minimize"},
        "training": {},
        "grid": [{"method": ["base", "ours"]}],
    }
    return content(section, **given | changes)


def test_each_cell_has_the_keys_that_its_network_has_with_the_values_of_other_cells() -> None:
    settings = searched().settings()
    assert [list(of_cell[0].values) for of_cell in settings] == [
        ["learning_rate", "init"],
        ["learning_rate", "init"],
        list(SPACE),
        list(SPACE),
    ]
    rates = [[one.values["learning_rate"] for one in of_cell] for of_cell in settings]
    assert rates[0] == rates[1] == rates[2] == rates[3]
    assert settings[2][3].values == settings[3][3].values
    inits = {one.values["init"] for of_cell in settings for one in of_cell[:]}
    assert inits == {"default", "kaiming", "fluctuation"}
    assert {one.values["init"] for one in settings[0]} == {"default", "kaiming"}
    assert settings[3][0].config.given()["threshold"] == settings[3][0].values["threshold"]


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_points_fill_the_ranges_and_a_larger_search_begins_with_those_of_a_smaller_one(
    sampler: str,
) -> None:
    few, many = (searched({"sampler": sampler, "trials": n}).settings() for n in (5, 64))
    for cell in range(4):
        assert many[cell][:5] == few[cell]
        assert len({one.config for one in many[cell]}) == 64
    rates = sorted(one.values["learning_rate"] for one in many[0])
    assert 1e-4 <= rates[0] < 1.5e-4
    assert 2e-2 < rates[-1] <= 3e-2
    in_the_middle = sum(rate < 1.7e-3 for rate in rates)  # the middle by the logarithm
    assert in_the_middle in ((31, 32, 33) if sampler == "sobol" else range(20, 45))


def test_settings_depend_on_the_name_and_neither_on_the_order_of_keys_nor_on_the_budget() -> None:
    reversed_space = dict(reversed(SPACE.items()))
    for one, other in zip(searched().settings(), searched({"space": reversed_space}).settings(),
                          strict=True):  # fmt: skip
        assert [setting.config for setting in one] == [setting.config for setting in other]
    assert searched(name="other").settings() != searched().settings()
    again = SweepSpec.from_json(searched().to_json())
    assert again == searched()
    assert again.settings() == searched().settings()


def test_a_setting_is_a_trial_like_any_other() -> None:
    trial = searched().trials()[0]
    setting = searched().settings()[0][0]
    grid = [{"architecture": "ann", "norm": "none", **{k: [v] for k, v in setting.values.items()}}]
    plain = content(grid=grid, seeds=[0], search=None, confirm="absent")
    del plain["search"]
    (same,) = SweepSpec.from_dict(plain).trials()
    assert trial.key == same.key
    assert trial.label == "ann none setting 1 seed 0"


def test_a_space_with_fewer_settings_than_trials_gives_all_of_them() -> None:
    settings = searched({"space": {"init": ["default", "kaiming"]}, "trials": 24}).settings()
    assert [len(of_cell) for of_cell in settings] == [2, 2, 2, 2]
    assert [one.number for one in settings[0]] == [1, 2]


def test_momentum_is_a_key_of_settings_with_sgd_alone() -> None:
    space = {"optimizer": ["adam", "sgd"], "momentum": {"uniform": [0.5, 0.99]}}
    (settings, *_) = searched({"space": space, "trials": 12}).settings()
    assert {"momentum" in one.values for one in settings} == {True, False}
    for one in settings:
        assert ("momentum" in one.values) == (one.values["optimizer"] == "sgd")


def test_whole_numbers_are_drawn_where_a_key_needs_them() -> None:
    space = {"batch_size": {"log": [16, 128]}, "slope": {"log": [1, 50]}}
    *_, settings = searched({"space": space, "trials": 32}).settings()
    sizes = {one.values["batch_size"] for one in settings}
    assert all(isinstance(size, int) and 16 <= size <= 128 for size in sizes)
    assert all(isinstance(one.values["slope"], float) for one in settings)


def test_own_training_code_is_searched_over_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    of_own = SweepSpec.from_dict(own())
    first, second = of_own.settings()
    assert [one.values for one in first] == [one.values for one in second]
    given = first[0].config.given()
    assert (given["method"], given["train"]) == ("base", "own_runs:Fit")
    assert isinstance(given["hidden"], int)
    assert isinstance(given["rate"], float)
    assert len(of_own.trials()) == 8


@pytest.mark.parametrize(
    ("search", "changes", "message"),
    [
        ({"space": {"depth": [8]}}, {}, "search.space.depth: cannot be searched; valid are init,"),
        ({"space": {"treshold": [1.0]}}, {}, "did you mean 'threshold'?"),
        ({"space": {}}, {}, "search.space: must hold at least one value"),
        (
            {"space": {"beta": {"uniform": [0.5, 0.9]}}},
            {"grid": [{"architecture": "ann", "norm": ["none", "batchnorm"]}]},
            "search.space.beta: is a key of none of the cells ann none, ann batchnorm",
        ),
        (
            {"space": {"threshold": {"uniform": [1.0, 1.0]}}},
            {},
            "search.space.threshold: must be a range from a smaller to a larger number, got 1.0 to",
        ),
        (
            {"space": {"threshold": {"uniform": [2, 1]}}},
            {},
            "search.space.threshold: must be a range from a smaller to a larger number, got 2 to 1",
        ),
        (
            {"space": {"threshold": {"log": [0, 1]}}},
            {},
            "search.space.threshold: must be a range above 0, as values are drawn by their logar",
        ),
        (
            {"space": {"threshold": {"log": ["a", 1]}}},
            {},
            "search.space.threshold: must be a range of two finite numbers, got 'a'",
        ),
        (
            {"space": {"threshold": {"loguniform": [0.1, 1]}}},
            {},
            "search.space.threshold: must be a list of values, {log: [low, high]} or",
        ),
        (
            {"space": {"threshold": {"uniform": [-1, 1]}}},
            {},
            "search.space.threshold.uniform[0]: of snn none: must be greater than 0, got -1",
        ),
        (
            {"space": {"init": ["default", "kaimin"]}},
            {},
            "search.space.init[1]: must be one of default, kaiming",
        ),
        (
            {"space": {"batch_size": {"uniform": [1.5, 4]}}},
            {},
            "search.space.batch_size.uniform[0]: of ann none: must be a whole number, got 1.5",
        ),
        (
            {},
            {"grid": [{"architecture": "snn", "norm": "none", "threshold": [0.3, 1.0]}]},
            "grid[0].threshold: is a key of search.space as well: remove one of them",
        ),
        (
            {},
            {"training": {"learning_rate": 0.1, "validation_fraction": 0.1}},
            "training.learning_rate: is a key of search.space as well: remove one of them",
        ),
        ({"prune": {"keep": 0.5, "at": [3]}}, {}, "search.prune.at[0]: must be less than epochs"),
        ({"prune": {"keep": 0.5, "at": [2, 1]}}, {}, "search.prune.at[1]: must grow, got 1 after"),
        ({"prune": {"keep": 1.0, "at": [1]}}, {}, "search.prune.keep: must be less than 1, got"),
        ({"prune": {"at": [1]}}, {}, "search.prune.keep: is missing: the share of the settings"),
        ({"trials": 0}, {}, "search.trials: must be at least 1, got 0"),
        ({"sampler": "tpee"}, {}, "search.sampler: must be one of sobol, random, tpe, got 'tpee'"),
        ({"trails": 3}, {}, "search.trails: is not a key here; valid are space, trials"),
        (
            {},
            {"grid": [{"architecture": "ann", "norm": "none", "epochs": [2, 3]}]},
            "grid: must have one number of epochs in a sweep with search",
        ),
        (
            {"seeds": 3},
            {"confirm": {"seeds": [1, 2, 3]}},
            "confirm.seeds: must not be seeds of the search, which are 0 to 2, got 1, 2",
        ),
        ({}, {"confirm": {"seeds": [101, 101]}}, "confirm.seeds[1]: must be given once each"),
        ({}, {"confirm": {"seeds": "x"}}, "confirm.seeds: must be a list of whole numbers"),
        ({}, {"confirm": {}}, "confirm.seeds: is missing: a list of whole numbers"),
        ({}, {"confirm": {"seeds": [9], "settings": 0}}, "confirm.settings: must be at least 1"),
        (
            {"prune": {"keep": 0.5, "at": [1]}},
            {"confirm": {"seeds": [9], "settings": 4}},
            "confirm.settings: must be at most the settings that train to their end, which are 3 "
            "of each cell, got 4",
        ),
        ({}, {"confirm": "absent"}, "confirm: is missing: a search needs seeds that report"),
        ({}, {"seeds": [1]}, "seeds: do not belong beside search: give confirm"),
        ({}, {"training": {}}, "search: needs held-out images, on which settings are compared"),
        ({}, {"gpu_hours": 3}, "gpu_hours: cannot limit a sweep with search: give search: {gpu_"),
        (
            {"metric": {"name": "x", "goal": "minimize"}},
            {},
            "search.metric: needs the key train",
        ),
        ({"trials": 1000, "seeds": 20}, {}, "grid: may make at most 10,000 trials"),
    ],
)  # fmt: skip
def test_what_is_refused(search: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    assert message in refused(search, **changes)


def test_confirm_needs_a_search() -> None:
    with pytest.raises(SpecError, match="confirm: needs the key search"):
        SweepSpec.from_dict(spec(confirm={"seeds": [1]}))


def test_what_is_refused_of_own_training_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    for search, message in (
        ({"metric": "absent"}, "search.metric: is missing: what chooses settings"),
        ({"space": {"epochs": [1, 2]}}, "search.space.epochs: cannot be searched"),
        ({"space": {"seed": [1, 2]}}, "search.space.seed: is a name that the sweep's own"),
    ):
        with pytest.raises(SpecError, match=message.replace(".", r"\.")):
            SweepSpec.from_dict(own(search))


def test_all_cells_of_own_training_code_may_have_their_epochs_in_the_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    of_own = SweepSpec.from_dict(own(grid=[{"method": ["base", "ours"], "epochs": 2}]))
    assert of_own.axes() == ("method",)


def test_more_seeds_are_more_seeds_of_the_best_settings() -> None:
    more = with_more_seeds(searched(), 2)
    assert more.seeds == (101, 102, 103, 104)
    assert json.loads(more.to_json())["confirm"]["seeds"] == [101, 102, 103, 104]
    assert more.settings() == searched().settings()


def test_what_a_search_costs() -> None:
    pruned = searched({"trials": 8, "prune": {"keep": 0.5, "at": [1, 2]}})
    cost = search_cost(pruned)
    assert (cost.settings, cost.finished) == (32, 8)
    assert cost.epochs == 4 * (8 * 1 + 4 * 1 + 2 * 1)
    assert (cost.confirmed_at_least, cost.epochs_at_most) == (8, cost.epochs + 8 * 3)
    until = searched(
        confirm={"seeds": {"until": "decided", "at_least": 5, "at_most": 20}},
        compare=[{"norm": ["none"], "against": "all"}],
    )
    cost = search_cost(until)
    assert (cost.confirmed_at_least, cost.confirmed_at_most) == (20, 80)
    three = search_cost(searched(confirm={"settings": 3, "seeds": [101, 102]}))
    assert three.confirmed_at_least == three.confirmed_at_most == 4 * 3 * 2
    assert three.epochs_at_most == 4 * 6 * 3 + 24 * 3
    assert (cost.epochs, cost.epochs_at_most) == (4 * 6 * 3, 4 * 6 * 3 + 80 * 3)


def progress(*values: float, ended: bool = False) -> list[TrialProgress]:
    return [TrialProgress(values, ended)]


def test_half_of_the_settings_go_on_once_all_have_reached_the_epoch() -> None:
    search = searched({"prune": {"keep": 0.5, "at": [1]}}).search
    assert search is not None
    trials = [progress(0.3), progress(0.9), progress(0.3), progress()]
    state = cell_search(trials, search)
    assert state.target == {0: 1, 1: 1, 2: 1, 3: 1}
    trials[3] = progress(0.1, ended=True)  # collapsed: it has no further epochs
    state = cell_search(trials, search)
    assert (state.target, state.pruned, state.winner) == ({0: None, 1: None}, {2: 1, 3: 1}, None)
    trials[0] = progress(0.3, 0.8, 0.95, ended=True)
    assert cell_search(trials, search).winner is None
    trials[1] = progress(0.9, 0.94, 0.9, ended=True)
    assert cell_search(trials, search).winner == 0


def test_a_setting_that_has_ended_may_win_even_if_a_larger_search_would_have_pruned_it() -> None:
    search = searched({"prune": {"keep": 0.5, "at": [1]}}).search
    assert search is not None
    smaller = [progress(0.2, 0.95, ended=True), progress(0.1)]
    assert cell_search(smaller, search).winner == 0
    further = [progress(0.5, 0.7, ended=True), progress(0.4, 0.6, ended=True)]
    assert cell_search([*smaller, *further], search).winner == 0


def test_the_best_setting_has_the_best_mean_over_its_seeds_and_a_diverged_one_is_the_worst() -> (
    None
):
    search = searched().search
    assert search is not None
    done = [
        [TrialProgress((0.5, 0.9), True), TrialProgress((0.2, 0.1), True)],
        [TrialProgress((0.6, 0.5), True), TrialProgress((0.6,), True)],
        [TrialProgress((0.99,), True), TrialProgress((), True)],
        [TrialProgress((0.6,), True), TrialProgress((0.4, 0.6), True)],
    ]
    assert cell_search(done, search).winner == 1
    assert cell_search(done[2:3], search).winner == 0
