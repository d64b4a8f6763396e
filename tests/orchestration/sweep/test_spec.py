from __future__ import annotations

import copy
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import entry, spec

from orchestration.errors import SpecError
from orchestration.model.trial import trial_key
from orchestration.sweep.spec import SweepSpec
from snn_norm.config import RunConfig

# Expanding


def test_lists_are_crossed_entries_added_and_seeds_run_in_each() -> None:
    grid = [
        {"architecture": "ann", "norm": ["none", "batchnorm"], "width": [8, 16]},
        {"architecture": "snn", "norm": "bntt", "num_steps": 5},
    ]
    labels = [trial.label for trial in SweepSpec.from_dict(spec(grid=grid)).trials()]
    assert labels == [
        "ann none width=8 seed 1",
        "ann none width=8 seed 2",
        "ann none width=16 seed 1",
        "ann none width=16 seed 2",
        "ann batchnorm width=8 seed 1",
        "ann batchnorm width=8 seed 2",
        "ann batchnorm width=16 seed 1",
        "ann batchnorm width=16 seed 2",
        "snn bntt width=64 seed 1",
        "snn bntt width=64 seed 2",
    ]


def test_an_entry_goes_before_training_and_the_top() -> None:
    data = entry(learning_rate=0.5, epochs=7, dataset="mnist", batch_size=[8])
    data["training"] = {"learning_rate": 0.1, "weight_decay": 0.01}
    config = SweepSpec.from_dict(data).trials()[0].config
    assert (config.learning_rate, config.weight_decay) == (0.5, 0.01)
    assert (config.epochs, config.dataset, config.batch_size) == (7, "mnist", 8)


def test_dataset_and_epochs_may_be_in_the_grid_alone() -> None:
    data = entry(dataset=["digits", "mnist"], epochs=2) | {"dataset": None, "epochs": None}
    trials = SweepSpec.from_dict(data).trials()
    assert [trial.config.dataset for trial in trials] == ["digits", "digits", "mnist", "mnist"]


def test_the_same_trial_named_twice_is_one() -> None:
    grid = [
        {"architecture": "ann", "norm": ["none", "none"], "learning_rate": [1, 1.0, "1e0"]},
        {"architecture": "ann", "norm": "none", "learning_rate": 1, "width": 64},
    ]
    assert len(SweepSpec.from_dict(spec(grid=grid)).trials()) == 2


def test_collapse_rule_reaches_each_trial() -> None:
    data = spec(stop_when_collapsed={"after_epochs": 2})
    assert SweepSpec.from_dict(data).trials()[0].config.stop_when_collapsed_after == 2


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.randoms())
def test_a_grid_of_one_entry_is_the_product_of_its_axes(
    widths: int, rates: int, norms: int, seeds: int, order: random.Random
) -> None:
    axes = {
        "architecture": "snn",
        "norm": ["none", "bntt", "homeostatic"][:norms],
        "width": list(range(1, widths + 1)),
        "learning_rate": [0.1 * rate for rate in range(1, rates + 1)],
    }
    items = list(axes.items())
    order.shuffle(items)
    trials = SweepSpec.from_dict(spec(grid=[dict(items)], seeds=list(range(seeds)))).trials()
    assert len(trials) == widths * rates * norms * seeds
    assert len({trial.key for trial in trials}) == len(trials)
    assert len({trial.cell for trial in trials}) * seeds == len(trials)


# Keys


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"architecture": "snn", "norm": "bntt"}, "f464f45f9d40bf27"),
        ({"architecture": "ann", "norm": "batchnorm"}, "0d3d170790d2edcc"),
        (
            {"architecture": "ann", "norm": "none", "dataset": "cifar10", "optimizer": "sgd"},
            "2226feac18305438",
        ),
        (
            {
                "architecture": "snn", "norm": "homeostatic", "width": 16, "num_steps": 10,
                "threshold": 0.3, "beta": 0.5, "slope": 5,
            },
            "ed99f9cbe1dd163a",
        ),
        ({"architecture": "snn", "norm": "none", "precision": "bf16"}, "326989ccb9f38605"),
        ({"architecture": "mine:network", "norm": "none", "num_steps": 4}, "61569c01d62051c8"),
    ],
)  # fmt: skip
def test_a_key_is_what_it_has_always_been(given: dict[str, Any], key: str) -> None:
    # Changing this makes every recorded trial of every user a stranger to its spec.
    config = RunConfig(**{"dataset": "digits", "seed": 42, "epochs": 8, **given})
    assert trial_key(config) == key


