"""The model of training code of a user's own: kept without pickle, and what it comes back as."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_norm import load_model, load_own_model
from snn_norm.training.models.model_file import check_whole, header_of, model_file
from snn_norm.training.models.own_model import OwnDescription, own_model_bytes
from snn_norm.training.own_run import make_run

MODULE = '''
import numpy as np
import torch

class Plain:
    """Says nothing of a model; its state is of arrays and nested lists."""
    done = False

    def __init__(self, config, device):
        self.config, self.weights = config, np.zeros((2, 2))

    def run_epoch(self):
        self.weights += self.config["rate"]
        return {"val_error": 0.5}

    def state_dict(self):
        return {"weights": self.weights.copy(), "layers": [[1, 2], [torch.ones(1)]], "epoch": 1}

    def load_state_dict(self, state):
        self.weights = state["weights"]

class Empty(Plain):
    def state_dict(self):
        return {}

class Loads(Plain):
    """Draws as it is made, as somebody does who splits data."""
    def __init__(self, config, device):
        super().__init__(config, device)
        self.drawn = float(torch.rand(())), float(np.random.rand())

    def model_state(self):
        return [self.weights]

    def load_model_state(self, state):
        (self.weights,) = state

def forgetful(config, device, state):
    yield {"val_error": 0.5}

def estimator(config, device, state):
    yield {"val_error": 0.5}, (object(), 1)
'''
CONFIG = {"rate": 0.25, "hidden": [64, [8]], "seed": 3}


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "own_models.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("own_models", None)


def kept(name: str) -> tuple[Any, bytes]:
    """A run after its first epoch, and its model."""
    run = make_run(f"own_models:{name}", CONFIG, torch.device("cpu"))
    run.run_epoch()
    description = OwnDescription(
        train=f"own_models:{name}",
        config=CONFIG,
        epoch=1,
        metrics={"val_error": 0.5},
        sources={f"own_models:{name}": "another"},
    )
    return run, own_model_bytes(run, description)


def test_without_a_hook_it_is_plain_data_and_runs_no_code(tmp_path: Path, module: Path) -> None:
    _, data = kept("Plain")
    assert data == kept("Plain")[1]
    check_whole(data)
    (tmp_path / "model.safetensors").write_bytes(data)
    module.unlink()
    del sys.modules["own_models"]
    found = load_own_model(tmp_path)
    assert "own_models" not in sys.modules
    state = found.pop("state")
    assert found == {
        "train": "own_models:Plain", "config": CONFIG, "epoch": 1, "metrics": {"val_error": 0.5},
    }  # fmt: skip
    assert isinstance(state["weights"], np.ndarray)
    assert state["weights"].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert state["layers"] == [[1, 2], [torch.ones(1)]]


def test_an_empty_state_is_one(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(kept("Empty")[1])
    assert load_own_model(tmp_path)["state"] == {}


def test_with_a_hook_it_is_the_run_and_no_generator_has_moved(tmp_path: Path) -> None:
    run, data = kept("Loads")
    (tmp_path / "model.safetensors").write_bytes(data)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    with pytest.warns(UserWarning, match="the code of own_models:Loads has changed since"):
        found = load_own_model(tmp_path, own_code="own_models:Loads")
    assert type(found) is type(run)
    assert found.weights.tolist() == run.weights.tolist()
    assert found.drawn == run.drawn, "not the split of its training"
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_training_code_that_only_the_file_names_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(kept("Loads")[1])
    del sys.modules["own_models"]
    for given in ((), "own_models:Plain", ["other:Loads"]):
        with pytest.raises(ValueError, match="train 'own_models:Loads' cannot be loaded"):
            load_own_model(tmp_path, own_code=given)
    assert "own_models" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("forgetful", "'own_models:forgetful' gives no state: there is no model to keep"),
        ("estimator", "its state holds something of type object at 0; a model is made of"),
    ],
)
def test_what_has_no_model_says_why(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kept(name)


def test_one_kind_of_model_is_not_taken_for_the_other(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(kept("Plain")[1])
    with pytest.raises(ValueError, match=r"of own_models:Plain, training code .*load_own_model"):
        load_model(tmp_path)
    later = {**header_of(kept("Plain")[1]), "format": 2}

    (tmp_path / "model.safetensors").write_bytes(model_file({}, json.dumps(later)))
    with pytest.raises(ValueError, match="cannot be read by this version"):
        load_own_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(model_file({}, '{"format": 1}'))
    with pytest.raises(ValueError, match="is a network of this package"):
        load_own_model(tmp_path)
