"""A saved network computes as the one that was trained, and reading it runs nothing."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snn_norm import fold, load_model
from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, channel_statistics
from snn_norm.training.epoch import EpochResult
from snn_norm.training.evaluation import evaluate
from snn_norm.training.models.model_file import check_whole, model_file
from snn_norm.training.models.saved_model import description_in, model_bytes
from snn_norm.training.run import TrainingRun

OWN_NAMES = ("own_of_saved:Norm", "own_of_saved:Tied")
OWN = """
import torch
from torch import nn

class Norm(nn.BatchNorm2d):
    pass

class Tied(nn.Module):
    def __init__(self, *, norm, in_channels, num_classes, image_size):
        super().__init__()
        self.first = nn.Linear(in_channels * image_size**2, num_classes)
        self.second = self.first

    def forward(self, x):
        return self.second(x.flatten(1))

class Stateful(Tied):
    def get_extra_state(self):
        return {"any": "thing"}

    def set_extra_state(self, state):
        pass
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own_of_saved.py"
    path.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_of_saved", raising=False)
    importlib.invalidate_caches()
    return path


def data(steps: int | None = None) -> Dataset:
    """Images of two classes, or sequences."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2
        shape = (count, *([steps] if steps else []), 2, 8, 8)
        noise = torch.randint(0, 120, shape, generator=generator)
        bright = 100 * labels.view(count, *[1] * (len(shape) - 1))
        return (noise + bright).to(torch.uint8), labels

    train, test = some(48), some(21)
    return Dataset("own:data", *train, *test, 2, *channel_statistics(train[0]))


def trained(dataset: Dataset, **keys: Any) -> tuple[TrainingRun, EpochResult]:
    common = {"dataset": "own:data", "seed": 3, "epochs": 2, "batch_size": 8}
    run = TrainingRun(RunConfig(**{**common, "norm": "none", **keys}), dataset)
    return run, list(run.epochs())[-1]


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ({"architecture": "ann", "norm": "homeostatic", "width": 2, "precision": "bf16"}, None),
        (
            {
                "architecture": "snn",
                "norm": "bntt",
                "width": 2,
                "num_steps": 3,
                "neuron": "plif",
                "validation_fraction": 0.25,
            },
            None,
        ),
        ({"architecture": "snn", "norm": "mpbn", "width": 2, "num_steps": 3}, 3),
        ({"architecture": "snn", "norm": "tab", "trunk": "resnet", "depth": 8, "width": 2}, None),
        ({"architecture": "ann", "norm": "own_of_saved:Norm", "width": 2}, None),
        ({"architecture": "own_of_saved:Tied"}, None),
    ],
    ids=["homeostatic", "bntt", "sequences", "tab", "own norm", "own network"],
)
@pytest.mark.usefixtures("own_module")
def test_it_computes_to_the_last_bit_as_what_was_trained(
    keys: dict[str, Any], steps: int | None, tmp_path: Path
) -> None:
    dataset = data(steps)
    run, last = trained(dataset, **keys)
    (tmp_path / "a é.safetensors").write_bytes(run.saved())
    model = load_model(tmp_path / "a é.safetensors", own_code=OWN_NAMES)
    assert not model.training
    assert not model.network.training
    weights = run.model.state_dict()
    for name, value in model.network.state_dict().items():
        assert value.dtype == weights[name].dtype
        assert torch.equal(value, weights[name]), name
    found = evaluate(model, dataset.test_images, dataset.test_labels, run.config.batch_size)
    assert found == (last.test_loss, last.test_accuracy)
    told = model.description
    assert (told.config, told.epoch, told.num_classes) == (run.config, 2, 2)
    assert told.metrics["test_accuracy"] == last.test_accuracy


def test_the_same_weights_give_the_same_bytes_and_others_do_not() -> None:
    keys = {"architecture": "snn", "norm": "bntt", "width": 2, "num_steps": 2}
    run, _ = trained(data(), **keys)
    assert run.saved() == trained(data(), **keys)[0].saved()
    assert run.saved() != trained(data(), **keys, slope=24.0)[0].saved()
    before = run.saved()
    next(iter(run.model.parameters())).data.mul_(1.5)
    assert run.saved() != before


def test_there_is_none_before_the_first_epoch() -> None:
    run = TrainingRun(
        RunConfig(architecture="ann", norm="none", dataset="own:data", seed=1, epochs=1, width=2),
        data(),
    )
    with pytest.raises(ValueError, match="no epoch yet"):
        run.saved()


def test_other_images_than_it_was_trained_on_are_refused(tmp_path: Path) -> None:
    run, _ = trained(data(), architecture="ann", width=2)
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    model = load_model(tmp_path)
    images = data().test_images
    with pytest.raises(ValueError, match=r"uint8 \(N, 2, 8, 8\), got torch.float32"):
        model(images.float())
    with pytest.raises(ValueError, match=r"got torch.uint8 \(21, 1, 8, 8\)"):
        model(images[:, :1])


def test_it_can_be_folded(tmp_path: Path) -> None:
    run, _ = trained(data(), architecture="snn", norm="batchnorm", width=2, num_steps=3)
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    network = load_model(tmp_path).network
    x = torch.randn(4, 2, 8, 8)
    assert isinstance(network, nn.Module)
    torch.testing.assert_close(fold(network)(x), network(x))  # type: ignore[type-var]


def test_a_damaged_or_another_file_is_refused(tmp_path: Path) -> None:
    run, _ = trained(data(), architecture="ann", width=2)
    whole = run.saved()
    check_whole(whole)
    path = tmp_path / "model.safetensors"
    for cut in (0, 4, 300, len(whole) // 2, len(whole) - 1):
        with pytest.raises(ValueError, match=r"damaged|not the file"):
            check_whole(whole[:cut])
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="not a trained model"):
            load_model(tmp_path)
    with pytest.raises(ValueError, match="there is no trained model"):
        load_model(tmp_path / "absent")
    import safetensors.torch

    path.write_bytes(safetensors.torch.save({"a": torch.ones(2)}, {"format": "pt"}))
    with pytest.raises(ValueError, match="does not say how"):
        load_model(tmp_path)
    later = description_in(whole).to_json().replace('"format": 1', '"format": 2')
    path.write_bytes(safetensors.torch.save({"a": torch.ones(2)}, {"snn_norm": later}))
    with pytest.raises(ValueError, match="cannot be read by this version"):
        load_model(tmp_path)


class _Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_reading_one_runs_no_code(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    for content in (pickle.dumps(_Trap(sprung)), b""):
        (tmp_path / "model.safetensors").write_bytes(content)
        torch.save(_Trap(sprung), tmp_path / "torch.safetensors")
        for path in (tmp_path, tmp_path / "torch.safetensors"):
            with pytest.raises(ValueError, match="not a trained model"):
                load_model(path)
    assert not sprung.exists()


@pytest.mark.parametrize("key", ["architecture", "norm"])
def test_code_that_only_the_file_names_is_not_imported(key: str, tmp_path: Path) -> None:
    """Not even to see whether its source has changed."""
    run, _ = trained(data(), architecture="ann", width=2)
    told = json.loads(description_in(run.saved()).to_json())
    name = "antigravity:geohash"  # a module that nothing else imports
    told["config"][key] = name
    if key == "architecture":  # of one's own, it has no such keys
        del told["config"]["trunk"], told["config"]["init"]
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_file(run.model.state_dict(), json.dumps(told)))
    with pytest.raises(ValueError, match=f"{key} '{name}' cannot be loaded: .*own_code='{name}'"):
        load_model(path, own_code=["own_of_saved:Norm"])
    told = json.loads(description_in(run.saved()).to_json())
    path.write_bytes(
        model_file(run.model.state_dict(), json.dumps({**told, "sources": {name: "0"}}))
    )
    load_model(path)
    assert "antigravity" not in sys.modules


def test_changed_code_is_told_of_and_missing_code_is_an_error(
    own_module: Path, tmp_path: Path
) -> None:
    run, _ = trained(data(), architecture="ann", norm="own_of_saved:Norm", width=2)
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    own_module.write_text(OWN + "\n# changed\n")
    with pytest.warns(UserWarning, match="own_of_saved:Norm has changed"):
        load_model(tmp_path, own_code="own_of_saved:Norm")
    own_module.unlink()
    del sys.modules["own_of_saved"]
    with pytest.raises(ValueError, match="cannot import 'own_of_saved'"):
        load_model(tmp_path, own_code="own_of_saved:Norm")


def test_code_that_makes_another_network_by_now_is_an_error(
    own_module: Path, tmp_path: Path
) -> None:
    run, _ = trained(data(), architecture="own_of_saved:Tied")
    (tmp_path / "model.safetensors").write_bytes(run.saved())
    own_module.write_text(OWN.replace("self.first = nn.Linear(", "self.third = nn.Linear(9, 9)\n"
                                      "        self.first = nn.Linear("))  # fmt: skip
    del sys.modules["own_of_saved"]
    with (
        pytest.warns(UserWarning, match="has changed"),
        pytest.raises(ValueError, match="has other weights than the saved one"),
    ):
        load_model(tmp_path, own_code="own_of_saved:Tied")


@pytest.mark.usefixtures("own_module")
def test_a_state_that_is_not_of_tensors_cannot_be_saved() -> None:
    run, _ = trained(data(), architecture="own_of_saved:Stateful")
    with pytest.raises(ValueError, match="'_extra_state', which is no tensor"):
        run.saved()


def test_a_diverged_epoch_is_saved_without_its_numbers() -> None:
    run, _ = trained(data(), architecture="ann", width=2, learning_rate=1e30, optimizer="sgd")
    assert run.outcome == "diverged"
    told = description_in(run.saved())
    assert "train_loss" not in told.metrics
    assert description_in(model_bytes(run.model, told)) == told
