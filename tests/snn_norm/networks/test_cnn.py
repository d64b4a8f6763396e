"""The networks against plain loops over time, and against snnTorch's neurons, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm import ANNCNN, SNNCNN, TemporalHomeostaticNorm2d
from snn_norm.networks.cnn import make_model

pytestmark = pytest.mark.usefixtures("double")

LAYERS = [f"conv{index}" for index in range(1, 7)]
NORMS = ["none", "bntt", "homeostatic"]
# (images, image size, time steps): even, odd, one image, one time step.
CASES = [(3, 16, 4), (2, 19, 3), (1, 17, 5), (4, 16, 1)]


def images(number: int, size: int) -> Tensor:
    return torch.randn(number, 3, size, size)


def network(norm: str, image_size: int, num_steps: int, **keys: Any) -> SNNCNN:
    """A small network away from its initial weights, so that every layer fires."""
    torch.manual_seed(1)
    model = SNNCNN(
        norm, num_steps=num_steps, beta=0.8, threshold=0.6, slope=2.0,
        num_classes=4, image_size=image_size, width=5, **keys,
    )  # fmt: skip
    for parameter in model.parameters():
        parameter.data.mul_(1 + 0.2 * torch.randn_like(parameter)).add_(0.02)
    if norm == "none":
        for convolution in model.convolutions.values():
            convolution.weight.data.mul_(5)  # or the deep layers would never fire
    model.hidden.weight.data.mul_(3)
    return model


def batch_norm(layer: nn.Module, x_NCHW: Tensor, t: int, state: dict[str, Tensor]) -> Tensor:
    """BNTT at one time step, and its running statistics, by the formula."""
    var, mean = torch.var_mean(x_NCHW, (0, 2, 3), correction=0)
    values = x_NCHW.numel() // x_NCHW.shape[1]
    state["running_mean"][t].lerp_(mean.detach(), 0.1)
    state["running_var"][t].lerp_(var.detach() * values / (values - 1), 0.1)
    deviation = (var + layer.eps).sqrt()
    scale = layer.weight[t] / deviation
    return (x_NCHW - mean[:, None, None]) * scale[:, None, None]


def homeostatic(layer: nn.Module, x_NCHW: Tensor, t: int, state: dict[str, Tensor]) -> Tensor:
    """The homeostatic norm at one time step: moving statistics, Batch Renormalization's r and d."""
    var, mean = torch.var_mean(x_NCHW, (0, 2, 3), correction=0)
    rate = max(0.1, 1 / int(state["num_batches_tracked"][t]))
    old_mean, old_var = state["running_mean"][t].clone(), state["running_var"][t].clone()
    state["running_mean"][t] = (1 - rate) * old_mean + rate * mean.detach()
    state["running_var"][t] = (
        (1 - rate) * old_var
        + rate * var.detach()
        + rate * (1 - rate) * (mean.detach() - old_mean) ** 2
    )
    deviation, moving = (var + layer.eps).sqrt(), (state["running_var"][t] + layer.eps).sqrt()
    r = deviation.detach() / moving
    d = (mean.detach() - state["running_mean"][t]) / moving
    normal = (x_NCHW - mean[:, None, None]) / deviation[:, None, None]
    normal = normal * r[:, None, None] + d[:, None, None]
    return normal * layer.weight[t][:, None, None] + layer.bias[t][:, None, None]


def moving_affine(layer: nn.Module, x_NCHW: Tensor, t: int, state: dict[str, Tensor]) -> Tensor:
    """Either norm in evaluation."""
    deviation = (state["running_var"][t] + layer.eps).sqrt()
    y = (x_NCHW - state["running_mean"][t][:, None, None]) / deviation[:, None, None]
    y = y * layer.weight[t][:, None, None]
    return y if layer.bias is None else y + layer.bias[t][:, None, None]