@pytest.mark.parametrize(
    ("key", "default", "value"),
    [
        ("precision", "float32", "bf16"),
        ("compile", "auto", True),
        ("validation_fraction", 0.0, 0.1),
        ("trunk", "reference", "vgg9"),
        ("init", "default", "activity"),
        ("neuron", "lif", "plif"),
        ("reset", "subtract", "zero"),
        ("surrogate", "fast_sigmoid", "atan"),
    ],
)
def test_a_key_that_came_later_counts_only_where_it_differs(
    key: str, default: Any, value: Any
) -> None:
    config = RunConfig(architecture="snn", norm="bntt", dataset="digits", seed=42, epochs=8)
    assert trial_key(config.model_copy(update={key: default})) == trial_key(config)
    assert trial_key(config.model_copy(update={key: value})) != trial_key(config)


def test_a_network_of_ones_own_is_handed_what_its_key_says() -> None:
    own = RunConfig(architecture="mine:net", norm="none", dataset="digits", seed=42, epochs=8)
    told = own.model_copy(update={"trunk": "reference"})
    assert told.model_arguments() != own.model_arguments()
    assert trial_key(told) != trial_key(own)


@given(st.randoms())
def test_keys_do_not_depend_on_the_order_of_keys(order: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(inner)) for key, inner in value.items()]
            order.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    data = spec(
        training={"batch_size": 32, "optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1},
        grid=[{"architecture": "snn", "norm": ["none", "bntt"], "num_steps": 4, "beta": 0.5}],
    )
    keys = {trial.key for trial in SweepSpec.from_dict(data).trials()}
    assert {trial.key for trial in SweepSpec.from_dict(shuffled(data)).trials()} == keys


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"resources": {"cpu": 4, "gpu": 0.5, "priority": 3}},
        {"retries": 0},
        {"checkpoint_minutes": 0.5},
        {"seeds": [2, 1, 3]},
        {"training": {"learning_rate": "1e-3"}},
        {"training": {"weight_decay": 0}},
        {"training": {"weight_decay": -0.0}},
        {"training": {"schedule": "cosine", "batch_size": 128}},
        {"training": {"precision": "float32"}},
        {"grid": [{"architecture": ["ann"], "norm": ["none"]}]},
        {"grid": [{"architecture": "ann", "norm": "none", "image_size": 16, "augment": False}]},
    ],
    ids=str,
)
def test_keys_do_not_depend_on_what_does_not_change_the_numbers(changes: dict[str, Any]) -> None:
    keys = [trial.key for trial in SweepSpec.from_dict(spec()).trials()]
    changed = [trial.key for trial in SweepSpec.from_dict(spec(**changes)).trials()]
    assert set(keys) <= set(changed)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 4},
        {"dataset": "mnist"},
        {"training": {"learning_rate": 0.002}},
        {"training": {"weight_decay": 1e-300}},
        {"training": {"precision": "bf16"}},
        {"stop_when_collapsed": {"after_epochs": 1}},
    ],
    ids=str,
)
def test_keys_depend_on_what_changes_the_numbers(changes: dict[str, Any]) -> None:
    keys = {trial.key for trial in SweepSpec.from_dict(spec()).trials()}
    changed = {trial.key for trial in SweepSpec.from_dict(spec(**changes)).trials()}
    assert not keys & changed


def test_changed_code_of_the_user_is_another_trial(users_module: Path) -> None:
    wanted = SweepSpec.from_dict(
        entry(norm=["none", "users_module:norm"], dataset="users_module:data")
    )
    before = [trial.key for trial in wanted.trials()]
    assert before == [trial.key for trial in wanted.trials()]
    with (users_module / "users_module.py").open("a") as file:
        file.write("# changed\n")
    assert not set(before) & {trial.key for trial in wanted.trials()}


# Axes


@pytest.mark.parametrize(
    ("grid", "axes"),
    [
        ([{"architecture": "ann", "norm": "none"}], ()),
        (
            [
                {"architecture": "ann", "norm": "none", "width": 16},
                {"architecture": "snn", "norm": "none", "width": 16, "num_steps": 10},
            ],
            (),
        ),
        (
            [
                {"architecture": "ann", "norm": "none"},
                {"architecture": "snn", "norm": "none", "num_steps": [5, 10], "epochs": [1, 2]},
            ],
            ("epochs", "num_steps"),
        ),
        # The default of width is 64, so there are two of it; optimizer implies momentum.
        (
            [
                {"architecture": "ann", "norm": "none", "width": 16, "optimizer": ["adam", "sgd"]},
                {"architecture": "snn", "norm": "none"},
            ],
            ("optimizer", "width"),
        ),
        # image_size follows from the data set.
        ([{"architecture": "ann", "norm": "none", "dataset": ["digits", "mnist"]}], ("dataset",)),
        ([{"architecture": "ann", "norm": "none", "width": [16, 16]}], ()),
        (
            [{"architecture": "ann", "norm": "none", "precision": ["float32", "bf16"]}],
            ("precision",),
        ),
        # An artificial network has nothing to compile; what is compiled all the same is told apart.
        (
            [
                {"architecture": "ann", "norm": "none"},
                {"architecture": "snn", "norm": "none", "compile": True},
            ],
            (),
        ),
        ([{"architecture": "ann", "norm": "none", "compile": [True, False]}], ("compile",)),
        ([{"architecture": "snn", "norm": "none", "compile": [True, False]}], ("compile",)),
        # Only one of two cells that are alike otherwise has it.
        (
            [
                {"architecture": "a:b", "norm": "none", "num_steps": 5},
                {"architecture": "a:b", "norm": "none"},
            ],
            ("num_steps",),
        ),
    ],
)
def test_axes_are_what_tells_cells_apart(grid: list[dict[str, Any]], axes: tuple[str, ...]) -> None:
    json_spec = SweepSpec.model_validate(spec(grid=grid)).to_json()
    assert SweepSpec.from_json(json_spec).axes() == ("architecture", "norm", *axes)


