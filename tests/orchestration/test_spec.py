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

from orchestration.errors import InputError, SpecError
from orchestration.spec import SweepSpec, trial_key
from snn_norm.config import RunConfig

SPEC = """\
name: digits
dataset: digits
epochs: 8
seeds: [42, 123]
training: {learning_rate: 0.001, optimizer: adam}
grid:
  - {architecture: ann, norm: [none, batchnorm], width: 16}
  - architecture: snn
    norm: bntt
    num_steps: 10
"""


def spec(**changes: Any) -> dict[str, Any]:
    """A small valid spec as plain data, with changes."""
    data = {
        "name": "small",
        "dataset": "digits",
        "epochs": 3,
        "seeds": [1, 2],
        "grid": [{"architecture": "ann", "norm": "none"}],
    }
    return {key: value for key, value in (data | changes).items() if value != "absent"}


def entry(**changes: Any) -> dict[str, Any]:
    """A spec with one entry in its grid."""
    return spec(grid=[{"architecture": "ann", "norm": "none"} | changes])


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        SweepSpec.from_dict(data)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``users_module`` of a user's."""
    (tmp_path / "users_module.py").write_text(
        "def norm(num_features): ...\n"
        "def temporal_norm(num_features, num_steps): ...\n"
        "def network(*, norm, in_channels, num_classes, image_size, width=8): ...\n"
        "def data(root): ...\n"
        "thing = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_module", raising=False)
    return tmp_path


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


def test_a_key_is_what_it_has_always_been() -> None:
    # Changing this makes every recorded trial of every user a stranger to its spec.
    config = RunConfig(architecture="snn", norm="bntt", dataset="digits", seed=42, epochs=8)
    assert trial_key(config) == "f464f45f9d40bf27"


@pytest.mark.parametrize(
    ("key", "value"), [("precision", "bf16"), ("compile", True), ("validation_fraction", 0.1)]
)
def test_a_key_that_came_later_counts_only_where_it_differs(key: str, value: Any) -> None:
    config = RunConfig(architecture="snn", norm="bntt", dataset="digits", seed=42, epochs=8)
    default = RunConfig.model_fields[key].default
    assert trial_key(config.model_copy(update={key: default})) == trial_key(config)
    assert trial_key(config.model_copy(update={key: value})) != trial_key(config)


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
        {"resources": {"cpu": 4, "gpu": 0.5}},
        {"retries": 0},
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


def test_json_needs_no_code_of_the_user(users_module: Path) -> None:
    text = SweepSpec.from_dict(entry(norm="users_module:norm")).to_json()
    (users_module / "users_module.py").unlink()
    sys.modules.pop("users_module")
    recorded = SweepSpec.from_json(text)
    assert recorded.cells()[0].norm == "users_module:norm"
    assert recorded.axes() == ("architecture", "norm")
    with pytest.raises(SpecError, match=r"grid\[0\]\.norm\[0\]: .*cannot import 'users_module'"):
        recorded.trials()


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


# What is refused, as read from a file


