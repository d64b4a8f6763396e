"""The accuracy of a saved model from the shell, and as MLflow asks for it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_norm import pyfunc
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.evaluate import main
from snn_norm.training.epoch import EpochResult
from snn_norm.training.models.model_file import model_file, read_model_file
from snn_norm.training.run import TrainingRun

KEYS = {"architecture": "snn", "norm": "bntt", "dataset": "digits", "seed": 1, "width": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EpochResult]:
    """A model's folder, and what its epoch measured."""
    folder = tmp_path_factory.mktemp("a model é")
    run = TrainingRun(
        RunConfig(**KEYS, num_steps=2, epochs=1, image_size=8), load_dataset("digits", Path(), 8)
    )
    result = run.run_epoch()
    (folder / "model.safetensors").write_bytes(run.saved())
    return folder, result


def test_the_numbers_are_those_of_the_training(
    model: tuple[Path, EpochResult], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, result = model
    assert main([str(folder), "--device", "cpu"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        f"360 test images of digits: accuracy {result.test_accuracy!r}, loss {result.test_loss!r}"
    )
    assert second == "the accuracy of epoch 1 of its training, to the last digit"
    assert main([str(folder / "model.safetensors"), "--dataset", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dataset": "digits",
        "images": 360,
        "test_accuracy": result.test_accuracy,
        "test_loss": result.test_loss,
    }


def test_what_does_not_fit_is_refused(
    model: tuple[Path, EpochResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sets_of_evaluate.py").write_text(
        "import torch\n"
        "def many(root, channels=1, classes=11):\n"
        "    images = torch.zeros(classes, channels, 8, 8, dtype=torch.uint8)\n"
        "    return images, torch.arange(classes), images, torch.arange(classes)\n"
        "def colours(root):\n"
        "    return many(root, 3, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for arguments, message in (
        (["absent"], "there is no trained model"),
        ([str(model[0]), "--dataset", "digit"], "must be one of digits"),
        ([str(model[0]), "--dataset", "sets_of_evaluate:many"], "tells 10 classes apart"),
        ([str(model[0]), "--dataset", "sets_of_evaluate:colours"], "takes images (1, 8, 8)"),
        ([str(model[0]), "--device", "nowhere"], "--device"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def changed(model: Path, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The model with another text in its header."""
    tensors, told = read_model_file(model)
    path = folder / "changed.safetensors"
    path.write_bytes(model_file(tensors, json.dumps(change(told))))
    return path


@pytest.mark.parametrize("name", ["shutil:rmtree", "os:system"])
def test_a_data_set_that_only_the_file_names_is_not_called(
    name: str,
    model: tuple[Path, EpochResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def of_a_stranger(told: dict[str, Any]) -> dict[str, Any]:
        return {**told, "config": {**told["config"], "dataset": name}}

    path = changed(model[0], tmp_path, of_a_stranger)
    data = tmp_path / "data"
    data.mkdir()
    assert main([str(path), "--data", str(data)]) == 2
    assert data.is_dir()
    assert f"dataset '{name}' cannot be loaded: code that only" in capsys.readouterr().err
    assert main([str(path), "--data", str(data), "--dataset", "digits"]) == 0
    assert main([str(path), "--data", str(data), "--own-code", "sets_of_evaluate:many"]) == 2


def test_a_network_of_ones_own_is_named_to_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "norms_of_evaluate.py").write_text(
        "import torch\nfrom snn_norm.data.local import load_digits\n"
        "class Norm(torch.nn.BatchNorm2d):\n    pass\n"
        "def digits(root):\n    return load_digits()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = {"norm": "norms_of_evaluate:Norm", "dataset": "norms_of_evaluate:digits"}
    config = RunConfig(**{**KEYS, **names, "architecture": "ann", "image_size": 8}, epochs=1)
    run = TrainingRun(config, load_dataset(config.dataset, tmp_path, 8))
    run.run_epoch()
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    command = [str(tmp_path), "--device", "cpu"]
    for given in ([], ["--own-code", names["norm"]], ["--own-code", names["dataset"]]):
        assert main([*command, *given]) == 2
        assert "cannot be loaded: code that only the file names" in capsys.readouterr().err
    both = [part for name in names.values() for part in ("--own-code", name)]
    assert main([*command, *both]) == 0
    assert "to the last digit" in capsys.readouterr().out
    assert main([*command, *both[:2], "--dataset", names["dataset"]]) == 0
    with pytest.raises(ValueError, match="cannot be loaded"):
        pyfunc._load_pyfunc(str(tmp_path))
    pyfunc._load_pyfunc(str(tmp_path), {"own_code": names["norm"]})


DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "must be an object that describes a model, got nothing"),
        ("5", "must be an object that describes a model, got 5"),
        ('"train"', "must be an object that describes a model, got 'train'"),
        ("[" * DEEP + "]" * DEEP, "the text in its header cannot be read"),
        ('{"train":' * DEEP + "1" + "}" * DEEP, "the text in its header cannot be read"),
        ("{", "the text in its header cannot be read"),
        ('{"train": 5}', "a model of 5"),
    ],
    ids=["null", "number", "text", "deep lists", "deep objects", "no JSON", "own training"],
)
def test_a_header_that_describes_no_model_is_an_error(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.safetensors").write_bytes(model_file({"a": torch.ones(1)}, text))
    assert main([str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("mean", [[], [0.1, 0.2], [math.nan], ["a"], None, 0.5]),
        ("std", [[], [0.1, 0.2], [0.0], [-1.0], [math.inf]]),
        ("in_channels", [0, -1, 2, "x", 10**30]),
        ("num_classes", [0, -1, 11, 2**40]),
        ("image_size", [0, 7, 16, 2**40]),
        ("sequence_steps", [0, 3]),
        ("metrics", [None, [], {"test_accuracy": "x"}]),
        ("config", [None, {}, [], {"architecture": "snn"}]),
        ("sources", [5, {"norm": 5}]),
    ],
)
def test_a_description_that_cannot_be_true_is_an_error(
    key: str,
    values: list[Any],
    model: tuple[Path, EpochResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for value in values:

        def with_value(told: dict[str, Any], value: Any = value) -> dict[str, Any]:
            return {**told, key: value}

        path = changed(model[0], tmp_path, with_value)
        assert main([str(path), "--device", "cpu"]) == 2, value
        assert len(capsys.readouterr().err) > 20


def test_mlflow_gets_logits_and_the_library_needs_no_mlflow(
    model: tuple[Path, EpochResult],
) -> None:
    folder, result = model
    data = load_dataset("digits", Path(), 8)
    images = data.test_images.numpy()
    images.flags.writeable = False
    logits = pyfunc._load_pyfunc(str(folder)).predict(images)
    assert logits.dtype == np.float32
    accuracy = float((torch.from_numpy(logits).argmax(1) == data.test_labels).float().mean())
    assert accuracy == pytest.approx(result.test_accuracy)
    program = (
        "import sys\nfrom snn_norm.pyfunc import _load_pyfunc\n"
        "import snn_norm.evaluate\n_load_pyfunc(sys.argv[1])\n"
        "print({'mlflow', 'ray', 'orchestration', 'services'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", program, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
