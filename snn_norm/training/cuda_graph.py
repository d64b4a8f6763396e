"""A training step as one CUDA graph: recorded once, then replayed without Python.

A spiking network's step is hundreds of kernel launches, and on a fast GPU, or on a fraction of one
that many processes share, the launches take longer than the computation. A graph is launched in one
call. It computes at the same addresses each time, so each batch is copied to where the graph reads,
and the gradients are always where it writes. Everything that changes on the host from step to step,
such as an optimizer's learning rate, stays outside the graph.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from snn_norm.config import RunConfig
from snn_norm.norms.table import ARCHITECTURES, norms_of

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps images and labels to their loss and logits, and leaves the gradients in the parameters."""

_Result = TypeVar("_Result")

_LOG = logging.getLogger(__name__)

STEPS_TO_CAPTURE = 4
"""The number of batches of one size up to the one that is captured; at those before it, libraries
choose and compile their kernels."""

_TOLERANCE = 0.01
"""The largest difference between a graph's numbers and those of the same step without it, as a
share of their norm. They can differ because some kernels sum in no fixed order."""


class CapturedStep:
    """Runs a training step, from the fourth batch on as a graph.

    The graph is only used for batches of the first batch's size. The batch at which it is captured
    is computed both with and without it. If the results differ, or if the step cannot be captured,
    training continues without a graph, and a warning gives the reason.

    Args:
        model: the model whose parameters get gradients, and whose buffers the step may change.
        graph: the graph to capture in, on the model's device; None to never capture.
    """

    def __init__(self, model: nn.Module, graph: CudaGraph | None) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._buffers = list(model.buffers())
        self._graph = graph
        self._shape: torch.Size | None = None
        self._steps_before = STEPS_TO_CAPTURE - 1
        self._captured: _Captured | None = None

    def __call__(self, step: Step, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and logits of a batch, and leave its gradients in the parameters.

        Args:
            step: the same one in each call. It is not stored, since the two would then keep each
                other alive.
            images: (N, ...).
            labels: (N,).
        """
        if self._shape is None:
            self._shape = images.shape
        if self._graph is None or images.shape != self._shape:
            return step(images, labels)
        if self._captured is not None:
            return self._replay(self._graph, self._captured, images, labels)
        if self._steps_before:
            self._steps_before -= 1
            return self._graph.prepare(partial(step, images, labels))
        return self._capture(self._graph, step, images, labels)

    def _capture(
        self, graph: CudaGraph, step: Step, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        before = [buffer.clone() for buffer in self._buffers]
        outputs = graph.prepare(partial(step, images, labels))
        gradients = [parameter.grad for parameter in self._parameters]
        after = [buffer.clone() for buffer in self._buffers]
        try:
            self._set_buffers(before)
            inputs = (images.clone(), labels.clone())
            static = graph.capture(partial(step, *inputs))
            grads = [parameter.grad for parameter in self._parameters]
            self._captured = _Captured(inputs, static, grads)
            self._replay(graph, self._captured, images, labels)
            difference = _difference(
                [*outputs, *gradients, *after], [*static, *grads, *self._buffers]
            )
            if difference <= _TOLERANCE:
                _LOG.info("a training step of %d images is a CUDA graph", len(images))
                return static
            problem = f"its numbers are off by {difference:.1%}"
        except RuntimeError as error:  # anything that CUDA refuses
            problem = str(error).partition("\n")[0]
        _LOG.warning("a training step cannot be a CUDA graph, and goes without: %s", problem)
        self._graph = self._captured = None
        self._set_buffers(after)
        self._set_gradients(gradients)
        return outputs

    def _replay(
        self, graph: CudaGraph, captured: _Captured, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        for static, given in zip(captured.inputs, (images, labels), strict=True):
            static.copy_(given)
        graph.replay()
        self._set_gradients(captured.gradients)
        return captured.outputs

    def _set_gradients(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient

    def _set_buffers(self, values: list[Tensor]) -> None:
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer.copy_(value)


class _Captured(NamedTuple):
    """The tensors at whose addresses a graph reads and writes."""

    inputs: tuple[Tensor, Tensor]
    outputs: tuple[Tensor, Tensor]
    gradients: list[Tensor | None]


class CudaGraph:
    """CUDA's recording of a step, on its own stream."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()

    def prepare(self, step: Callable[[], _Result]) -> _Result:
        """Run a step on the stream on which it will be captured."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            result = step()
        outside.wait_stream(self._stream)
        return result

    def capture(self, step: Callable[[], _Result]) -> _Result:
        """Record a step; :meth:`replay` computes its tensors, at the same addresses."""
        with torch.cuda.graph(self._graph, stream=self._stream):
            return step()

    def replay(self) -> None:
        """Run the recorded step on the current stream."""
        self._graph.replay()


def graph_for(config: RunConfig, device: torch.device) -> CudaGraph | None:
    """Return a graph for a run's training step, or None if the step must not be captured.

    It must not be on a CPU, if ``compile`` is false, or with a user's own network or norm, which
    may run Python code that a graph would never repeat.
    """
    ours = config.architecture in ARCHITECTURES and config.norm in norms_of(config.architecture)
    captured = device.type == "cuda" and config.compile is not False and ours
    return CudaGraph(device) if captured else None


def _difference(expected: list[Tensor | None], found: list[Tensor | None]) -> float:
    """The largest distance of a tensor from the expected one, as a share of the latter's norm."""
    shares = [0.0]
    for wanted, given in zip(expected, found, strict=True):
        if wanted is None or given is None:
            shares.append(0.0 if wanted is given else math.inf)
            continue
        wanted, given = (values.double().nan_to_num() for values in (wanted, given))
        distance = (given - wanted).norm() / wanted.norm().clamp(min=1e-8)
        shares.append(float(distance))
    return max(shares)
