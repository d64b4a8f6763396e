"""Specs of training code of the user's own: ``train``, ``metric``, ``baseline``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import USERS_FOLDER

from orchestration import SweepSpec
from orchestration.errors import SpecError
from orchestration.model.config import OwnConfig, read_config
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.trial import trial_key
from orchestration.sweep.plan import make_plan


@pytest.fixture(autouse=True)
def _own_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    return None


def own(**changes: Any) -> dict[str, Any]:
    """A small valid spec, with changes."""
    data = {
        "name": "own",
        "train": "own_runs:Fit",
        "epochs": 3,
        "seeds": [1, 2],
        "training": {"batch": 8},
        "grid": [{"method": ["baseline", "ours"], "rate": [0.1, 0.2]}],
        "metric": {"name": "val_error", "goal": "minimize"},
        "baseline": {"method": "baseline"},
    }
    return {key: value for key, value in (data | changes).items() if value != "absent"}


def test_any_keys_make_cells_and_their_axes() -> None:
    spec = SweepSpec.from_dict(own())
    assert spec.axes() == ("method", "rate")
    trials = spec.trials()
    assert len(trials) == 8
    assert trials[0].label == "method=baseline rate=0.1 seed 1"
    assert trials[0].metric == spec.judged_by() == Metric("val_error", "minimize")
    assert isinstance(trials[0].config, OwnConfig)
    assert trials[0].config.passed() == {
        "batch": 8, "method": "baseline", "rate": 0.1, "epochs": 3, "seed": 1,
    }  # fmt: skip
    assert trials[0].config.given() == {"train": "own_runs:Fit", **trials[0].config.passed()}


def test_a_sweep_of_a_single_cell_is_named_by_its_code() -> None:
    spec = SweepSpec.from_dict(own(grid=[{}], training="absent", baseline="absent"))
    assert spec.axes() == ("train",)
    assert [trial.label for trial in spec.trials()] == [
        "own_runs:Fit seed 1", "own_runs:Fit seed 2",
    ]  # fmt: skip


def test_keys_of_ours_are_the_users_to_name_and_values_keep_their_types() -> None:
    values = [1, 1.0, True, "one"]
    spec = SweepSpec.from_dict(own(grid=[{"norm": values, "dataset": "mine"}], baseline="absent"))
    assert spec.axes() == ("norm",)
    found = [cell.given()["norm"] for cell in spec.cells()]
    assert [(type(one), one) for one in found] == [(type(one), one) for one in values]
    assert len({trial.key for trial in spec.trials()}) == 8


def test_a_key_is_of_code_and_parameters_alone() -> None:
    keys = [trial.key for trial in SweepSpec.from_dict(own()).trials()]
    same = own(
        metric={"name": "train_loss", "goal": "maximize"},
        baseline="absent",
        resources={"cpu": 2},
        name="other",
        training="absent",
        grid=[{"rate": [0.1, 0.2], "batch": 8, "method": "baseline"}, {"method": "ours", "batch": 8,
               "rate": [0.1, 0.2]}],
    )  # fmt: skip
    assert {trial.key for trial in SweepSpec.from_dict(same).trials()} == set(keys)
    for change in ({"epochs": 4}, {"train": "own_runs:mindful"}, {"training": {"batch": 9}}):
        others = {trial.key for trial in SweepSpec.from_dict(own(**change)).trials()}
        assert not others & set(keys)


def test_an_inner_list_is_a_value() -> None:
    hidden = [[64, 64], [128], [], 32, [[1, 2.5], ["a", True]]]
    spec = SweepSpec.from_dict(
        own(training={"sizes": [3, 5]}, grid=[{"hidden": hidden}], baseline={"hidden": [128]})
    )
    assert spec.axes() == ("hidden",)
    trials = spec.trials()
    found = [trial.config.given()["hidden"] for trial in trials[::2]]
    assert found == hidden
    assert json.dumps(found) == json.dumps(hidden)
    assert trials[0].label == "hidden=[64, 64] seed 1"
    assert len({trial.key for trial in trials}) == 10
    assert {json.dumps(trial.config.given()["sizes"]) for trial in trials} == {"[3, 5]"}
    again = SweepSpec.from_json(json.dumps({**json.loads(spec.to_json()), "train": "x:Run"}))
    assert [cell.given()["hidden"] for cell in again.cells()] == hidden
    plan = make_plan(trials, (), version="1")
    assert type(plan).from_dict(json.loads(json.dumps(plan.to_dict()))).run == plan.run
    for trial in trials:
        assert read_config(trial.config.given()) == trial.config
    # Whoever is given a list may change it.
    assert isinstance(trials[0].config, OwnConfig)
    trials[0].config.passed()["hidden"].append(1)
    assert trials[0].config.passed()["hidden"] == [64, 64]


def test_comparisons_are_over_any_axes_and_values_keep_their_types() -> None:
    values = [1, 1.0, True, [64, 64], [[64], 64]]
    spec = SweepSpec.from_dict(
        own(
            grid=[{"hidden": values, "rate": [0.1, 0.2]}],
            baseline="absent",
            seeds={"until": "decided", "practically_equal": 2.5, "at_least": 3},
            compare=[{"hidden": [[64, 64]], "against": [1.0, True]}, {"rate": [0.1, 0.2]}],
        )
    )
    rows = [[cell.given()[axis] for axis in ("hidden", "rate")] for cell in spec.cells()]
    found = [
        (one.axis, *(json.dumps(rows[cell]) for cell in one.cells)) for one in spec.comparisons()
    ]
    assert found[:4] == [
        ("hidden", "[[64, 64], 0.1]", "[1.0, 0.1]"),
        ("hidden", "[[64, 64], 0.1]", "[true, 0.1]"),
        ("hidden", "[[64, 64], 0.2]", "[1.0, 0.2]"),
        ("hidden", "[[64, 64], 0.2]", "[true, 0.2]"),
    ]
    assert found[4] == ("rate", "[1, 0.1]", "[1, 0.2]")
    assert len(found) == 9
    alone = own(
        grid=[{"hidden": [1, 2]}], baseline="absent", training="absent",
        seeds={"until": "decided"}, compare=[{"hidden": 1}],
    )  # fmt: skip
    with pytest.raises(SpecError, match=r"no two of the grid have such values of hidden$"):
        SweepSpec.from_dict(alone)


@pytest.mark.parametrize("keep", ["best", "last", "none"])
def test_which_model_is_kept_is_no_part_of_the_key(keep: str) -> None:
    spec = SweepSpec.from_dict(own(keep=keep))
    assert spec.keep == keep
    assert [one.key for one in spec.trials()] == [
        one.key for one in SweepSpec.from_dict(own()).trials()
    ]


def test_keys_stay_what_they_were() -> None:
    config = OwnConfig(
        train="my_lab:Run", params=(("depth", 18), ("method", "ours"), ("rate", 0.5)), seed=7
    )
    assert trial_key(config, {"my_lab:Run": "0123456789abcdef"}) == "f2685eca1b89c073"


def test_changed_code_makes_other_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    keys = set()
    for line in ("", "# changed"):
        name = f"my_lab_{len(keys)}"
        (tmp_path / f"{name}.py").write_text(
            f"from own_runs import Fit\nclass Mine(Fit):\n    pass\n{line}\n"
        )
        trials = SweepSpec.from_dict(own(train=f"{name}:Mine")).trials()
        config = trials[0].config.model_copy(update={"train": "x:y"})
        from orchestration.sweep.user_code import References

        (digest,) = References().digests(trials[0].config).values()
        keys.add(trial_key(config, {"x:y": digest}))
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "absent"}, "metric: is missing: what your own training is judged by, such as"),
        ({"metric": {"name": "a", "goal": "up"}}, "metric.goal: must be one of maximize, minimize"),
        ({"metric": {"name": "seed", "goal": "minimize"}}, "metric.name: is a name that the sweep"),
        ({"metric": {"name": "rate", "goal": "minimize"}}, "metric.name: and the key rate would"),
        ({"training": {"best_val_error": 1}}, "metric.name: and the key best_val_error would"),
        ({"train": "own_runs:Nobody"}, "train: a run is made with (config, device): module"),
        ({"train": "own_runs"}, "'own_runs' does not have the form package.module:name"),
        ({"train": "own_runs:Partial"}, "train: 'own_runs:Partial' lacks state_dict, load_state"),
        ({"train": "own_code:blobs"}, "must take ('config', 'device'): too many positional"),
        (
            {"train": "absent", "training": {}, "grid": [{"architecture": "ann", "norm": "none"}]},
            "metric: needs the key train, which names your own training code",
        ),
        ({"dataset": "digits"}, "dataset: is for networks of this package; a key of that name"),
        ({"stop_when_collapsed": {"after_epochs": 3}}, "stop_when_collapsed: is for networks of"),
        ({"resources": {"gpu": "auto"}}, "resources.gpu: auto measures networks of this package"),
        ({"compare": [{"method": ["ours", "baseline"]}]}, "compare: needs seeds: {until: decided"),
        (
            {"seeds": {"until": "decided"}, "compare": [{"method": ["our", "baseline"]}]},
            "compare[0].method[0]: must be a value of method in the grid (baseline, ours), got",
        ),
        (
            {"seeds": {"until": "decided"}, "compare": [{"batch": [8, 9]}]},
            "compare[0]: must name one axis of the grid (method, rate) and the values to compare",
        ),
        (
            {
                "seeds": {"until": "decided", "method": "spending"},
                "compare": [{"method": ["ours", "baseline"]}],
            },
            "seeds.method: spending counts a trial that fails as an accuracy of 0, and other metr",
        ),
        (
            {
                "seeds": {"until": "decided"},
                "grid": [{"verdict": ["a", "b"]}],
                "compare": [{"verdict": ["a", "b"]}],
                "baseline": "absent",
            },
            "grid[0].verdict: is a name that the table of decisions uses: with compare, rename",
        ),
        ({"grid": [{"seed": [1]}]}, "grid[0].seed: is a name that the sweep's own parameters"),
        ({"grid": [{"a b": [1]}]}, "grid[0].'a b': must be letters, digits and _ . - from"),
        ({"grid": [{"a": [{"b": 1}]}]}, "grid[0].a[0]: must be a single value, or a list of such"),
        ({"grid": [{"a": [[1, None]]}]}, "grid[0].a[0]: must be a single value, or a list of such"),
        ({"grid": [{"bytes": [1]}]}, "grid[0].bytes: is a name that the sweep's own parameters"),
        ({"epochs": 0}, "epochs: must be at least 1, got 0"),
        ({"grid": [{"clip": [1.0, math.inf]}]}, "clip[1]: must be a finite number, or a text such"),
        ({"grid": [{"clip": [[math.nan]]}]}, "clip[0]: must be a finite number, or a text such as"),
        ({"grid": [{"against": [1]}]}, "against: is a name that the sweep's own parameters and"),
        ({"grid": [{"a": [1, "1"]}]}, "a[1]: cannot be told apart from 1 in tables and in MLflow"),
        ({"grid": [{"a": True}, {"a": "True"}]}, "grid[1].a: cannot be told apart from true in"),
        ({"grid": [{"a": ["x" * 6001]}]}, "a[0]: may have at most 6,000 characters, got 6,001"),
        ({"grid": [{"a": ["b", "a\0b"]}]}, "a[1]: may hold neither the character NUL nor a lone"),
        ({"grid": [{"a": "\udce9"}]}, "grid[0].a: may hold neither the character NUL nor a lone"),
        ({"baseline": {"methd": "ours"}}, "baseline.methd: must name an axis of the grid, with"),
        ({"baseline": {"batch": 8}}, "baseline.batch: must name an axis of the grid, with several"),
        ({"baseline": {"method": "our"}}, "method in the grid (baseline, ours), got 'our'; did"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        SweepSpec.from_dict(own(**changes))
    assert message in str(caught.value)


def test_a_spec_survives_its_json_without_the_code() -> None:
    spec = SweepSpec.from_dict(own())
    data = json.loads(spec.to_json())
    assert data["train"] == "own_runs:Fit"
    again = SweepSpec.from_json(json.dumps({**data, "train": "elsewhere:Run"}))
    assert [cell.given()["rate"] for cell in again.cells()] == [0.1, 0.2, 0.1, 0.2]
    ours = SweepSpec.load("digits").to_json()
    assert not {"train", "metric", "baseline"} & json.loads(ours).keys()


def test_a_plan_survives_its_json() -> None:
    plan = make_plan(SweepSpec.from_dict(own()).trials(), (), version="1")
    again = type(plan).from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.run == plan.run


def test_a_configuration_is_read_back_as_what_it_was() -> None:
    (first, *_) = SweepSpec.from_dict(own()).trials()
    assert read_config(first.config.given()) == first.config
    ours = SweepSpec.load("digits").cells()[0]
    assert read_config(ours.given()) == ours


@pytest.mark.parametrize(("goal", "best"), [("maximize", 1), ("minimize", 3)])
def test_the_best_is_the_first_of_equals_and_a_number(goal: Any, best: int) -> None:
    assert Metric("x", goal).best([math.nan, 3, 3, 1, 1, math.inf]) == best
    assert Metric("x", goal).best([math.nan]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.53, "0.5300"), (23.4567, "23.46"), (0.0, "0.000"), (-1.5, "-1.500"),
        (12345.678, "12345.7"), (3.1e-5, "3.100e-05"), (2e9, "2.000e+09"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_an_own_metric_is_shown_as_it_is(value: float, text: str) -> None:
    assert Metric("x").number(value) == text
    assert TEST_ACCURACY.number(0.53) == "53.00"
