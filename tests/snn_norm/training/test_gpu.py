"""What only a GPU can show: that it computes what a processor does, compiled and captured too."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from snn_norm import LIF, SNNCNN
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.epoch import EpochResult
from snn_norm.training.run import TrainingRun

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

NORMS = ["none", "bntt", "homeostatic"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_a_network_is_that_of_the_processor(norm: str, compiled: bool) -> None:
    """In double precision: logits, gradients and moving statistics."""
    x = torch.randn(5, 3, 17, 17, generator=torch.Generator().manual_seed(1)).double()
    results: list[list[Tensor]] = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = SNNCNN(norm, num_steps=9, slope=5.0, image_size=17, width=4).double().to(device)
        for module in model.modules():
            if isinstance(module, LIF):
                module.compiled = compiled and device == "cuda"
        logits = model(x.to(device))
        logits.square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        found = [logits.detach(), *gradients, *model.buffers()]
        results.append([value.cpu() for value in found if value is not None])
    torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-10)


def trained(
    device: str, compile_choice: bool | Literal["auto"], **changes: Any
) -> list[EpochResult]:
    keys: dict[str, Any] = {"architecture": "snn", "norm": "homeostatic", "num_steps": 10}
    config = RunConfig(
        **{**keys, **changes},
        dataset="digits",
        seed=3,
        epochs=2,
        batch_size=32,
        width=8,
        augment=True,
        compile=compile_choice,
    )
    digits = load_dataset("digits", Path(), config.image_size)
    few = dataclasses.replace(
        digits, train_images=digits.train_images[:300], train_labels=digits.train_labels[:300]
    )
    return list(TrainingRun(config, few, device=device).epochs())


@pytest.mark.parametrize(
    "changes",
    [
        *({"norm": norm} for norm in NORMS),
        {"precision": "bf16"},
        {"architecture": "ann", "norm": "batchnorm", "num_steps": None},
    ],
)
def test_a_captured_run_is_that_of_the_processor(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """But for rounding, of which spikes make more."""
    caplog.set_level(logging.INFO, "snn_norm")
    captured = trained("cuda", "auto", **changes)
    assert "a training step of 32 images is a CUDA graph" in caplog.text
    caplog.clear()
    eager, expected = trained("cuda", False, **changes), trained("cpu", False, **changes)
    assert "CUDA graph" not in caplog.text
    for found in (captured, eager):
        losses = [result.train_loss for result in found]
        assert losses == pytest.approx([result.train_loss for result in expected], rel=0.05)
