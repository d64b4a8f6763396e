"""Folded networks are the networks, spike by spike, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snn_norm import ANNCNN, SNNCNN, fold
from snn_norm.networks.fold import ThresholdOfEachChannel
from snn_norm.networks.layers import ConvolutionOfEachStep
from snn_norm.norms.table import NORMS, norms_of

TRUNKS: list[dict[str, Any]] = [
    {"trunk": "reference"},
    {"trunk": "resnet19"},
    {"trunk": "resnet", "depth": 8, "shortcut": "membrane"},
    {"trunk": "resnet", "depth": 8, "shortcut": "spike"},
]
each_trunk = pytest.mark.parametrize(
    "trunk", TRUNKS, ids=lambda keys: "-".join(map(str, keys.values()))
)
FOLDING = {arch: [n for n in norms_of(arch) if NORMS[n].folds] for arch in ("ann", "snn")}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained(make: Any, norm: str, **keys: Any) -> Any:
    """With statistics and parameters of its own in every channel, some weights negative."""
    model = make(norm, num_classes=4, image_size=12, width=4, **keys)
    for name, parameter in model.named_parameters():
        parameter.data.mul_(1 + 0.3 * torch.randn_like(parameter)).add_(
            0.05 * torch.randn_like(parameter)
        )
        if norm == "mpbn" and "on_membrane.weight" in name:
            parameter.data[::4] *= -1
    for _ in range(3):
        model(torch.randn(4, 3, 12, 12))
    return model.eval()


def spikes_of(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    spikes: dict[str, Tensor] = {}
    hooks = [
        neuron.register_forward_hook(lambda *hooked, name=name: spikes.update({name: hooked[2]}))
        for name, neuron in model.neurons.items()
    ]
    with torch.no_grad():
        logits = model(x)
    for hook in hooks:
        hook.remove()
    return logits, spikes


@each_trunk
@pytest.mark.parametrize("norm", FOLDING["snn"])
def test_every_spike_is_the_same(trunk: dict[str, Any], norm: str) -> None:
    model = trained(SNNCNN, norm, num_steps=3, threshold=0.2, **trunk)
    folded = fold(model)
    for shape in ((3, 3, 12, 12), (3, 3, 3, 12, 12)):
        x = torch.randn(shape)
        expected, spikes = spikes_of(model, x)
        logits, found = spikes_of(folded, x)
        assert found.keys() == spikes.keys()
        for name, of_layer in spikes.items():
            assert torch.equal(found[name], of_layer), name
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    alive = [name for name, of_layer in spikes.items() if 0 < of_layer.mean() < 1]
    assert len(alive) > len(spikes) / 3


@each_trunk
@pytest.mark.parametrize("norm", FOLDING["ann"])
def test_artificial_networks_fold(trunk: dict[str, Any], norm: str) -> None:
    model = trained(ANNCNN, norm, **trunk)
    x = torch.randn(3, 3, 12, 12)
    torch.testing.assert_close(fold(model)(x), model(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", FOLDING["snn"])
def test_no_norm_is_left_and_the_given_network_stays(
    norm: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = trained(SNNCNN, norm, num_steps=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold(model)
    assert all(type(layer) is nn.Identity for layer in folded.norms.values())
    kinds = {type(module) for module in folded.modules()}
    assert (ThresholdOfEachChannel in kinds) == (NORMS[norm].folds == "thresholds")
    each_step = NORMS[norm].folds == "weights of each step"
    assert (ConvolutionOfEachStep in kinds) == each_step
    assert ("3 times those of the network" in caplog.text) == each_step
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not folded.training


def test_a_scale_of_zero_fires_always_or_never() -> None:
    level = ThresholdOfEachChannel(0.5, torch.zeros(2), torch.tensor([0.7, 0.3]))
    v = torch.tensor([-5.0, 5.0]).view(1, 2, 1, 1, 1).expand(1, 2, 2, 1, 1)
    weight, bias = level.standardization(v, slice(0, 1)).affine_map()
    above = v * weight[..., None, None] + bias[..., None, None] > 0.5
    assert above.all((0, 1, 3, 4)).tolist() == [True, False]
    assert above.any((0, 1, 3, 4)).tolist() == [True, False]


@pytest.mark.parametrize("norm", ["groupnorm", "layernorm", f"{__name__}:Own"])
def test_what_is_no_fixed_map_is_refused(norm: str) -> None:
    with pytest.raises(ValueError, match=r"norm of conv1, a .*cannot be folded.*each input"):
        fold(SNNCNN(norm, num_steps=2, width=4, image_size=8))


class Own(nn.Module):
    def __init__(self, *_sizes: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        del t
        return x


def test_others_are_refused() -> None:
    with pytest.raises(ValueError, match="only an ANNCNN or SNNCNN can be folded, got a Linear"):
        fold(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="snntorch cannot be folded"):
        fold(SNNCNN("bntt", neuron="snntorch", num_steps=2, width=4, image_size=8))
