"""The accuracy of a saved model from the shell, and as MLflow asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snn_norm import pyfunc
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.evaluate import main
from snn_norm.training.epoch import EpochResult
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
