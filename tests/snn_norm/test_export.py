"""Exported graphs, run by a plain interpreter, fire as the networks do."""

from __future__ import annotations

import graphlib
from pathlib import Path
from typing import Any

import nir
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrizations, prune

from snn_norm import ANNCNN, SNNCNN, fold
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset, normalize
from snn_norm.export import main, to_nir
from snn_norm.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("double")

STEPS = 4


def interpret(graph: nir.NIRGraph, x_NCHW: Tensor, steps: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of the output over time, and every neuron's spikes, by NIR's equations at step 1."""
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, name in graph.edges:
        before[name].append(source)
    membranes: dict[str, Tensor] = {}
    spikes: dict[str, list[Tensor]] = {}
    total = torch.zeros(())
    for _ in range(steps):
        values: dict[str, Tensor] = {}
        for name in graphlib.TopologicalSorter(before).static_order():
            node = graph.nodes[name]
            x = sum(values[source] for source in before[name]) if before[name] else x_NCHW
            values[name] = apply(name, node, torch.as_tensor(x), membranes)
            if isinstance(node, nir.LIF | nir.IF):
                spikes.setdefault(name, []).append(values[name])
        total = total + values["output"]
    return total / steps, {name: torch.stack(each) for name, each in spikes.items()}


def apply(name: str, node: Any, x: Tensor, membranes: dict[str, Tensor]) -> Tensor:
    match node:
        case nir.Input() | nir.Output():
            return x
        case nir.Conv2d():
            weight, bias = torch.as_tensor(node.weight), torch.as_tensor(node.bias)
            return F.conv2d(x, weight, bias, node.stride.tolist(), node.padding.tolist())
        case nir.AvgPool2d():
            return F.avg_pool2d(x, node.kernel_size.tolist(), node.stride.tolist())
        case nir.Flatten():
            return x.flatten(1)
        case nir.Affine():
            return F.linear(x, torch.as_tensor(node.weight), torch.as_tensor(node.bias))
    v = membranes.get(name, torch.zeros_like(x))
    if isinstance(node, nir.IF | nir.I):
        v = v + torch.as_tensor(node.r) * x
    else:
        tau, r, leak = (torch.as_tensor(p) for p in (node.tau, node.r, node.v_leak))
        v = v + (leak - v + r * x) / tau
    if isinstance(node, nir.LI | nir.I):
        membranes[name] = v
        return v
    fired = v > torch.as_tensor(node.v_threshold)
    membranes[name] = torch.where(fired, torch.as_tensor(node.v_reset), v)
    return fired.to(x.dtype)


def network(norm: str = "batchnorm", **keys: Any) -> SNNCNN:
    """Trained a little, so that statistics are its own."""
    keys = {"reset": "zero", "num_steps": STEPS, "threshold": 0.4, "beta": 0.75, **keys}
    model = SNNCNN(norm, num_classes=3, image_size=10, width=4, in_channels=2, **keys)
    for parameter in model.parameters():
        parameter.data.mul_(1 + 0.3 * torch.randn_like(parameter))
    for _ in range(3):
        model(torch.randn(4, 2, 10, 10))
    return model.eval()


@pytest.mark.parametrize("norm", ["none", "batchnorm", "tdbn", "homeostatic-shared", "weightstd"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"trunk": "vgg9", "neuron": "plif"},
        {"trunk": "resnet19"},
        {"trunk": "resnet", "depth": 14, "shortcut": "spike"},
        {"trunk": "resnet", "depth": 14, "shortcut": "membrane"},
    ],
    ids=str,
)
def test_the_graph_fires_as_the_network(norm: str, keys: dict[str, Any], tmp_path: Path) -> None:
    if norm in ("none", "weightstd"):
        keys = {**keys, "threshold": 0.1}
    same_spikes(network(norm, **keys), tmp_path)


def test_neurons_that_do_not_leak(tmp_path: Path) -> None:
    same_spikes(network(neuron="if"), tmp_path)


def test_a_norm_on_the_membrane_is_thresholds(tmp_path: Path) -> None:
    same_spikes(network("mpbn"), tmp_path)


def same_spikes(model: SNNCNN, folder: Path) -> None:
    expected: dict[str, Tensor] = {}
    for name, neuron in model.neurons.items():
        neuron.register_forward_hook(lambda *hooked, name=name: expected.update({name: hooked[2]}))
    x = torch.randn(3, 2, 10, 10)
    with torch.no_grad():
        logits = model(x)
    nir.write(folder / "a.nir", to_nir(model, 2, 10))
    graph = nir.read(folder / "a.nir")
    found, spikes = interpret(graph, x, STEPS)
    assert spikes.keys() == {f"{name}_neurons" for name in expected}
    for name, of_layer in expected.items():
        of_graph = spikes[f"{name}_neurons"]
        if of_layer.shape != of_graph.shape:  # the network has pooled them
            of_graph = F.avg_pool2d(of_graph.flatten(0, 1), 2).unflatten(0, (STEPS, 3))
        torch.testing.assert_close(of_graph, of_layer, rtol=0, atol=0, msg=name)
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-10)
    assert any(0 < of_layer.mean() < 1 for of_layer in list(expected.values())[2:])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"reset": "subtract"}, "reset to a fixed value.*train with reset: zero"),
        ({"norm": "bntt"}, "weights of its own.*such as batchnorm"),
        ({"norm": "layernorm"}, "cannot be folded"),
    ],
)
def test_what_nir_cannot_say_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_nir(network(**keys), 2, 10)
    with pytest.raises(ValueError, match="only an SNNCNN can be exported, got a ANNCNN"):
        to_nir(ANNCNN(width=2), 3, 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["batchnorm", "mpbn"])
def test_a_folded_network_is_the_same_graph(norm: str, tmp_path: Path) -> None:
    model = network(norm)
    nir.write(tmp_path / "a.nir", to_nir(model, 2, 10))
    nir.write(tmp_path / "b.nir", to_nir(fold(model), 2, 10))
    graph, of_folded = nir.read(tmp_path / "a.nir"), nir.read(tmp_path / "b.nir")
    assert graph.nodes.keys() == of_folded.nodes.keys()
    assert graph.edges == of_folded.edges
    x = torch.randn(3, 2, 10, 10)
    torch.testing.assert_close(interpret(of_folded, x, STEPS), interpret(graph, x, STEPS))
    with pytest.raises(ValueError, match="weights of its own"):
        to_nir(fold(network("bntt")), 2, 10)


def test_weights_are_exported_as_they_are_computed(tmp_path: Path) -> None:
    model = network()
    parametrizations.weight_norm(model.convolutions["conv2"])
    parametrizations.weight_norm(model.classifier)
    same_spikes(model, tmp_path)
    prune.l1_unstructured(model.convolutions["conv1"], "weight", amount=0.5)
    with pytest.raises(ValueError, match=r"conv1\.weight is computed by a hook"):
        to_nir(model, 2, 10)


@pytest.mark.parametrize(
    ("keys", "images", "message"),
    [
        ({}, (3, 10), "in_channels must be 2, as the network has, got 3"),
        ({"norm": "bntt"}, (3, 10), "in_channels must be 2, as the network has, got 3"),
        ({}, (2, 16), "from images of 16 pixels come 64 features, and it takes 16"),
        ({}, (2, 0), "image_size must be at least 8, got 0"),
        ({"trunk": "resnet19"}, (2, -4), "image_size must be at least 8, got -4"),
    ],
)
def test_images_of_another_shape_are_refused(
    keys: dict[str, Any], images: tuple[int, int], message: str
) -> None:
    model = network(**keys)
    with pytest.raises(ValueError, match=message):
        to_nir(model, *images)


def test_a_run_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_dtype(torch.float32)
    keys: dict[str, Any] = {
        "architecture": "snn", "norm": "batchnorm", "dataset": "digits", "seed": 1, "epochs": 1,
    }  # fmt: skip
    config = RunConfig(**keys, reset="zero", num_steps=STEPS, width=4)
    data = load_dataset("digits", Path(), 16)
    run = TrainingRun(config, data)
    run.run_epoch()
    torch.save(run.state_dict(), tmp_path / "run.pt")
    (tmp_path / "a model").mkdir()
    (tmp_path / "a model" / "model.safetensors").write_bytes(run.saved())
    x = normalize(data.test_images[:8], data.mean, data.std).double()
    with torch.no_grad():
        expected = run.model.eval().double()(x)
    for saved in ("run.pt", "a model", "a model/model.safetensors"):
        assert main([str(tmp_path / saved), str(tmp_path / "network.nir")]) == 0
        logits, _ = interpret(nir.read(tmp_path / "network.nir"), x, STEPS)
        torch.testing.assert_close(logits, expected)
    for saved, message in (
        ("run.pt", "--image-size must be the size at which it was trained"),
        ("a model", "--image-size must be 16, the size at which the model was trained, got 32"),
    ):
        assert main([str(tmp_path / saved), str(tmp_path / "c.nir"), "--image-size", "32"]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "c.nir").exists()
    state = run.state_dict()
    torch.save({**state, "model": {"weight": torch.ones(1)}}, tmp_path / "weights.pt")
    torch.save({**state, "config": {**state["config"], "norm": "os:system"}}, tmp_path / "code.pt")
    for saved, message in (
        ("weights.pt", "are not those of its network"),
        ("code.pt", "norm 'os:system' cannot be loaded: code that only the file names"),
    ):
        assert main([str(tmp_path / saved), str(tmp_path / "c.nir")]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "other.pt").write_text("text")
    for wrong in ("other.pt", "absent.pt"):
        assert main([str(tmp_path / wrong), str(tmp_path / "b.nir")]) == 2
        assert wrong in capsys.readouterr().err