# From one form to another


@given(
    name=st.text(min_size=1, max_size=128),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True),
    gpu=st.floats(0, 1) | st.integers(0, 8),
    rates=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=3),
    collapse=st.none() | st.just({"after_epochs": 2}),
)
def test_json_gives_the_spec_again(
    name: str, seeds: list[int], gpu: float, rates: list[float], collapse: dict[str, int] | None
) -> None:
    data = entry(learning_rate=rates) | {
        "name": name,
        "seeds": seeds,
        "resources": {"cpu": 1, "gpu": gpu},
        "stop_when_collapsed": collapse,
    }
    try:
        original = SweepSpec.from_dict(data)
    except SpecError as error:
        assert {problem.field for problem in error.problems} == {"name"}  # noqa: PT017
        return
    again = SweepSpec.from_json(original.to_json())
    assert again == original
    assert again.to_json() == original.to_json()
    assert again.trials() == original.trials()


def test_json_keeps_the_order_in_which_an_entry_is_crossed() -> None:
    grid = [{"width": [8, 16], "norm": ["none", "batchnorm"], "architecture": "ann"}]
    original = SweepSpec.from_dict(spec(grid=grid, seeds=[1]))
    widths = [trial.config.width for trial in original.trials()]
    again = SweepSpec.from_json(original.to_json())
    assert [trial.config.width for trial in again.trials()] == widths == [8, 8, 16, 16]


def test_json_needs_no_code_of_the_user(users_module: Path) -> None:
    text = SweepSpec.from_dict(entry(norm="users_module:norm")).to_json()
    (users_module / "users_module.py").unlink()
    sys.modules.pop("users_module")
    recorded = SweepSpec.from_json(text)
    assert recorded.cells()[0].norm == "users_module:norm"
    assert recorded.axes() == ("architecture", "norm")
    with pytest.raises(SpecError, match=r"grid\[0\]\.norm\[0\]: .*cannot import 'users_module'"):
        recorded.trials()


def test_what_is_kept_makes_no_other_trials_and_the_default_no_other_record() -> None:
    before = SweepSpec.from_dict(spec())
    assert before.keep == "best"
    assert "keep" not in before.to_json()
    for keep in ("best", "last", "none"):
        wanted = SweepSpec.from_dict(spec(keep=keep))
        assert wanted.trials() == before.trials()
        assert SweepSpec.from_json(wanted.to_json()) == wanted
        assert (wanted.to_json() == before.to_json()) == (keep == "best")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"name": "x"}', "[" * 100_000])
def test_other_json_is_a_spec_error(text: str) -> None:
    with pytest.raises(SpecError):
        SweepSpec.from_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *spec(),
                        "training",
                        "resources",
                        "norm",
                        "stop_when_collapsed",
                        "architecture",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_any_data_is_a_spec_or_a_spec_error(data: Any) -> None:
    data = data if isinstance(data, dict) else {"grid": [data]}
    for changed in (data, spec() | data):
        try:
            SweepSpec.from_dict(copy.deepcopy(changed)).trials()
        except SpecError as error:
            assert str(error)  # noqa: PT017


# Size


def test_the_time_of_a_spec_grows_with_its_trials_and_no_faster() -> None:
    def seconds(num_widths: int) -> float:
        wanted = spec(seeds=[7], grid=[{"architecture": "snn", "norm": "bntt"}])
        axes = {"width": list(range(1, num_widths + 1)), "num_steps": list(range(1, 101))}
        wanted["grid"][0] |= axes
        start = time.process_time()
        assert len(SweepSpec.from_dict(wanted).trials()) == 100 * num_widths
        return time.process_time() - start

    seconds(1)  # what the first one alone has to do
    # Ten times as many: 100 times as long if each looked at all the others.
    assert seconds(100) < 40 * seconds(10)