def plain_loop(model: SNNCNN, x_NCHW: Tensor) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """Logits of the network by its definition, one time step after the other, and its buffers."""
    states = {
        name: {key: buffer.clone() for key, buffer in layer.named_buffers()}
        for name, layer in model.norms.items()
    }
    formula = {"Identity": None, "BatchNormThroughTime2d": batch_norm}.get(
        type(model.norms["conv1"]).__name__, homeostatic
    )
    membranes: dict[str, Tensor] = {}

    def fire(name: str, current: Tensor) -> Tensor:
        neuron = model.neurons[name]
        membrane = membranes.get(name, torch.zeros_like(current))
        reset = (membrane > neuron.threshold).to(current.dtype)
        membranes[name] = neuron.beta * membrane + current - neuron.threshold * reset
        above = membranes[name] - neuron.threshold
        sigmoid = above / (1 + neuron.slope * above.abs())
        return (above > 0).to(current.dtype) + sigmoid - sigmoid.detach()

    readout, total = torch.zeros(len(x_NCHW), 4), torch.zeros(len(x_NCHW), 4)
    for t in range(model.num_steps):
        x = x_NCHW
        for name in LAYERS:
            x = F.conv2d(
                x, model.convolutions[name].weight, model.convolutions[name].bias, padding=1
            )
            if formula is not None and model.training:
                states[name]["num_batches_tracked"][t] += 1
                x = formula(model.norms[name], x, t, states[name])
            elif formula is not None:
                x = moving_affine(model.norms[name], x, t, states[name])
            x = fire(name, x)
            if name in ("conv2", "conv4", "conv6"):
                x = F.avg_pool2d(x, 2)
        hidden = fire("hidden", model.hidden(x.flatten(1)))
        readout = model.readout.beta * readout + model.classifier(hidden)
        total = total + readout
    return total / model.num_steps, states


def gradients(model: nn.Module, logits_NK: Tensor, x_NCHW: Tensor) -> list[Tensor]:
    loss = F.cross_entropy(logits_NK, torch.arange(len(x_NCHW)))
    return list(torch.autograd.grad(loss, [x_NCHW, *model.parameters()]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_step_is_the_plain_loops(norm: str, case: tuple[int, int, int]) -> None:
    number, size, steps = case
    model = network(norm, size, steps)
    for _ in range(2):  # the second batch moves statistics that have been moved
        x = images(number, size).requires_grad_()
        expected, states = plain_loop(model, x)
        logits = model(x)
        torch.testing.assert_close(logits, expected)
        names = ["image", *dict(model.named_parameters())]
        pairs = zip(gradients(model, logits, x), gradients(model, expected, x), strict=True)
        for name, (got, wanted) in zip(names, pairs, strict=True):
            torch.testing.assert_close(
                got, wanted, rtol=1e-7, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}"
            )
        for name, layer in model.norms.items():
            for key, buffer in layer.named_buffers():
                torch.testing.assert_close(buffer, states[name][key])


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_of_the_tests_are_not_zero(norm: str) -> None:
    model, x = network(norm, 16, 4), images(3, 16).requires_grad_()
    for grad in gradients(model, model(x), x):
        assert grad.abs().max() > 1e-9


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_is_the_plain_loops(norm: str, case: tuple[int, int, int]) -> None:
    number, size, steps = case
    model = network(norm, size, steps)
    model(images(number, size))
    model.eval()
    x = images(number, size).requires_grad_()
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    expected, _ = plain_loop(model, x)
    logits = model(x)
    torch.testing.assert_close(logits, expected)
    for got, wanted in zip(gradients(model, logits, x), gradients(model, expected, x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-11)
    for key, buffer in model.named_buffers():
        assert torch.equal(buffer, before[key]), key


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_step_is_snntorchs(norm: str, case: tuple[int, int, int]) -> None:
    number, size, steps = case
    model, reference = network(norm, size, steps), network(norm, size, steps, neuron="snntorch")
    for _ in range(2):
        x = images(number, size).requires_grad_()
        logits, expected = model(x), reference(x)
        torch.testing.assert_close(logits, expected)
        # snnTorch's surrogate works on float32 spikes, so its gradients are rounded to float32.
        for got, wanted in zip(
            gradients(model, logits, x), gradients(reference, expected, x), strict=True
        ):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
    for (key, got), wanted in zip(model.named_buffers(), reference.buffers(), strict=False):
        torch.testing.assert_close(got, wanted, msg=key)


def test_custom_norm_is_given_whole_sequences() -> None:
    model = network(f"{__name__}:HalvingNorm", 16, 3)
    x = images(2, 16)
    model(x)
    assert model.norms["conv2"].shapes == [(3, 2, 5, 16, 16)]
    assert model.norms["conv4"].shapes == [(3, 2, 10, 8, 8)]


def test_custom_norm_decides_the_numbers() -> None:
    """A user's norm that scales by 1/2 gives what halved weights without a norm give."""
    model = network(f"{__name__}:HalvingNorm", 16, 3)
    plain = network("none", 16, 3)
    plain.load_state_dict(model.state_dict(), strict=False)
    for name in LAYERS:
        plain.convolutions[name].weight.data.mul_(0.5)
        plain.convolutions[name].bias.data.zero_()
    x = images(2, 16).requires_grad_()
    got, wanted = model(x), plain(x)
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(got.sum(), x), torch.autograd.grad(wanted.sum(), x)
    )


class HalvingNorm(nn.Module):
    def __init__(self, *_sizes: int) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x_TNCHW: Tensor) -> Tensor:
        self.shapes.append(tuple(x_TNCHW.shape))
        return x_TNCHW / 2


