"""The plan of a sweep from its record: what ``run`` would refuse, ``plan`` refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from commands import USERS_FOLDER
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec, run_sweep
from orchestration.cli.main import cli
from orchestration.errors import InputError
from orchestration.execution.trials.planning import begun
from orchestration.execution.trials.seed_allocator import SeedAllocator
from orchestration.record.client import connect
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.open import open_storage
from orchestration.sweep.stopping import UntilDecided
from services.settings import Settings

NAME = "decided and planned again"
COMPARE = [{"norm": ["none", "batchnorm"]}]
SEEDS = {"until": "decided", "at_least": 3, "at_most": 12}


def content(**changed: Any) -> dict[str, Any]:
    norms = ["none", "batchnorm", "homeostatic"]
    return {
        "name": NAME,
        "dataset": "digits",
        "epochs": 1,
        "seeds": SEEDS,
        "compare": COMPARE,
        "grid": [{"architecture": "ann", "norm": norms}],
        **changed,
    }


@pytest.fixture(scope="module")
def decided(tracking_uri: str) -> str:
    """A server that has the record of a decided sweep."""
    spec = SweepSpec.from_dict(content())
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(NAME, spec.to_json())
    for trial in SeedAllocator(spec).possible.values():
        config = trial.config.given()
        if config["seed"] in spec.seed_order()[:8]:
            place = spec.seed_order().index(config["seed"])
            accuracy = {"none": 0.5, "batchnorm": 0.8, "homeostatic": 0.7}[config["norm"]]
            values = [accuracy + 0.001 * (place % 3)]
            recorder.trial(experiment, parent, RecordedTrial(config, values, key=trial.key))
    return tracking_uri


@pytest.mark.parametrize(
    "changed",
    [
        {"seeds": {**SEEDS, "alpha": 0.1}},
        {"seeds": {**SEEDS, "assume": "exchangeable"}},
        {"compare": [*COMPARE, {"norm": ["none", "homeostatic"]}]},
        {"seeds": [1, 2, 3], "compare": []},
    ],
    ids=["another alpha", "another null hypothesis", "an added comparison", "a list of seeds"],
)
def test_plan_and_run_refuse_to_decide_anew(
    decided: str, changed: dict[str, Any], tmp_path: Any, plan: Callable[..., Any]
) -> None:
    refused = plan(content(**changed))
    assert refused.exit_code == 2, refused.output
    assert refused.stdout == ""
    assert "cannot change once something is decided" in refused.stderr
    settings = Settings.from_environment(
        {"SNN_SWEEP_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": decided}
    )
    with pytest.raises(InputError, match="cannot change once something is decided") as said:
        run_sweep(SweepSpec.from_dict(content(**changed)), settings=settings)
    assert " ".join(str(said.value).split()) in " ".join(refused.stderr.split())


def test_plan_takes_a_spec_that_changes_no_rule(plan: Callable[..., Any]) -> None:
    assert plan(content(seeds={**SEEDS, "at_most": 20})).exit_code == 0
    # The sweep was recorded before there was this key, when differences were taken as normal.
    assert plan(content(seeds={**SEEDS, "assume": "normal"})).exit_code == 0


def test_plan_and_run_train_only_the_new_settings_of_a_wider_range(
    plan: Callable[..., Any], decided: str
) -> None:
    def searching(lowest: float, trials: int) -> dict[str, Any]:
        section = {"space": {"learning_rate": {"log": [lowest, 0.1]}}, "trials": trials}
        given = {"training": {"validation_fraction": 0.2}, "confirm": {"seeds": [101]}}
        grid = [{"architecture": "ann", "norm": "none"}]
        whole = content(name="searched wider", grid=grid, search=section, **given)
        return {key: whole[key] for key in whole if key not in ("seeds", "compare")}

    before = SweepSpec.from_dict(searching(0.01, 4))
    recorder = Recorder(decided)
    experiment, parent = recorder.sweep(before.name, before.to_json())
    for trial in before.trials()[:3]:
        held_out = {"validation_accuracy": [0.5], "epoch_seconds": [1.0]}
        recorded = RecordedTrial(trial.config.given(), [0.5], key=trial.key, metrics=held_out)
        recorder.trial(experiment, parent, recorded)
    planned = plan(searching(0.001, 5))
    assert planned.exit_code == 0, planned.output
    assert "2 to run, 0 to resume, 3 finished before" in planned.stdout
    words = "search.space has changed: 3 settings of all cells are kept, 2 are new"
    assert words in " ".join(planned.stderr.split())
    assert "has changed" not in plan(searching(0.01, 5)).stderr


def test_a_metric_that_finished_trials_have_not_recorded_cannot_choose_settings(
    plan: Callable[..., Any], decided: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    metric = {"name": "val_error", "goal": "minimize"}

    def own(chosen_by: str) -> dict[str, Any]:
        return {
            "name": "chosen by another metric",
            "train": "own_runs:Fit",
            "epochs": 1,
            "grid": [{"method": ["base"]}],
            "metric": metric,
            "search": {
                "space": {"rate": [0.1, 0.2]},
                "trials": 2,
                "metric": {**metric, "name": chosen_by},
            },
            "confirm": {"seeds": [101]},
        }

    before = SweepSpec.from_dict(own("val_error"))
    recorder = Recorder(decided)
    experiment, parent = recorder.sweep(before.name, before.to_json())
    for trial in before.trials():
        values = {"val_error": [0.5], "epoch_seconds": [1.0]}
        recorded = RecordedTrial(trial.config.given(), key=trial.key, metrics=values)
        recorder.trial(experiment, parent, recorded)
    assert plan(own("val_error")).exit_code == 0
    refused = plan(own("held_out_error"))
    assert refused.exit_code == 2, refused.output
    assert refused.stdout == ""
    words = "must be a metric that all trials of the search have recorded, got 'held_out_error'"
    assert words in " ".join(refused.stderr.split())
    assert "has recorded epoch_seconds, val_error. Name one" in " ".join(refused.stderr.split())
    assert plan(own("held_out_error"), "--fresh").exit_code == 0


@pytest.fixture
def book(decided: str, tmp_path: Any) -> Callable[[str], SweepRecorder]:
    """The recorder of the sweep of a name."""
    return lambda name: SweepRecorder(connect(decided), name, open_storage(str(tmp_path)))


def test_a_sweep_keeps_the_null_hypothesis_that_it_has_begun_with(
    book: Callable[[str], SweepRecorder],
) -> None:
    spec = SweepSpec.from_dict(content())
    assert begun(spec, book(NAME)) == spec
    assert rule(spec).assumes == "normal"

    other = SweepSpec.from_dict(content(name="begins now"))
    assert rule(begun(other, None)).assume == "exchangeable"
    recorder = book(other.name)
    recorder.open(begun(other, recorder))
    recorded = book(other.name).spec()
    assert recorded is not None
    assert rule(recorded).assumes == "exchangeable"
    assert begun(other, book(other.name)) == recorded
    normal = SweepSpec.from_dict(content(name=other.name, seeds={**SEEDS, "assume": "normal"}))
    assert begun(normal, book(other.name)) == normal, "nothing is decided: it may be said anew"

    spending = SweepSpec.from_dict(content(name="new", seeds={**SEEDS, "method": "spending"}))
    assert rule(begun(spending, None)).assume == "normal"
    listed = SweepSpec.from_dict(content(seeds=[1, 2], compare=[]))
    assert begun(listed, None) == listed


def rule(spec: SweepSpec) -> UntilDecided:
    assert isinstance(spec.seeds, UntilDecided)
    return spec.seeds


@pytest.fixture
def plan(decided: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command of this name, given a spec."""
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", decided)

    def run(spec: dict[str, Any], *options: str) -> Any:
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(spec))
        return CliRunner().invoke(cli, ["plan", str(path), *options])

    return run
