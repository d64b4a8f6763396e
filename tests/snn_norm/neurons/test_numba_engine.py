"""Neurons by numba against the eager ones, which are the truth."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from snn_norm import SNNCNN, BatchNormThroughTime2d, TemporalHomeostaticNorm2d
from snn_norm.neurons import engine as engines
from snn_norm.neurons import layers, numba_engine, recurrence
from snn_norm.neurons.engine import Engine, choose_engine, set_engine
from snn_norm.neurons.numba_loops import SURROGATES
from snn_norm.neurons.recurrence import Gradients, Inputs, Neuron
from snn_norm.neurons.standardization import Standardization
from snn_norm.neurons.table import SURROGATES as TABLE

SIZES = [
    (1, 1, 3, 5, 5), (3, 2, 5, 7, 9), (4, 1, 1, 2, 2), (2, 3, 70, 9, 8), (25, 2, 4, 3, 6),
    (2, 40, 16, 6, 7), (2, 2, 600, 5, 5), (1, 2, 2100, 2, 3),
]  # fmt: skip
"""T, N, C, H and W; the last three with blocks of several images, and of a part of a row."""

STATISTICS = (None, "constants", "each step", "over time")
LIF = Neuron(0.8, 0.6, 5.0)


def inputs(
    size: tuple[int, ...], statistics: str | None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Standardization | None]:
    """Currents (T, N, C, H, W) with channels last, and their standardization."""
    generator = torch.Generator().manual_seed(sum(size))

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=dtype)

    num_steps, images, channels, height, width = size
    x = random(num_steps, images, height, width, channels).mul(4).sub(1.5).movedim(-1, 2)
    if statistics is None:
        return x, None
    mean, inverse_deviation, scale, offset = (random(num_steps, channels) + 0.5 for _ in range(4))
    if statistics == "over time":
        mean, inverse_deviation = (row[:1].expand_as(row) for row in (mean, inverse_deviation))
    kind = {"of_batch": statistics != "constants", "over_time": statistics == "over time"}
    return x, Standardization(mean - 1, inverse_deviation, scale, offset - 1, **kind)


def both(
    x: Tensor,
    standardization: Standardization | None,
    neuron: Neuron = LIF,
    *,
    num_steps: int,
    pool: bool = False,
    continued: bool = False,
) -> None:
    """Hold spikes and membranes to the eager ones' bits, and gradients to their rounding."""
    step = torch.promote_types(x.dtype, torch.float32)
    membrane = torch.randn_like(x[0], dtype=step) if continued else None
    given = Inputs(x, membrane, neuron, num_steps, pool, standardization)
    spikes, after = recurrence.spikes(given)
    found, found_after = numba_engine.spikes(given)
    assert torch.equal(found, spikes)
    assert torch.equal(found_after, after)
    assert (found.dtype, found.stride()) == (spikes.dtype, spikes.stride())
    of_spikes = torch.randn_like(spikes)
    of_after = torch.randn_like(after) if continued else None
    arguments = given, of_spikes, of_after
    assert_near(numba_engine.gradients(*arguments), recurrence.gradients(*arguments))


def assert_near(found: Gradients, expected: Gradients) -> None:
    for name, of_found, of_expected in zip(Gradients._fields, found, expected, strict=True):
        if of_expected is None:
            assert of_found is None, name
            continue
        assert of_found is not None, name
        largest = of_expected.abs().amax().item() if of_expected.numel() else 0.0
        bound = {torch.float32: 3e-5, torch.float64: 1e-12}[of_expected.dtype] * max(largest, 1e-3)
        torch.testing.assert_close(of_found, of_expected, rtol=0, atol=bound)


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("size", SIZES)
def test_spikes_are_equal_and_gradients_near(size: tuple[int, ...], statistics: str | None) -> None:
    for pool in (False, True):
        for constant in (False, True):
            for continued in (False, True):
                x, standardization = inputs(size, statistics)
                x = x[:1] if constant else x
                both(
                    x, standardization, num_steps=size[0], pool=pool, continued=continued
                )  # fmt: skip


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("surrogate", TABLE)
def test_each_reset_surrogate_and_a_learned_decay(surrogate: str, reset: str) -> None:
    for beta in (0.8, 1.0, torch.tensor(0.8, dtype=torch.float64)):
        for pool in (False, True):
            x, standardization = inputs((4, 2, 5, 6, 5), "each step", torch.float64)
            neuron = Neuron(beta, 0.6, 1.5, surrogate, reset)
            both(x, standardization, neuron, num_steps=4, pool=pool, continued=True)


def test_the_surrogates_are_those_of_the_table() -> None:
    assert tuple(TABLE) == SURROGATES


