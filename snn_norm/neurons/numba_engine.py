"""Integrate-and-fire neurons on a CPU by numba, which needs no compiler on the machine.

This is the mathematics of :mod:`snn_norm.neurons.recurrence`: currents and spikes are the same bits
on processors with fused multiplication and addition, and gradients are the same up to rounding. The
results do not depend on the number of threads, which is PyTorch's. :mod:`.numba_loops` has the
loops; numba compiles them at first use and keeps them on disk.

Shapes as in :mod:`snn_norm.neurons.fused`; images lie in memory with their channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_norm.neurons import numba_loops as loops
from snn_norm.neurons.kernels import channels_last, channels_second
from snn_norm.neurons.recurrence import Gradients, Inputs, Neuron
from snn_norm.neurons.standardization import Standardization
from snn_norm.neurons.threads import in_parallel

_VALUES_A_SPAN = 2048
"""A span has at most so many values, unless an image has more channels than that."""

_VALUES_OF_ALL_STEPS = 2**16
"""All time steps of a span have at most so many values, which a core's cache can hold."""

_BLOCKS_A_CHUNK = 8
"""A chunk has at least so many blocks, so that adding up its sums is a small part of its time."""

_CHUNKS = 32
"""There are at most so many chunks. Each thread takes a range of them."""


