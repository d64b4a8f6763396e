"""Every trunk in both networks against plain programs, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm import ANNCNN, SNNCNN
from snn_norm.norms.shared import SequenceBatchNorm2d
from snn_norm.norms.table import NORMS, norms_of
from snn_norm.norms.temporal import MembranePotentialBatchNorm2d

pytestmark = pytest.mark.usefixtures("double")

TRUNKS: dict[str, dict[str, Any]] = {
    "vgg9": {"trunk": "vgg9"},
    "resnet19": {"trunk": "resnet19"},
    "plain": {"trunk": "resnet", "depth": 8, "shortcut": "none"},
    "spike": {"trunk": "resnet", "depth": 14, "shortcut": "spike"},
    "membrane": {"trunk": "resnet", "depth": 14, "shortcut": "membrane"},
}
each_trunk = pytest.mark.parametrize("trunk", TRUNKS)


def spiking(trunk: str, norm: str, **keys: Any) -> SNNCNN:
    """A small network away from its initial weights, in which every layer fires."""
    torch.manual_seed(1)
    model = SNNCNN(
        norm, num_steps=3, beta=0.8, threshold=0.5, slope=2.0,
        num_classes=4, image_size=12, width=4, **TRUNKS[trunk], **keys,
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        parameter.data.mul_(1 + 0.2 * torch.randn_like(parameter)).add_(0.02)
        if name.startswith("convolutions") and parameter.dim() == 4:
            parameter.data.mul_({"none": 2, f"{__name__}:Halving": 5}.get(norm, 1))
    return model


def gradients(model: nn.Module, logits_NK: Tensor, x: Tensor) -> dict[str, Tensor]:
    loss = F.cross_entropy(logits_NK, torch.arange(len(x)) % 4)
    names = ["input", *(name for name, _ in model.named_parameters())]
    return dict(zip(names, torch.autograd.grad(loss, [x, *model.parameters()]), strict=True))


@each_trunk
@pytest.mark.parametrize("norm", ["none", "bntt", "homeostatic", f"{__name__}:Halving"])
@pytest.mark.parametrize("sequence", [False, True])
def test_at_once_is_step_by_step(trunk: str, norm: str, sequence: bool) -> None:
    model = spiking(trunk, norm)
    reference = spiking(trunk, norm, neuron="snntorch")
    for _ in range(2):  # the second batch moves statistics that have been moved
        shape = (2, 3, 3, 12, 12) if sequence else (2, 3, 12, 12)
        x = torch.randn(shape).requires_grad_()
        logits, expected = model(x), reference(x)
        torch.testing.assert_close(logits, expected)
        found, wanted = gradients(model, logits, x), gradients(reference, expected, x)
        for name, gradient in found.items():
            # snnTorch's surrogate works on float32 spikes.
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-6, msg=name)
    convolutions = [name for name in found if name.startswith("convolutions.")]
    assert all(found[name].abs().max() > 1e-9 for name in convolutions)
    torch.testing.assert_close(model.eval()(x), reference.eval()(x))


ALL_NORMS = [norm for norm in norms_of("snn") if norm != "none"]


@pytest.mark.parametrize("norm", ALL_NORMS)
@pytest.mark.parametrize("trunk", ["membrane", "resnet19"])
def test_every_norm_in_evaluation_is_itself_step_by_step(trunk: str, norm: str) -> None:
    model = spiking(trunk, norm)
    for _ in range(2):
        logits = model(torch.randn(3, 3, 12, 12))
    F.cross_entropy(logits, torch.arange(3)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    model.eval()
    x = torch.randn(2, 3, 12, 12)
    expected = model(x)
    if NORMS[norm].place == "membrane":  # whose neurons run whole sequences alone
        return
    reference = spiking(trunk, norm, neuron="snntorch").eval()
    reference.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(reference(x), expected)


def test_a_norm_on_the_membrane_may_stand_beside_one_after_the_convolution() -> None:
    alone, beside = spiking("membrane", "mpbn"), spiking("membrane", "batchnorm-mpbn")
    for model, after_convolution in ((alone, nn.Identity), (beside, SequenceBatchNorm2d)):
        assert {type(norm) for norm in model.norms.values()} == {after_convolution}
        on_membrane = [getattr(neuron, "on_membrane", None) for neuron in model.neurons.values()]
        assert all(isinstance(one, MembranePotentialBatchNorm2d) for one in on_membrane)
        assert all(convolution.bias is None for convolution in model.convolutions.values())


@pytest.mark.parametrize("norm", ["batchnorm", "tdbn", "tebn", "homeostatic-shared", "osr"])
def test_statistics_over_time_have_a_gradient_through_all_steps(norm: str) -> None:
    """The neurons' gradient is that of the norm's own forward pass."""
    model = spiking("membrane", norm)
    own = spiking("membrane", norm)
    monkey = pytest.MonkeyPatch()
    x = torch.randn(2, 3, 3, 12, 12).requires_grad_()
    logits = model(x)
    found = gradients(model, logits, x)
    with monkey.context() as patched:
        patched.setattr("snn_norm.networks.spiking._folds", lambda _: False)
        expected_logits = own(x)
    torch.testing.assert_close(logits, expected_logits)
    for name, gradient in gradients(own, expected_logits, x).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-10, msg=name)


def test_tdbn_is_told_the_threshold_and_the_branches() -> None:
    norms = spiking("resnet19", "tdbn").norms
    assert {norm.threshold for norm in norms.values()} == {0.5}
    summed = {name for name, norm in norms.items() if norm.branches == 2}
    assert summed == {n for n in norms if n.endswith(("_conv2", "_shortcut"))}


class Halving(nn.Module):
    """A user's norm, which takes a step or a whole sequence."""

    def __init__(self, _num_features: int, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        assert t is not None or len(x) == self.num_steps
        return x / 2


@each_trunk
def test_stretches_of_a_sequence_are_the_sequence(
    trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = spiking(trunk, "bntt").train(), torch.randn(2, 3, 12, 12).requires_grad_()
    whole = model(x)
    expected = gradients(model, whole, x)
    monkeypatch.setattr("snn_norm.networks.spiking._VALUES_AT_ONCE", 1)
    assert len(model._stretches(x.unsqueeze(0))) == 3
    logits = model(x)
    torch.testing.assert_close(logits, whole)
    for name, gradient in gradients(model, logits, x).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_an_image_is_a_constant_sequence() -> None:
    model, x = spiking("membrane", "bntt"), torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(model(x), model(x.unsqueeze(1).expand(-1, 3, -1, -1, -1)))


def test_sequences_of_another_length_are_refused() -> None:
    model = spiking("vgg9", "none")
    with pytest.raises(ValueError, match=r"T = num_steps = 3, got \(2, 4, 3, 12, 12\)"):
        model(torch.randn(2, 4, 3, 12, 12))
    with pytest.raises(ValueError, match=r"takes images .*for sequences, take architecture snn"):
        ANNCNN(width=2)(torch.randn(2, 4, 3, 32, 32))


def artificial(trunk: str) -> ANNCNN:
    torch.manual_seed(1)
    model = ANNCNN("batchnorm", num_classes=4, image_size=12, width=4, **TRUNKS[trunk])
    for layer in model.norms.values():
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        layer.weight.data.uniform_(0.5, 2)
        layer.bias.data.normal_()
    return model.eval()


def plainly(model: ANNCNN, x_NCHW: Tensor, shortcut: str, blocks: tuple[int, ...]) -> Tensor:
    """A residual network by its papers' figures."""

    def normed(name: str, x: Tensor) -> Tensor:
        convolution, norm = model.convolutions[name], model.norms[name]
        y = F.conv2d(x, convolution.weight, None, convolution.stride, convolution.padding)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (y - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[
            :, None, None
        ]

    x = normed("conv1", x_NCHW)
    if shortcut != "membrane":
        x = x.relu()
    for stage, number in enumerate(blocks, start=1):
        for block in range(1, number + 1):
            name, halved = f"stage{stage}_block{block}", stage > 1 and block == 1
            entering = x.relu()
            out = normed(f"{name}_conv2", normed(f"{name}_conv1", entering).relu())
            carried = x
            if halved and shortcut != "none":
                carried = normed(f"{name}_shortcut", entering)
            match shortcut:
                case "none":
                    x = out.relu()
                case "spike":
                    x = out.relu() + (carried.relu() if halved else carried)
                case "membrane":
                    x = out + carried
                case "current":
                    x = (out + carried).relu()
    features = x.relu().mean((2, 3))
    if shortcut == "current":
        features = model.hidden(features).relu()
    return model.classifier(features)


@pytest.mark.parametrize(
    ("trunk", "shortcut", "blocks"),
    [
        ("resnet19", "current", (3, 3, 2)),
        ("plain", "none", (1, 1, 1)),
        ("spike", "spike", (2, 2, 2)),
        ("membrane", "membrane", (2, 2, 2)),
    ],
)
def test_artificial_residual_networks_are_those_of_the_papers(
    trunk: str, shortcut: str, blocks: tuple[int, ...]
) -> None:
    model, x = artificial(trunk), torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(model(x), plainly(model, x, shortcut, blocks))


def test_artificial_vgg9() -> None:
    model = artificial("vgg9")
    x = expected = torch.randn(2, 3, 12, 12)
    for index in range(1, 8):
        name = f"conv{index}"
        expected = model.norms[name](model.convolutions[name](expected)).relu()
        if index in (2, 4, 7):
            expected = F.avg_pool2d(expected, 2)
    expected = model.classifier(model.hidden(expected.flatten(1)).relu())
    torch.testing.assert_close(model(x), expected)


@each_trunk
def test_both_networks_have_the_same_weights(trunk: str) -> None:
    keys = {"num_classes": 4, "image_size": 12, "width": 4, **TRUNKS[trunk]}
    shapes = [
        {name: tensor.shape for name, tensor in make("none", **keys).state_dict().items()}
        for make in (ANNCNN, SNNCNN)
    ]
    assert shapes[0] == shapes[1]
