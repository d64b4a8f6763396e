"""The transforms of torch.func, as torch.nn.BatchNorm2d takes them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from field_norms import MOVING, OF_ACTIVATIONS, assert_same, make, sequence
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from snn_norm.networks.cnn import SNNCNN
from snn_norm.neurons import make_neuron
from snn_norm.norms import HomeostaticNorm

ALL = ["static", *OF_ACTIVATIONS]

either_mode = pytest.mark.parametrize("training", [True, False])


def norm_of(name: str, training: bool, seed: int = 0) -> Any:
    norm = HomeostaticNorm(2, dtype=torch.float64) if name == "static" else make(name)
    norm(batch(name, seed)), norm(batch(name, seed + 1))
    return norm.train(training)


def batch(name: str, seed: int) -> Tensor:
    return sequence(seed)[0] if name == "static" else sequence(seed)


def loss_of(norm: nn.Module, parameters: Any, buffers: Any, x: Tensor) -> tuple[Tensor, Any]:
    buffers = {name: value.clone() for name, value in buffers.items()}
    y = functional_call(norm, (parameters, buffers), (x,))
    return (y * y.detach().cos()).sum(), buffers


def expected(norm: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """Gradients of parameters and of the input, and the buffers afterwards."""
    norm, x = copy.deepcopy(norm), x.clone().requires_grad_()
    parameters = dict(norm.named_parameters())
    y = norm(x)
    grads = torch.autograd.grad((y * y.detach().cos()).sum(), [*parameters.values(), x])
    return dict(zip(parameters, grads[:-1], strict=True)), grads[-1], dict(norm.named_buffers())


@either_mode
@pytest.mark.parametrize("name", ALL)
def test_grad(name: str, training: bool) -> None:
    norm, x = norm_of(name, training), batch(name, 5)
    state = {k: v.detach() for k, v in norm.named_parameters()}, dict(norm.named_buffers())

    def loss(parameters: Any, x: Tensor) -> tuple[Tensor, Any]:
        return loss_of(norm, parameters, state[1], x)

    (of_parameters, of_x), buffers = grad(loss, argnums=(0, 1), has_aux=True)(state[0], x)
    assert_same((of_parameters, of_x, buffers), expected(norm, x))


@either_mode
@pytest.mark.parametrize("name", ALL)
def test_vmap_over_models_and_grad_in_it(name: str, training: bool) -> None:
    norms, x = [norm_of(name, training, seed) for seed in range(3)], batch(name, 5)
    parameters, buffers = stack_module_state(norms)

    def loss(*state: Any) -> tuple[Tensor, Any]:
        return loss_of(norms[0], *state)

    gradients = vmap(grad(loss, argnums=(0, 2), has_aux=True), in_dims=(0, 0, None))
    (of_parameters, of_x), after = gradients(
        {k: v.detach() for k, v in parameters.items()}, buffers, x
    )
    for model, norm in enumerate(norms):
        found = ({k: v[model] for k, v in values.items()} for values in (of_parameters, after))
        of_one, after_one = found
        assert_same((of_one, of_x[model], after_one), expected(norm, x))


@pytest.mark.parametrize("name", ["static", *MOVING])
def test_gradients_of_what_vmap_gave(name: str) -> None:
    norms, x = [norm_of(name, True, seed) for seed in range(3)], batch(name, 5).requires_grad_()
    parameters, buffers = stack_module_state(norms)

    def output(*state: Any) -> Tensor:
        return functional_call(norms[0], state, (x,))

    wanted = [expected(norm, x.detach()) for norm in norms]
    y = vmap(output)(parameters, buffers)
    loss = (y * y.detach().cos()).sum()
    (of_x, *of_parameters) = torch.autograd.grad(loss, [x, *parameters.values()])
    assert_same(of_x, sum(one[1] for one in wanted))
    for key, gradient in zip(parameters, of_parameters, strict=True):
        assert_same(gradient, torch.stack([one[0][key] for one in wanted]))


@pytest.mark.parametrize("transform", [grad, vmap])
@pytest.mark.parametrize("kind", ["neuron", "network"])
def test_spiking_layers_say_what_to_do(transform: Any, kind: str) -> None:
    model: nn.Module = make_neuron("lif")
    if kind == "network":
        model = SNNCNN(num_steps=2, width=4, image_size=8, in_channels=1)

    def loss(x: Tensor) -> Tensor:
        return model(x).sum()

    with pytest.raises(RuntimeError, match=r"take torch\.autograd\.grad in place .* and a loop"):
        transform(loss)(
            torch.rand(2, 2, 1, 8, 8)[:, 0] if transform is grad else torch.rand(2, 3, 1, 8, 8)
        )
