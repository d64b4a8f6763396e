"""Compiled neurons against eager ones: real kernels of this machine's C++ compiler.

Under ``test_triton.py`` the first of them runs with Triton's kernels, which need no C++ compiler.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snn_norm import LIF, SNNCNN, BatchNormThroughTime2d, TemporalHomeostaticNorm2d
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.neurons import engine, kernels
from snn_norm.neurons.fused import fire
from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.standardization import Standardization
from snn_norm.training.run import TrainingRun

NEURON = Neuron(beta=0.8, threshold=0.6, slope=5.0)
LEARNED = Neuron(torch.tensor(0.8), 0.6, 1.5, "atan", "zero")
RECTANGLE = Neuron(0.8, 0.6, 0.5, "rectangle")
SIGMOID = Neuron(1.0, 0.6, 2.0, "sigmoid", "zero")
TRIANGLE = LEARNED._replace(surrogate="triangle", reset="subtract")
T, N, C = 3, 2, 3

needs_compiler = pytest.mark.skipif(
    "TRITON_INTERPRET" not in os.environ
    and (
        shutil.which("g++") is None or not Path(sysconfig.get_path("include"), "Python.h").exists()
    ),
    reason="g++ or Python's headers are not installed",
)


@pytest.fixture(autouse=True)
def _few_steps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that compile sooner; a sequence takes two, of one step and of two."""
    monkeypatch.setattr(kernels, "_STEPS_AT_ONCE", 2)


class OverTime(nn.Module):
    """Normalizes by the statistics of the whole sequence."""

    def __init__(self, channels: int, num_steps: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(num_steps, channels, dtype=dtype) + 0.5)
        self.offset = nn.Parameter(torch.rand(num_steps, channels, dtype=dtype))

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        var, mean = torch.var_mean(x_TNCHW.detach(), (0, 1, 3, 4), correction=0)
        statistics = mean.expand_as(self.scale), var.rsqrt().expand_as(self.scale)
        rows = Standardization(*statistics, self.scale, self.offset, True, over_time=True)
        return rows.at(steps)


def neurons(
    norm: type[nn.Module] | None,
    neuron: Neuron,
    *,
    steps: int,
    size: int,
    pool: bool,
    dtype: torch.dtype,
    compiled: bool,
) -> list[Tensor]:
    """Spikes and last membrane, and the gradients of all that they depend on."""
    torch.manual_seed(0)
    full = torch.promote_types(dtype, torch.float32)
    x = torch.randn(steps, N, size, size, C).add(0.3).movedim(-1, 2).to(dtype)
    membrane = torch.randn(N, size, size, C, dtype=full).movedim(-1, 1)
    inputs = [x.requires_grad_(), membrane.requires_grad_()]
    if isinstance(neuron.beta, Tensor):
        neuron = neuron._replace(beta=neuron.beta.to(full).requires_grad_())
        inputs.append(neuron.beta)
    standardization = None
    if norm is not None:
        layer = norm(C, T, dtype=full)
        layer.train(steps > 1)  # once by the batch's statistics, once by constants
        inputs += layer.parameters()
        standardization = layer.standardization(x, slice(0, T))
    spikes, last = fire(
        x,
        neuron,
        standardization,
        num_steps=T,
        pool=pool,
        membrane_N=membrane,
        engine="compiled" if compiled else "eager",
    )
    weights = torch.linspace(-1, 2, spikes.numel(), dtype=full).view(spikes.shape)
    loss = (spikes * weights).sum() + last.square().sum()
    return [spikes, last, *torch.autograd.grad(loss, inputs)]


@needs_compiler
@pytest.mark.parametrize(
    ("norm", "neuron", "steps", "size", "pool", "dtype"),
    [
        (None, NEURON, T, 4, False, torch.float64),
        (BatchNormThroughTime2d, LEARNED, T, 5, True, torch.float64),
        pytest.param(
            TemporalHomeostaticNorm2d, RECTANGLE, 1, 4, False, torch.float64, marks=pytest.mark.slow
        ),
        pytest.param(
            TemporalHomeostaticNorm2d, SIGMOID, T, 4, True, torch.bfloat16, marks=pytest.mark.slow
        ),
        pytest.param(OverTime, TRIANGLE, T, 4, False, torch.float64, marks=pytest.mark.slow),
    ],
)
def test_compiled_neurons_are_the_eager_ones(
    norm: type[nn.Module] | None,
    neuron: Neuron,
    steps: int,
    size: int,
    pool: bool,
    dtype: torch.dtype,
) -> None:
    eager, compiled = (
        neurons(norm, neuron, steps=steps, size=size, pool=pool, dtype=dtype, compiled=choice)
        for choice in (False, True)
    )
    assert 0.1 < eager[0].mean() < 0.9
    assert torch.equal(compiled[0], eager[0])
    assert compiled[0].stride() == eager[0].stride()
    bound = 1e-9 if dtype == torch.float64 else 2**-7
    torch.testing.assert_close(compiled, eager, rtol=bound, atol=bound)


