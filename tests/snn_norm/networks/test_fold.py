"""Folded networks are the networks, spike by spike, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from snn_norm import ANNCNN, SNNCNN, fold
from snn_norm.networks.fold import ThresholdOfEachChannel
from snn_norm.networks.layers import ConvolutionOfEachStep
from snn_norm.norms.table import NORMS, norms_of

pytestmark = pytest.mark.usefixtures("double")

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


def trained(make: Any, norm: str, **keys: Any) -> Any:
    """With statistics and parameters of its own in every channel, some weights negative."""
    model = make(norm, num_classes=4, image_size=12, width=4, **keys)
    for name, parameter in model.named_parameters():
        parameter.data.mul_(1 + 0.3 * torch.randn_like(parameter)).add_(
            0.05 * torch.randn_like(parameter)
        )
        if "on_membrane.weight" in name:
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


@pytest.mark.parametrize("norm", ["none", "batchnorm", "bntt", "weightstd"])
@pytest.mark.parametrize("by", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_weights_are_folded_as_computed(norm: str, by: Any) -> None:
    model = trained(SNNCNN, norm, num_steps=3, threshold=0.2)
    for layer in (*model.convolutions.values(), model.hidden, model.classifier):
        by(layer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "original0" in name:  # of weight_norm, the norms of the weights
                parameter.mul_(1.5)
    x = torch.randn(3, 3, 12, 12)
    model(x)
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold(model)
    expected, spikes = spikes_of(model, x)
    logits, found = spikes_of(folded, x)
    for name, of_layer in spikes.items():
        assert torch.equal(found[name], of_layer), name
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    assert not any("parametrizations" in name for name in folded.state_dict())
    assert before.keys() == model.state_dict().keys(), "the given network has changed"


def _pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", amount=0.5)


@pytest.mark.parametrize("place", ["convolutions.conv2", "classifier"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_a_hook_computes_are_refused_until_they_are_made_parameters(
    place: str,
) -> None:
    for hooked, plain in (
        (_pruned, prune.remove),
        (nn.utils.weight_norm, nn.utils.remove_weight_norm),
        (nn.utils.spectral_norm, nn.utils.remove_spectral_norm),
    ):
        model = trained(SNNCNN, "batchnorm", num_steps=3, threshold=0.2)
        layer = model.get_submodule(place)
        hooked(layer)
        x = torch.randn(3, 3, 12, 12)
        for run in (False, True):
            if run:
                model(x)
            with pytest.raises(ValueError, match=f"{place}.weight is computed by a hook"):
                fold(model)
        expected, _ = spikes_of(model, x)
        plain(layer, "weight")
        torch.testing.assert_close(spikes_of(fold(model), x)[0], expected, rtol=0, atol=1e-10)


def test_a_convolution_of_another_kind_is_refused() -> None:
    class Doubled(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model = ANNCNN(width=2)
    model.convolutions["conv2"] = Doubled(2, 2, 3, padding=1)
    with pytest.raises(ValueError, match=r"of conv2 must be a torch.nn.Conv2d .*got a Doubled"):
        fold(model)


@pytest.mark.parametrize("norm", FOLDING["snn"])
def test_a_folded_network_can_be_folded_again(norm: str) -> None:
    folded = fold(trained(SNNCNN, norm, num_steps=3, threshold=0.2))
    again = fold(folded)
    assert again is not folded
    state = folded.state_dict()
    assert state.keys() == again.state_dict().keys()
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name]), name
    x = torch.randn(3, 3, 12, 12)
    assert torch.equal(spikes_of(again, x)[0], spikes_of(folded, x)[0])