def spikes(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The spikes of all steps, and the last membrane."""
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
    x_TN = channels_last(x_TN, 2)
    layout = _layout(x_TN, num_steps, pool)
    shape = list(x_TN.shape[1:])
    if pool:
        shape[1:3] = shape[1] // 2, shape[2] // 2
    spikes_TN = x_TN.new_empty(num_steps, *shape)
    membrane_N = _state(x_TN, membrane_N)
    _run(
        loops.spikes, layout, _steps(x_TN), _maps(x_TN, standardization, layout),
        membrane_N.view(-1).numpy(), _steps(spikes_TN), layout,
        _constants(neuron, membrane_N.dtype),
    )  # fmt: skip
    return channels_second(spikes_TN, 2), channels_second(membrane_N, 1)


def gradients(inputs: Inputs, grad_spikes_TN: Tensor, grad_after_N: Tensor | None) -> Gradients:
    """Gradients of all inputs, as :func:`snn_norm.neurons.recurrence.gradients`."""
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
    x_TN, grad_spikes_TN = channels_last(x_TN, 2), channels_last(grad_spikes_TN, 2)
    layout = _layout(x_TN, num_steps, pool)
    grad_N = _state(x_TN, grad_after_N)
    grad_x_TN = torch.empty_like(x_TN, dtype=grad_N.dtype)
    chunks = 0 if standardization is None else layout.chunks
    sums = np.zeros((chunks, num_steps, 2, layout.channels), _steps(grad_x_TN).dtype)
    of_beta = np.zeros(layout.chunks)
    _run(
        loops.gradients, layout, _steps(x_TN), _maps(x_TN, standardization, layout),
        _state(x_TN, membrane_N).view(-1).numpy(), _steps(grad_spikes_TN),
        grad_N.view(-1).numpy(), _steps(grad_x_TN), sums, of_beta, layout,
        _constants(neuron, grad_N.dtype),
    )  # fmt: skip
    grad_scale = grad_offset = None
    if standardization is not None:
        standardization = standardization.detach()
        # numpy adds in the same order whatever the number of threads.
        grad_offset, products = torch.from_numpy(sums.sum(0)).unbind(1)
        grad_scale = standardization.grad_scale(products, grad_offset)
        if standardization.of_batch:
            values = x_TN[0].numel() // layout.channels
            constant, of_x, weight = standardization.input_map(grad_scale, grad_offset, values)
            maps = torch.stack([of_x * weight, constant * weight], -2)
            if len(x_TN) < num_steps:
                maps = maps.expand(num_steps, -1, -1).sum(0)
            _run(
                loops.add_through_statistics, layout, _steps(x_TN), _rows(maps, layout),
                _steps(grad_x_TN), layout,
            )  # fmt: skip
    learned = isinstance(neuron.beta, Tensor)
    return Gradients(
        channels_second(grad_x_TN.to(x_TN.dtype), 2),
        channels_second(grad_N, 1),
        torch.tensor(of_beta.sum(), dtype=grad_N.dtype) if learned else None,
        grad_scale,
        grad_offset,
    )


def _run(loop: Callable[..., None], layout: loops.Layout, *arguments: Any) -> None:
    """Call a loop for all chunks, divided among threads."""
    threads = min(torch.get_num_threads(), layout.chunks)
    ends = [layout.chunks * index // threads for index in range(threads + 1)]
    in_parallel(lambda index: loop(*arguments, *ends[index : index + 2]), threads)


def _layout(x_TN: Tensor, num_steps: int, pool: bool) -> loops.Layout:
    """The division of a step into blocks, and of these into chunks."""
    values = x_TN[0].numel()
    if x_TN.dim() == 5:
        images, height, width, channels = x_TN.shape[1:]
    else:
        images, height, width, channels = 1, 1, values, 1
    most = min(_VALUES_A_SPAN, _VALUES_OF_ALL_STEPS // num_steps)
    rows, columns = 1, most // channels
    if not pool:  # then all images are one row
        images, height, width = 1, 1, images * height * width
    elif 2 * width * channels <= most:
        if height % 2 == 0:  # then all images are one
            images, height = 1, images * height
        rows = 2 * max(1, min(most // (2 * width * channels), -(-height // 2)))
        columns = width
    else:
        rows, columns = 2, max(2, columns - columns % 2)
    columns = max(1, min(columns, width))
    blocks = images * -(-height // rows) * -(-width // columns)
    chunks = max(1, min(_CHUNKS, blocks // _BLOCKS_A_CHUNK))
    return loops.Layout(images, height, width, channels, rows, columns, chunks, pool)


def _constants(neuron: Neuron, dtype: torch.dtype) -> loops.Neuron:
    number = np.float64 if dtype == torch.float64 else np.float32
    return loops.Neuron(
        number(float(neuron.beta)),
        number(neuron.threshold),
        number(neuron.slope),
        number(0),
        number(1),
        loops.SURROGATES.index(neuron.surrogate),
        neuron.reset == "zero",
        isinstance(neuron.beta, Tensor),
    )


def _maps(x_TN: Tensor, standardization: Standardization | None, layout: loops.Layout) -> Any:
    """Weight and bias, (T, 2, a span); 1 and 0 without a standardization."""
    dtype = torch.promote_types(x_TN.dtype, torch.float32)
    if standardization is None:
        maps = torch.tensor([1, 0], dtype=dtype).view(1, 2, 1).expand(-1, -1, layout.channels)
    else:
        maps = torch.stack(standardization.detach().affine_map(), 1).to(dtype)
    return _rows(maps, layout)


def _rows(maps: Tensor, layout: loops.Layout) -> Any:
    """Repeat what belongs to each channel for each place of a span."""
    places = layout.span // layout.channels
    return maps.reshape(-1, 2, layout.channels).repeat(1, 1, places).numpy()


def _state(x_TN: Tensor, values_N: Tensor | None) -> Tensor:
    """A copy of the membranes of a step, or of their gradient, for a loop to overwrite."""
    if values_N is None:
        return torch.zeros_like(x_TN[0], dtype=torch.promote_types(x_TN.dtype, torch.float32))
    return channels_last(values_N, 1).clone()


def _steps(sequence_TN: Tensor) -> Any:
    """An array (T, values) over the same memory; for bfloat16, of its bits."""
    flat = sequence_TN.view(len(sequence_TN), sequence_TN[0].numel())
    if flat.dtype == torch.bfloat16:
        return flat.view(torch.int16).numpy().view(np.uint16)
    return flat.numpy()