def test_a_subclass_of_a_norm_is_run_as_it_was_written() -> None:
    model = network(f"{__name__}:DoublingNorm", 16, 3)
    plain = network("homeostatic", 16, 3)
    plain.load_state_dict(model.state_dict(), strict=False)
    for name in LAYERS:
        for parameter in (plain.norms[name].weight, plain.norms[name].bias):
            parameter.data.mul_(2)
    x = images(2, 16)
    torch.testing.assert_close(model(x), plain(x))


class DoublingNorm(TemporalHomeostaticNorm2d):
    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        return 2 * super().forward(x, t)


@pytest.mark.parametrize("norm", NORMS)
def test_both_neurons_share_their_state(norm: str) -> None:
    model, reference = network(norm, 16, 2), network(norm, 16, 2, neuron="snntorch")
    keys = set(model.state_dict())
    expected = {"hidden.weight", "hidden.bias", "classifier.weight", "classifier.bias"}
    for layer in LAYERS:
        expected.add(f"convolutions.{layer}.weight")
        if norm == "none":
            expected.add(f"convolutions.{layer}.bias")
            continue
        own = {"weight", "running_mean", "running_var", "num_batches_tracked"}
        if norm == "homeostatic":
            own.add("bias")
        expected |= {f"norms.{layer}.{key}" for key in own}
    assert keys == expected
    missing, _ = reference.load_state_dict(model.state_dict(), strict=False)
    assert all(key.startswith("neurons.") for key in missing)


@pytest.mark.parametrize("norm", ["none", "batchnorm", "homeostatic"])
@pytest.mark.parametrize("size", [16, 19])
def test_artificial_network_is_the_trunk_with_relu(norm: str, size: int) -> None:
    model = ANNCNN(norm, image_size=size, width=4, num_classes=4)
    x = images(3, size)
    expected = x
    for name in LAYERS:
        expected = model.norms[name].eval()(model.convolutions[name](expected)).relu()
        if name in ("conv2", "conv4", "conv6"):
            expected = F.avg_pool2d(expected, 2)
    expected = model.classifier(model.hidden(expected.flatten(1)).relu())
    torch.testing.assert_close(model(x), expected)


def test_convolutions_have_a_bias_only_without_norm() -> None:
    for model in (ANNCNN("none", width=2), SNNCNN("none", width=2)):
        assert all(layer.bias is not None for layer in model.convolutions.values())
    for model in (ANNCNN("batchnorm", width=2), SNNCNN("bntt", width=2)):
        assert all(layer.bias is None for layer in model.convolutions.values())


def test_names_make_networks() -> None:
    assert isinstance(make_model("ann", norm="none", width=2), ANNCNN)
    assert isinstance(make_model("snn", norm="none", width=2), SNNCNN)
    own = make_model(f"{__name__}:OwnNetwork", norm="none", width=3)
    assert isinstance(own, OwnNetwork)
    assert own.keys == {"norm": "none", "width": 3}


class OwnNetwork(nn.Module):
    def __init__(self, **keys: object) -> None:
        super().__init__()
        self.keys = keys
        self.weight = nn.Parameter(torch.ones(()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SNNCNN(image_size=7), "image_size must be at least 8, got 7"),
        (lambda: ANNCNN(image_size=0), "image_size must be at least 8, got 0"),
        (lambda: SNNCNN("batch"), "spiking network must be one of none, .*bntt.*got 'batch'"),
        (lambda: ANNCNN("bntt"), "artificial network must be one of none, batchnorm.*got 'bntt'"),
        (lambda: SNNCNN(neuron="relu"), "neuron must be one of lif, plif, if, got 'relu'"),
        (lambda: SNNCNN(reset="never"), "reset must be one of subtract, zero, got 'never'"),
        (lambda: SNNCNN(neuron="snntorch", reset="zero"), "reset of neuron snntorch must be sub"),
        (lambda: SNNCNN("mpbn", neuron="snntorch"), "takes no norm on the membrane"),
        (lambda: make_model("rnn"), "architecture must be one of ann, snn, or .*got 'rnn'"),
        (lambda: make_model("builtins:dict"), "must make a torch.nn.Module, got a dict"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