def load(tmp_path: Path, text: str) -> SweepSpec:
    folder = tmp_path / "Läufe von heute"
    folder.mkdir()
    path = folder / "sweep.yaml"
    path.write_text(text)
    return SweepSpec.load(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "norm: bntt",
            "norm: bnt",
            9,
            "grid[1].norm: must be one of none, bntt, homeostatic for architecture snn, "
            "or package.module:name for your own, got 'bnt'; did you mean 'bntt'?",
        ),
        (
            "norm: [none, batchnorm]",
            "norm: [none, bntt]",
            7,
            "grid[0].norm[1]: must be one of none, batchnorm, homeostatic for architecture ann, "
            "or package.module:name for your own, got 'bntt', which belongs to architecture snn",
        ),
        (
            "architecture: snn",
            "architecture: sNN",
            8,
            "grid[1].architecture: must be one of ann, snn, or package.module:name for your own, "
            "got 'sNN'; did you mean 'snn'?",
        ),
        (
            "dataset: digits",
            "dataset: cifar-10",
            2,
            "dataset: must be one of digits, mnist, fashion-mnist, cifar10, cifar100, "
            "or package.module:name for your own, got 'cifar-10'; did you mean 'cifar10'?",
        ),
        ("dataset: digits\n", "", None, "dataset: is missing: digits, mnist, …"),
        ("epochs: 8", "epochs: 0", 3, "epochs: must be at least 1, got 0"),
        ("epochs: 8", "epochs: 1.5", 3, "epochs: must be a whole number, got 1.5"),
        (
            "epochs: 8",
            "epochs: [5, 10]",
            3,
            "epochs: must be a single value, got a list",
        ),
        (
            "epochs: 8",
            "epoch: 8",
            3,
            "epoch: is not a key here; valid are name, dataset, epochs, seeds, training, grid, "
            "resources, retries, reuse, stop_when_collapsed; did you mean 'epochs'?",
        ),
        (
            "epochs: 8",
            "epochs: 8\nwidth: 16",
            4,
            "width: is not a key here; valid are name, dataset, epochs, seeds, training, grid, "
            "resources, retries, reuse, stop_when_collapsed; it belongs in an entry of the grid",
        ),
        (
            "optimizer: adam",
            "optimiser: adam",
            5,
            "training.optimiser: is not a key here; valid are batch_size, learning_rate, "
            "optimizer, momentum, weight_decay, schedule, warmup_epochs, augment, precision, "
            "compile, validation_fraction; did you mean 'optimizer'?",
        ),
        (
            "num_steps: 10",
            "num_step: 10",
            10,
            "grid[1].num_step: is not a key here; valid are architecture, norm, dataset, epochs, "
            "batch_size, learning_rate, optimizer, momentum, weight_decay, schedule, "
            "warmup_epochs, augment, precision, compile, validation_fraction, width, image_size, "
            "num_steps, beta, threshold, slope; did you mean 'num_steps'?",
        ),
        (
            "optimizer: adam",
            "validation_fraction: 10",
            5,
            "training.validation_fraction: must be at most 0.5, got 10",
        ),
        (
            "optimizer: adam",
            "optimizer: adan",
            5,
            "training.optimizer: must be one of adam, adamw, sgd, got 'adan'; did you mean 'adam'?",
        ),
        (
            "optimizer: adam",
            "precision: bfloat16",
            5,
            "training.precision: must be float32, or bf16 for convolutions in bfloat16 (its range "
            "is float32's, so losses are not scaled; float16 is not offered), got 'bfloat16'",
        ),
        ("0.001", ".nan", 5, "training.learning_rate: must be a finite number, got nan"),
        ("0.001", "-1", 5, "training.learning_rate: must be greater than 0, got -1"),
        ("0.001", "fast", 5, "training.learning_rate: must be a number, got 'fast'"),
        ("0.001", "", 5, "training.learning_rate: must be a single value, got nothing"),
        ("[42, 123]", "[]", 4, "seeds: must hold at least one value, got an empty list"),
        ("seeds: [42, 123]\n", "", 1, "seeds: is missing: a list of whole numbers, …"),
        ("[42, 123]", "[42, 42]", 4, "seeds[1]: must be given once each, got 42 again"),
        ("[42, 123]", "\n  - 42\n  - -1", 6, "seeds[1]: must be at least 0, got -1"),
        ("[42, 123]", "[42, 1.5]", 4, "seeds[1]: must be a whole number, got 1.5"),
        ("[42, 123]", "[42, true]", 4, "seeds[1]: must be a whole number, got true"),
        ("[42, 123]", "[x]", 4, "seeds[0]: must be a whole number, got 'x'"),
        ("[42, 123]", "x", 4, "seeds: must be a whole number, got 'x'"),
        (
            "[42, 123]",
            "[4294967296]",
            4,
            "seeds[0]: must be less than 4,294,967,296, got 4294967296",
        ),
        ("name: digits", "name: 2024", 1, "name: must be text, got 2024; put it in quotes"),
        ("name: digits", "name: a/b", 1, "name: must not hold / or \\, got 'a/b'"),
        ("name: digits", "name: ..", 1, "name: must not be . or hold .., got '..'"),
        ("name: digits", "name: .", 1, "name: must not be . or hold .., got '.'"),
        (
            "name: digits",
            'name: "a\\nb"',
            1,
            "name: must hold printable characters alone, got 'a\\nb'",
        ),
        ("name: digits", "name: ' a'", 1, "name: must not begin or end with a space, got ' a'"),
        ("name: digits", "name: ''", 1, "name: must be 1 to 128 characters long, got ''"),
        (
            "name: digits",
            "name: " + 129 * "a",
            1,
            "name: must be 1 to 128 characters long, got 'aaaa…",
        ),
        (
            "num_steps: 10",
            "norm: none",
            10,
            "the key 'norm' is here twice, on lines 9 and 10; take one out",
        ),
        ("width: 16", "num_steps: 3", 7, "grid[0].num_steps: num_steps belongs to the spiking…"),
        (
            "epochs: 8",
            "epochs: 8\nstop_when_collapsed: {after_epochs: 0}",
            4,
            "stop_when_collapsed.after_epochs: must be at least 1, got 0",
        ),
        (
            "epochs: 8",
            "epochs: 8\nstop_when_collapsed: {after: 1, after_epochs: 1}",
            4,
            "stop_when_collapsed.after: is not a key here; valid are after_epochs",
        ),
        ("epochs: 8", "epochs: 8\nretries: -1", 4, "retries: must be at least 0, got -1"),
        (
            "epochs: 8",
            "epochs: 8\nresources: {gpu: 1.5}",
            4,
            "resources.gpu: must be a part of one GPU (such as 0.25), a whole number, or auto, "
            "got 1.5",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: {cpus: 1}",
            4,
            "resources.cpus: is not a key here; valid are cpu, gpu; did you mean 'cpu'?",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: 2",
            4,
            "resources: must be a mapping of keys to values, got 2",
        ),
        (
            "norm: bntt",
            "norm: []",
            9,
            "grid[1].norm: must hold at least one value, got an empty list",
        ),
        ("norm: bntt", "norm: [[a]]", 9, "grid[1].norm[0]: must be a single value, got a list"),
        ("norm: bntt", "norm:", 9, "grid[1].norm: must be a single value, got nothing"),
        ("norm: bntt", "norm: 3", 9, "grid[1].norm: must be text, got 3"),
        (
            "    norm: bntt\n",
            "",
            8,
            "grid[1].norm: is missing: none, batchnorm, bntt, homeostatic…",
        ),
        (
            "num_steps: 10",
            "num_steps: [1, 0, 2.5]",
            10,
            "grid[1].num_steps[1]: must be at least 1, got 0",
        ),
        (
            "norm: bntt",
            "norm: nowhere_at_all:norm",
            9,
            "grid[1].norm: a norm of architecture snn is called with (num_features, num_steps): "
            "cannot import 'nowhere_at_all'…",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_field_value_and_rule(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    assert old in SPEC
    with pytest.raises(SpecError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    place = f"{tmp_path}/Läufe von heute/sweep.yaml:{line or 1}: "
    first = str(caught.value).splitlines()[0]
    assert first[: len(place)] == place
    if message.endswith("…"):  # long, or what another module says
        first, message = first[: len(place + message) - 1], message[:-1]
    assert first[len(place) :] == message


def test_several_problems_come_in_the_file_s_order(tmp_path: Path) -> None:
    text = SPEC.replace("bntt", "bnt").replace("epochs: 8", "epochs: 0").replace("0.001", "-1")
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    problems = caught.value.problems
    assert [(problem.line, problem.field) for problem in problems] == [
        (3, "epochs"),
        (5, "training.learning_rate"),
        (9, "grid[1].norm"),
    ]
    assert len(str(caught.value).splitlines()) == 3


def test_only_the_first_ten_problems_are_shown() -> None:
    message = refused(entry(width=[-width for width in range(25)]))
    assert len(message.splitlines()) == 11
    assert message.endswith("\nand 15 more")


def test_a_number_written_as_text_is_that_number(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC.replace("0.001", "'1e-3'"))
    assert spec.trials()[0].config.learning_rate == 0.001


@pytest.mark.timeout(20)
def test_a_huge_grid_is_refused_before_it_is_expanded() -> None:
    thousand = list(range(1, 1001))
    start = time.process_time()
    message = refused(entry(width=thousand, batch_size=thousand, epochs=thousand))
    assert time.process_time() - start < 2
    assert message == (
        "grid: may make at most 10,000 trials, got 2,000,000,000 "
        "(1,000,000,000 combinations of 2 seeds): split it into several sweeps"
    )


def test_ten_thousand_trials_are_planned_within_two_seconds() -> None:
    wanted = spec(seeds=[7], grid=[{"architecture": "snn", "norm": "bntt"}])
    wanted["grid"][0] |= {"width": list(range(1, 101)), "num_steps": list(range(1, 101))}
    start = time.process_time()
    assert len(SweepSpec.from_dict(wanted).trials()) == 10_000
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"norm": "users_module:temporal_norm"},
            "grid[0].norm: a norm of architecture ann is called with (num_features): ",
        ),
        (
            {"norm": "users_module:norm", "architecture": "snn"},
            "grid[0].norm: a norm of architecture snn is called with (num_features, num_steps): ",
        ),
        ({"norm": "users_module:nrom"}, "grid[0].norm: a norm of architecture ann is called with "),
        (
            {"norm": "users_module:thing"},
            "grid[0].norm: a norm of architecture ann is called with ",
        ),
        (
            {"norm": "builtins:abs"},
            "grid[0].norm: a norm of architecture ann is called with (num_features): "
            "'builtins:abs' is not a class or function written in Python",
        ),
        ({"norm": "os:getcwd"}, "grid[0].norm: a norm of architecture ann is called with "),
        (
            {"architecture": "users_module:network", "width": 8, "num_steps": 3},
            "grid[0].architecture: an architecture is called with its keys by name: "
            "'users_module:network' must take (in_channels=3, num_classes=10, image_size=16, "
            "norm='none', width=8, num_steps=3): got an unexpected keyword argument 'num_steps'",
        ),
        (
            {"dataset": "users_module:network"},
            "grid[0].dataset: a data set is called with (root): ",
        ),
        (
            {"architecture": "users_module:network", "norm": "layer"},
            "grid[0].norm: must be one of none, batchnorm, homeostatic, bntt, or package.module",
        ),
    ],
)
@pytest.mark.usefixtures("users_module")
def test_users_module_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(entry(**changes)).startswith(message)


@pytest.mark.usefixtures("users_module")
def test_users_module_that_fits_is_taken() -> None:
    grid = [
        {"architecture": "ann", "norm": "users_module:norm", "dataset": "users_module:data"},
        {"architecture": "snn", "norm": "users_module:temporal_norm"},
        {"architecture": "users_module:network", "norm": ["bntt", "users_module:norm"]},
    ]
    assert len(SweepSpec.from_dict(spec(grid=grid)).trials()) == 8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "digit",
            "digit: there is no such file, nor a packaged spec of that name (digits, headline)"
            "; did you mean 'digits'?",
        ),
        (
            "Läufe/neu.yaml",
            "Läufe/neu.yaml: there is no such file, nor a packaged spec of that name "
            "(digits, headline)",
        ),
        ("a\0b", "a\0b: cannot be read: embedded null byte"),
    ],
)
def test_a_missing_file_is_refused_with_the_packaged_specs(source: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SweepSpec.load(source)
    assert str(caught.value) == message
