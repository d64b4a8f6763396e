"""A captured step is the step. A strict stand-in here; test_gpu.py has CUDA's own graphs."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.neurons import engine
from snn_norm.training import cuda_graph as captured
from snn_norm.training.cuda_graph import CapturedStep, graph_for
from snn_norm.training.run import TrainingRun

IMAGES, BATCH = 44, 8  # five whole batches and a half one
PARTS = ("train_images", "train_labels", "test_images", "test_labels")


class RecordedGraph(TorchDispatchMode):
    """What a processor computes, recorded; and computed again at the same addresses.

    As with CUDA's graphs, capturing computes nothing, and refuses what would wait for a value or
    copy one from the host.
    """

    refused = (
        torch.ops.aten._local_scalar_dense,
        torch.ops.aten.lift_fresh,
        torch.ops.aten.nonzero,
    )

    def __init__(self) -> None:
        super().__init__()
        self.replays = 0
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self._written: dict[int, tuple[Tensor, Tensor]] = {}

    def prepare(self, step: Callable[[], Any]) -> Any:
        return step()

    def capture(self, step: Callable[[], Any]) -> Any:
        with self:
            result = step()
        for function, _, _, output in self._calls:
            for made in new_tensors(function, output):
                made.fill_(torch.nan if made.is_floating_point() else 99)
        for whole, before in self._written.values():
            whole.copy_(before)
        return result

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for function, args, kwargs, output in self._calls:
            again = function(*args, **kwargs)
            made = new_tensors(function, output), new_tensors(function, again)
            for static, value in zip(*made, strict=True):
                static.copy_(value)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if function.overloadpacket in self.refused:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in tree_leaves(written_tensors(function, args, kwargs)):
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            self._written.setdefault(whole.data_ptr(), (whole, whole.clone()))
        output = function(*args, **kwargs)
        self._calls.append((function, args, kwargs, output))
        return output


def written_tensors(function: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operation writes to."""
    if function.overloadpacket is torch.ops.aten.native_batch_norm:
        return list(args[3:5])  # the moving statistics, of which its schema says nothing
    return [
        kwargs[argument.name] if argument.kwarg_only else args[position]
        for position, argument in enumerate(function._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


def new_tensors(function: Any, output: Any) -> Iterator[Tensor]:
    """Of an operation's outputs, those that are no view of an input."""
    outputs = output if isinstance(output, tuple) else (output,)
    for returned, value in zip(function._schema.returns, outputs, strict=False):
        if returned.alias_info is None and isinstance(value, Tensor):
            yield value


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[RecordedGraph]:
    """The graphs of the runs to come."""
    made: list[RecordedGraph] = []

    def make(*_: Any) -> RecordedGraph:
        made.append(RecordedGraph())
        return made[-1]

    monkeypatch.setattr("snn_norm.training.run.graph_for", make)
    return made


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_dataset("digits", Path(), 8)
    return dataclasses.replace(digits, **{part: getattr(digits, part)[:IMAGES] for part in PARTS})


def config(**changes: Any) -> RunConfig:
    keys: dict[str, Any] = {
        "architecture": "snn",
        "norm": "homeostatic",
        "dataset": "digits",
        "image_size": 8,
        "seed": 3,
        "epochs": 2,
        "batch_size": BATCH,
        "width": 4,
    }
    keys.update(changes)
    if keys["architecture"] == "snn":
        keys = {"num_steps": 3, "slope": 5, **keys}
    return RunConfig(**keys)


def trained(keys: RunConfig, data: Dataset, device: str = "cpu") -> list[Tensor]:
    """Weights, buffers, losses and accuracies of a whole run."""
    run = TrainingRun(keys, data, device=device)
    numbers = [[r.train_loss, r.train_accuracy, r.test_loss] for r in run.epochs()]
    return [torch.tensor(numbers), *(value.cpu() for value in run.model.state_dict().values())]


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "ann", "norm": "batchnorm", "augment": True},
        {"architecture": "ann", "norm": "homeostatic", "optimizer": "sgd"},
        {"norm": "none", "optimizer": "adamw"},
        {"norm": "bntt", "precision": "bf16"},
        {"norm": "homeostatic", "warmup_epochs": 1},
    ],
)
def test_a_captured_run_is_the_run(
    changes: dict[str, Any],
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    graphs: list[RecordedGraph],
) -> None:
    """Bit for bit, with an optimizer, a schedule and a short batch that no graph knows of."""
    caplog.set_level(logging.INFO, "snn_norm")
    # Numba, which is for CPUs alone, does what no graph could record.
    monkeypatch.setattr(engine, "_by_default", lambda _device: "eager")
    keys = config(**changes)
    found = trained(keys, data)
    # Three batches before, the fourth captured, the fifth; five of the second epoch.
    assert [graph.replays for graph in graphs] == [7]
    assert f"a training step of {BATCH} images is a CUDA graph" in caplog.text
    monkeypatch.setattr("snn_norm.training.run.graph_for", graph_for)
    expected = trained(keys, data)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


class Moving(nn.Module):
    """A layer with a buffer that each batch moves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.layer(x) * self.seen


def losses(spoil: Callable[[Tensor], Tensor], graph: RecordedGraph | None) -> list[list[Tensor]]:
    """Of six batches: the loss, the gradients and the buffer."""
    torch.manual_seed(0)
    model = Moving()

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        model.zero_grad()
        logits = model(images)
        loss = spoil(F.cross_entropy(logits, labels))
        loss.backward()
        return loss.detach(), logits.detach()

    run, results = CapturedStep(model, graph), []
    for images in torch.randn(6, 5, 4):
        loss, _ = run(step, images, torch.arange(5) % 3)
        gradients = [parameter.grad for parameter in model.parameters()]
        results.append([value.clone() for value in (loss, *gradients, model.seen)])
    return results


@pytest.mark.parametrize(
    "spoil",
    [lambda loss: loss * float(loss.detach()), lambda loss: loss * torch.tensor(2.0)],
    ids=["waits", "copies from the host"],
)
def test_what_cannot_be_captured_goes_on_as_it_was(
    spoil: Callable[[Tensor], Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    found = losses(spoil, RecordedGraph())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "goes without: operation not permitted when stream is capturing" in caplog.text
    torch.testing.assert_close(found, losses(spoil, None), rtol=0, atol=0)


def test_a_graph_of_other_numbers_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """As one would give that leaves out what a step does in Python."""

    def counted() -> Callable[[Tensor], Tensor]:
        count = itertools.count(1)
        return lambda loss: loss * (1.0 if next(count) < 5 else 1.5)

    graph = RecordedGraph()
    found = losses(counted(), graph)
    assert "its numbers are off by 50.0%" in caplog.text
    assert graph.replays == 1
    seen = [values[-1].item() for values in found]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_graph_is_for_networks_of_ours_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "CudaGraph", lambda device: f"a graph on {device}")
    gpu = torch.device("cuda", 0)
    assert graph_for(config(), gpu) == "a graph on cuda:0"
    assert graph_for(config(compile=True), gpu) == "a graph on cuda:0"
    assert graph_for(config(architecture="ann", norm="none"), gpu) == "a graph on cuda:0"
    assert graph_for(config(), torch.device("cpu")) is None
    assert graph_for(config(compile=False), gpu) is None
    assert graph_for(config(norm=f"{__name__}:Moving"), gpu) is None
