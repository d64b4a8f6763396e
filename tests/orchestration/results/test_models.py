"""Which trained models a sweep has, and how one is meant."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import USERS_FOLDER
from recorded import RecordedTrial, Recorder

from orchestration import Results, SweepSpec
from orchestration.errors import InputError
from orchestration.execution.worker.own_training import OwnTraining
from orchestration.model.config import OwnConfig
from orchestration.record.client import connect
from orchestration.record.kept_model import KeptModel
from orchestration.record.model_artifact import copy_model, put_model
from orchestration.results.models import chosen_run, folder_names
from services.errors import ServiceError
from snn_norm.data.dataset import load_dataset
from snn_norm.training.evaluation import evaluate
from snn_norm.training.run import TrainingRun

CONTENT = {
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1, 2],
    "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"], "width": 1, "image_size": 8}],
}


def record(uri: str, name: str, tags: dict[tuple[str, int], str]) -> dict[tuple[str, int], str]:
    """Record a sweep whose runs have these tags of models; give its runs."""
    spec = SweepSpec.from_dict({"name": name, **CONTENT})
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    runs = {}
    for trial in spec.trials():
        which = (trial.config.norm, trial.config.seed)
        told = {"snn_sweep.model": tags[which]} if which in tags else {}
        one = RecordedTrial(trial.config.given(), [0.5], key=trial.key, tags=told)
        runs[which] = recorder.trial(experiment, parent, one)
    return runs


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_row_a_trial_says_which_model_there_is(
    database: str, request: pytest.FixtureRequest
) -> None:
    uri = request.getfixturevalue(f"{database}_database")()
    runs = record(
        uri,
        "kept",
        {
            ("none", 1): KeptModel(7, 0.1234567890123456789, 4321).to_tag(),
            ("none", 2): KeptModel(missing="no epoch had finite losses").to_tag(),
            ("batchnorm", 2): KeptModel(1, None, 10).to_tag(),
        },
    )
    for way in ({"tracking_uri": uri}, {"database_url": uri}):
        table = Results("kept", **way).models()
        assert list(table) == [
            "architecture", "norm", "seed", "run_id", "outcome",
            "epoch", "test_accuracy", "bytes", "missing",
        ]  # fmt: skip
        assert table["run_id"].tolist() == list(runs.values())
        assert table["epoch"].tolist() == [7, pd.NA, pd.NA, 1]
        assert table["test_accuracy"].iloc[0] == 0.1234567890123456789
        assert table["bytes"].iloc[0] == 4321
        assert table["missing"].iloc[0] is None
        assert table["missing"].iloc[1] == "no epoch had finite losses"
        assert "keep: none" in table["missing"].iloc[2]


@pytest.fixture
def table(sqlite_database: Callable[[], str]) -> pd.DataFrame:
    uri = sqlite_database()
    record(uri, "kept", {("none", seed): KeptModel(1, 0.5, 10).to_tag() for seed in (1, 2)})
    return Results("kept", tracking_uri=uri).models()


def test_one_is_told_by_its_run_or_by_its_cell_and_seed(table: pd.DataFrame) -> None:
    first, second = table["run_id"].iloc[:2]
    assert chosen_run(table, second, {}) == second
    assert chosen_run(table, None, {"norm": "none", "seed": 1}) == first
    for run_id, cell, message in (
        (None, {"norm": "none"}, "2 trials are .*they differ in seed: 1, 2"),
        (None, {}, "4 trials are meant; they differ in norm: none, batchnorm; seed: 1, 2"),
        (None, {"norm": "none", "seed": 3}, "no finished trial is .*norm: none, batchnorm"),
        (None, {"nrom": "none"}, "'nrom' tells no trials apart here; .*did you mean 'norm'"),
        ("absent", {}, "no finished trial is {'run_id': 'absent'}"),
        (first, {"seed": 2}, "no finished trial is"),
        (None, {"norm": "batchnorm", "seed": 1}, "has no model: the sweep kept none"),
    ):
        with pytest.raises(InputError, match=message):
            chosen_run(table, run_id, cell)


def test_folders_say_what_they_hold_and_no_two_are_one(table: pd.DataFrame) -> None:
    names = folder_names(table.assign(norm=["../my lab:Norm"] * 2 + ["x" * 300] * 2))
    first, second = table["run_id"].iloc[:2]
    assert names[first] == f"ann-.._my_lab_Norm-seed1-{first[:8]}"
    assert names[second] == f"ann-.._my_lab_Norm-seed2-{second[:8]}"
    assert len(set(names.values())) == 4
    assert max(map(len, names.values())) < 200


def test_of_own_training_code_it_is_the_run_that_was_trained(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    content = {
        "name": f"own {uuid.uuid4()}", "train": "own_runs:Fit", "epochs": 2, "seeds": [1, 2],
        "grid": [{"rate": [0.05]}], "metric": {"name": "val_error", "goal": "minimize"},
    }  # fmt: skip
    spec = SweepSpec.from_dict(content)
    recorder, client = Recorder(tracking_uri), connect(tracking_uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    first, second = spec.trials()
    assert isinstance(first.config, OwnConfig)
    run = OwnTraining(first.config, first.metric, "cpu")
    run.run_epoch()
    run.run_epoch()
    metrics = {name: [one.measured[name] for one in run.history] for name in ("val_error",)}
    told = KeptModel(2, None, len(run.saved())).to_tag()
    tags = {"snn_sweep.model": told}
    run_id = recorder.trial(
        experiment, parent,
        RecordedTrial(first.config.given(), key=first.key, tags=tags, metrics=metrics),
    )  # fmt: skip
    put_model(client, client.get_run(run_id).info, run.saved())
    missing = KeptModel(missing="its state holds something").to_tag()
    tags = {"snn_sweep.model": missing}
    recorder.trial(
        experiment, parent,
        RecordedTrial(second.config.given(), key=second.key, tags=tags, metrics=metrics),
    )  # fmt: skip

    results = Results(spec.name, tracking_uri=tracking_uri)
    table = results.models()
    assert list(table) == [
        "train", "seed", "run_id", "outcome", "epoch", "val_error", "bytes", "missing",
    ]  # fmt: skip
    assert table["epoch"].tolist() == [2, pd.NA]
    assert table["val_error"].iloc[0] == run.history[1].measured["val_error"]
    assert table["val_error"].isna().iloc[1]
    with pytest.raises(InputError, match="train 'own_runs:Fit' cannot be loaded: code that only"):
        results.model(seed=1)
    for loaded in (
        results.model(seed=1, own_code="own_runs:Fit"),
        results.model(seed=1, train="own_runs:Fit"),
    ):
        with torch.no_grad():
            assert loaded.evaluate() == {"val_error": run.history[1].measured["val_error"]}
    with pytest.raises(InputError, match="has no model: its state holds something"):
        results.model(seed=2)
    names = {Path(one.path).name for one in client.list_artifacts(run_id, "model")}
    assert names == {"config.json", "model.safetensors"}
    copy = client.create_run(experiment).info.run_id
    assert copy_model(client, run_id, copy)
    assert len(client.list_artifacts(copy, "model")) == 2


def test_it_is_the_network_that_was_trained(tracking_uri: str) -> None:
    name = f"kept {uuid.uuid4()}"
    spec = SweepSpec.from_dict({"name": name, **CONTENT})
    run = TrainingRun(spec.trials()[0].config, load_dataset("digits", Path(), 8))
    result = run.run_epoch()
    tag = KeptModel(1, result.test_accuracy, len(run.saved())).to_tag()
    runs = record(tracking_uri, name, {("none", 1): tag, ("none", 2): tag})
    client = connect(tracking_uri)
    put_model(client, client.get_run(runs["none", 1]).info, run.saved())
    results = Results(name, tracking_uri=tracking_uri)
    with pytest.raises(ServiceError, match=f"the model of run {runs['none', 2]} cannot be fetched"):
        results.model(runs["none", 2])
    for model in (results.model(norm="none", seed=1), results.model(runs["none", 1])):
        found = evaluate(model, run.dataset.test_images, run.dataset.test_labels, 128)
        assert found == (result.test_loss, result.test_accuracy)
