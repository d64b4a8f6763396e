"""The estimate of a model's size, held against networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from orchestration.model.trial import Trial
from orchestration.sweep.model_size import estimate_bytes, model_bytes
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.data.table import DATASETS
from snn_norm.networks.cnn import make_model
from snn_norm.networks.table import TRUNKS
from snn_norm.norms.table import NORMS


def config(**keys: Any) -> RunConfig:
    given = {"architecture": "snn", "norm": "none", "dataset": "cifar100", "seed": 1, "epochs": 1}
    return RunConfig(**{**given, **keys})


@pytest.mark.parametrize("trunk", TRUNKS)
def test_it_is_near_for_every_norm(trunk: str) -> None:
    for name, norm in NORMS.items():
        for architecture in norm.layers:
            of = config(architecture=architecture, norm=name, trunk=trunk)
            shape = {"in_channels": 3, "num_classes": 100}
            with torch.device("meta"):
                network = make_model(architecture, **{**of.model_arguments(), **shape})
            real = sum(one.numel() * one.element_size() for one in network.state_dict().values())
            near = 0.02 if name == "none" else 0.3
            assert model_bytes(of) == pytest.approx(real, rel=near), (architecture, name)


def test_what_is_known_of_digits_is_true(tmp_path: Any) -> None:
    digits, told = load_dataset("digits", tmp_path), DATASETS["digits"]
    assert (digits.in_channels, digits.num_classes) == (told.channels, told.classes)


def test_of_what_is_the_users_own_nothing_is_told() -> None:
    trials = [Trial(config(), "a", "a"), Trial(config(seed=2), "b", "b")]
    size = model_bytes(config())
    assert size is not None
    assert estimate_bytes(trials) == 2 * size
    for own in (config(dataset="my:data"), config(architecture="my:Net")):
        assert model_bytes(own) is None
        assert estimate_bytes([*trials, Trial(own, "c", "c")]) is None
    assert model_bytes(config(norm="my:Norm")) is not None