def test_a_layer_without_channels() -> None:
    for shape in ((1, 1, 1), (5, 3, 7), (2, 3, 4000)):
        both(torch.randn(shape) + 0.5, None, num_steps=shape[0])


def test_an_empty_batch() -> None:
    x, _ = inputs((2, 1, 3, 4, 4), None)
    spikes, _ = numba_engine.spikes(Inputs(x[:, :0], None, LIF, 2, True, None))
    assert spikes.shape == (2, 0, 3, 2, 2)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bfloat16_is_computed_in_float32(statistics: str | None) -> None:
    """Spikes are the bits of the same numbers in float32, and gradients are near."""
    for size in SIZES:
        for pool in (False, True):
            x, standardization = inputs(size, statistics)
            x = x.to(torch.bfloat16)
            given = Inputs(x, None, LIF, size[0], pool, standardization)
            spikes, after = recurrence.spikes(given)
            found, found_after = numba_engine.spikes(given)
            assert found.dtype == torch.bfloat16
            assert torch.equal(found, spikes)
            assert torch.equal(found_after, after)
            of_spikes = torch.randn_like(spikes)
            result, expected = (
                e.gradients(given, of_spikes, None) for e in (numba_engine, recurrence)
            )
            assert result.x.dtype == torch.bfloat16
            bound = 2**-7 * max(expected.x.abs().max().item(), 1.0) if spikes.numel() else 0
            torch.testing.assert_close(result.x, expected.x, rtol=2**-7, atol=bound)
            assert_near(result._replace(x=after), expected._replace(x=after))


@pytest.mark.parametrize("pool", [False, True])
def test_the_bits_do_not_depend_on_the_number_of_threads(pool: bool) -> None:
    x, standardization = inputs((6, 8, 16, 24, 24), "each step")
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 7):
            torch.set_num_threads(number)
            given = Inputs(x, None, LIF, 6, pool, standardization)
            spikes, after = numba_engine.spikes(given)
            given = given._replace(neuron=LIF._replace(beta=torch.tensor(0.8)))
            of = numba_engine.gradients(given, spikes, after)
            results.append([spikes, after, *(part for part in of if part is not None)])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


def test_threads_of_a_caller_do_not_disturb_each_other() -> None:
    x, standardization = inputs((4, 8, 16, 24, 24), "each step")
    given = Inputs(x, None, LIF, 4, False, standardization)
    expected, _ = recurrence.spikes(given)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(numba_engine.spikes, given) for _ in range(16)]
        assert all(torch.equal(each.result()[0], expected) for each in found)


@pytest.mark.parametrize("norm", ["none", "batchnorm", "bntt", "homeostatic", "tebn", "osr"])
def test_a_network_is_the_eager_one(norm: str) -> None:
    torch.manual_seed(0)
    model = SNNCNN(norm, num_steps=6, slope=2.0, image_size=10, width=8)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    results = []
    both_engines: tuple[Engine, ...] = ("eager", "numba")
    for engine in both_engines:
        set_engine(model, engine)
        model.load_state_dict(start)
        x = torch.linspace(-2, 2, 3 * 3 * 100).view(3, 3, 10, 10).sin()
        logits = model.train()(x)
        grads = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        evaluated = model.eval()(x)
        assert torch.equal(logits, results[0][0]) if results else logits.abs().sum() > 0
        results.append([logits, evaluated.detach(), *grads, *map(torch.clone, model.buffers())])
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [BatchNormThroughTime2d, TemporalHomeostaticNorm2d])
def test_the_standardization_of_a_layer(norm: type) -> None:
    x, _ = inputs((3, 2, 4, 5, 5), None, torch.float64)
    layer = norm(4, 3, dtype=torch.float64)
    both(x, layer.standardization(x, slice(0, 3)).detach(), num_steps=3)


def test_without_numba_layers_are_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    model, device = nn.Sequential(layers.LIF()), torch.device("cpu")
    assert choose_engine(model, "auto", device) == "numba"
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: None)
    assert choose_engine(model, "auto", device) == "eager"
    assert model[0].engine == "eager"


def test_a_numba_that_does_not_work_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"no {name} here")

    monkeypatch.setattr(engines, "_problem", engines._problem.__wrapped__)
    monkeypatch.setattr(engines.importlib, "import_module", absent)
    assert choose_engine(layers.LIF(), "auto", torch.device("cpu")) == "eager"
    assert "numba does not work here on cpu: ImportError: no snn_norm.neurons" in caplog.text


def test_numba_is_imported_by_training_alone() -> None:
    program = "import sys, snn_norm.training.run; print('numba' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "False\n"
