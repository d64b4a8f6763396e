"""What docs/own-training.md shows: three programs that are not ours, made runs of a sweep."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from own_training_page import BASE_RUN, DIFF, SPECS, before_and_after, save_programs

from orchestration import SweepSpec
from orchestration.execution.worker.own_training import OwnTraining
from orchestration.model.config import OwnConfig
from orchestration.model.metric import Metric
from snn_norm import load_own_model

PROGRAMS = {
    "my_mlp:train": (
        {"hidden": 16, "rate": 1e-2, "epochs": 4},
        Metric("val_accuracy"),
        {"train_loss", "val_accuracy"},
    ),
    "my_gpt:Run": (
        {"width": 16, "layers": 1, "norm_first": True, "rate": 1e-2, "steps": 12, "epochs": 4},
        Metric("val_loss", "minimize"),
        {"train_loss", "val_loss", "val_perplexity"},
    ),
    "my_unet:Run": (
        {"width": 4, "skip": True, "rate": 1e-2, "epochs": 4},
        Metric("val_miou"),
        {"val_miou"},
    ),
}


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    save_programs(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_mlp", "my_gpt", "my_unet"):
        sys.modules.pop(name, None)


def training(name: str) -> OwnTraining:
    params, metric, _ = PROGRAMS[name]
    given: dict[str, Any] = dict(params)
    config = OwnConfig(
        train=name, epochs=given.pop("epochs"), params=tuple(given.items()), seed=1
    )  # fmt: skip
    return OwnTraining(config, metric, "cpu")


def values_of(run: OwnTraining, metric: Metric) -> list[float]:
    while run.outcome is None:
        run.run_epoch()
    return [epoch.measured[metric.name] for epoch in run.history]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_learns_and_goes_on_where_it_was(name: str) -> None:
    _, metric, names = PROGRAMS[name]
    first = training(name)
    whole = values_of(first, metric)
    assert len(whole) == 4
    assert first.history[0].measured.keys() == names
    assert metric.best([whole[0], whole[-1]]) == 1, "it has not learned"
    interrupted = training(name)
    for _ in range(2):
        interrupted.run_epoch()
    state = interrupted.state_dict()
    assert state is not None
    later = training(name)
    later.load_state_dict(state)
    assert values_of(later, metric) == whole


@pytest.mark.parametrize("name", ["my_gpt:Run", "my_unet:Run"])
def test_its_model_comes_back_as_the_run(name: str, tmp_path: Path) -> None:
    run = training(name)
    metric = PROGRAMS[name][1]
    value = values_of(run, metric)[-1]
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    loaded = load_own_model(tmp_path, own_code=name)
    with torch.no_grad():
        assert float(loaded.evaluate()[metric.name]) == value


def test_the_class_of_the_page_learns() -> None:
    names: dict[str, Any] = {}
    exec(compile(BASE_RUN, "page", "exec"), names)
    run = names["Line"]({"rate": 0.5, "epochs": 3}, "cpu")
    history = []
    while not run.done:
        history.append(run.run_epoch())
    assert [epoch.keys() for epoch in history] == [{"train_loss", "val_loss"}] * 3
    assert history[2]["val_loss"] < history[0]["val_loss"]


def test_an_estimator_leaves_no_model() -> None:
    run = training("my_mlp:train")
    run.run_epoch()
    with pytest.raises(ValueError, match="holds something of type MLPClassifier at 0; a model is"):
        run.saved()


def test_from_a_script_to_a_sweep_in_fifteen_lines(capsys: pytest.CaptureFixture[str]) -> None:
    changed = [line for line in DIFF if line[:1] == "+"]
    assert len(changed) <= 15
    assert len([line for line in DIFF if line[:1] == "-"]) <= 15
    exec(compile(before_and_after()[0], "script", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert float(lines[-1].split()[-1]) > float(lines[0].split()[-1])


def test_the_specs_of_the_page_are_specs(tmp_path: Path) -> None:
    shown = SweepSpec.from_json(json.dumps(yaml.safe_load(SPECS[0])))
    assert shown.axes() == ("method", "depth")
    decided = yaml.safe_load(SPECS[0]) | yaml.safe_load(SPECS[2])
    assert len(SweepSpec.from_json(json.dumps(decided)).comparisons()) == 2
    (tmp_path / "mlp.yaml").write_text(SPECS[1])
    trials = SweepSpec.load(tmp_path / "mlp.yaml").trials()
    assert len(trials) == 12
    assert isinstance(trials[0].config, OwnConfig)
    assert trials[0].config.train in PROGRAMS