@needs_compiler
def test_a_compiled_network_is_the_eager_one() -> None:
    """For a second batch size too, without gradients, and where a default device is set."""
    torch.manual_seed(0)
    model = SNNCNN("homeostatic", num_steps=2, slope=2.0, image_size=8, width=4)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    results: list[list[Tensor]] = []
    for compiled in (False, True):
        model.load_state_dict(start)
        for module in model.modules():
            if isinstance(module, LIF):
                module.compiled = compiled
        found = []
        with torch.device("cpu"):
            for images in (3, 2):
                x = torch.linspace(-2, 2, images * 3 * 64).view(images, 3, 8, 8).sin()
                logits = model(x)
                found += [
                    logits,
                    *torch.autograd.grad(logits.square().sum(), list(model.parameters())),
                ]
            with torch.no_grad():
                found.append(model.eval()(x))
        model.train()
        results.append([*found, *(value.clone() for value in model.buffers())])
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


def run(**keys: Any) -> TrainingRun:
    config = RunConfig(
        architecture="snn", norm="bntt", dataset="digits", seed=0, epochs=1, width=2, num_steps=2,
        **keys,
    )  # fmt: skip
    return TrainingRun(config, load_dataset("digits", Path(), config.image_size))


@needs_compiler
def test_on_a_processor_neurons_are_not_compiled_unless_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "snn_norm")
    for choice, chosen in (("auto", "numba"), (False, "eager"), (True, "compiled")):
        training = run(compile=choice)
        assert training.engine == chosen
        layers = [module for module in training.model.modules() if type(module) is LIF]
        assert [layer.engine for layer in layers] == 7 * [chosen]
        how = "computed by numba" if chosen == "numba" else chosen
        assert f"spiking layers are {how} on cpu" in caplog.text
        caplog.clear()


def test_an_artificial_network_has_nothing_to_compile() -> None:
    config = RunConfig(
        architecture="ann", norm="none", dataset="digits", seed=0, epochs=1, compile=True
    )
    assert TrainingRun(config, load_dataset("digits", Path(), None)).engine is None


def test_without_a_compiler_the_reason_is_told(tmp_path: Path) -> None:
    """Asked for, it is an error; where it was a choice, layers are eager."""
    program = (
        "import torch; from snn_norm.neurons import engine; "
        "print(engine._problem('compiled', torch.device('cpu')))"
    )
    environment = {**os.environ, "PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "No working C++ compiler found" in told.stdout


def test_what_only_the_gradient_lacks_is_told_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gradients(*_: Any) -> None:
        raise NotImplementedError("no gradient\nhere\n\nand its trace")

    monkeypatch.setattr(kernels, "spikes", lambda x_TN, *_: (x_TN, None))
    monkeypatch.setattr(kernels, "gradients", gradients)
    problem = engine._problem.__wrapped__("compiled", torch.device("cpu"))
    assert problem == "NotImplementedError: no gradient here"


def test_what_cannot_be_compiled_is_an_error_or_eager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "_problem", lambda *_: "no compiler")
    with pytest.raises(ValueError, match=r"compile is true, but .* on cpu: no compiler; install"):
        run(compile=True)
    monkeypatch.setattr(engine, "_by_default", lambda _: "compiled")
    assert run().engine == "eager"
    assert (
        "spiking layers are eager: torch.compile does not work here on cpu: no compiler"
        in caplog.text
    )


def test_kernels_are_of_few_steps_of_about_equal_length() -> None:
    assert kernels._parts(T) == [slice(0, 1), slice(1, 3)]
    for num_steps in (1, 5, 12, 25, 100):
        lengths = [part.stop - part.start for part in kernels._parts(num_steps)]
        assert sum(lengths) == num_steps
        assert max(lengths) <= 2
        assert max(lengths) - min(lengths) <= 1
