"""The recurrence of :mod:`snn_norm.neurons.recurrence` and its gradient as loops, for numba.

A loop works on a block of neurons at a time. Blocks are so small that all time steps of one stay in
the cache of a core, so currents, spikes and gradients are read and written once.

Arrays of a sequence have the shape (T, values), where the values of a step lie in memory as
(N, H, W, C); the currents x may have a single step, which stands for each. ``maps`` holds a weight
and a bias for each value of a row of a block, (steps, 2, columns · C); a single step stands for
each here too. Sequences in bfloat16 are arrays of its bits, uint16; everything else is in float32
then.

A chunk is a range of blocks that does not depend on the number of threads. Sums are taken within
chunks, so they are the same with any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
from numba.extending import intrinsic, overload

_Function = TypeVar("_Function", bound=Callable[..., Any])
_inlined: Callable[[_Function], _Function] = numba.njit(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
_compiled: Callable[[_Function], _Function] = numba.njit(
    nogil=True, error_model="numpy", cache=True
)

SURROGATES = ("fast_sigmoid", "atan", "triangle", "rectangle", "sigmoid")
"""The surrogate gradients; a :class:`Neuron` has the index of its own."""


class Layout(NamedTuple):
    """The shape of one step, and its division into blocks and chunks.

    A block has ``rows`` rows (2 if spikes are pooled, otherwise 1) and ``columns`` columns of an
    image, or what is left of these at the image's edges.
    """

    images: int
    height: int
    width: int
    channels: int
    rows: int
    columns: int
    chunks: int


class Neuron(NamedTuple):
    """The constants of a neuron, in the dtype of its membrane."""

    beta: Any
    threshold: Any
    slope: Any
    zero: Any
    one: Any
    surrogate: int
    reset_to_zero: bool
    beta_is_learned: bool


@intrinsic  # type: ignore[untyped-decorator]
def _fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ARG001
    """x · y + z, rounded once, as in PyTorch's ``addcmul`` and ``add`` with ``alpha``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fma(*arguments)

    return x(x, x, x), generate


def _floats(values: Any, buffer: Any) -> Any:
    """Values as they are, or those of bfloat16, whose bits are the upper half of a float32's."""


@overload(_floats)  # type: ignore[untyped-decorator]
def _(values: Any, buffer: Any) -> Any:  # noqa: ARG001
    def widened(values: Any, buffer: Any) -> Any:
        bits = buffer.view(np.uint32)
        for i in range(len(values)):
            bits[i] = np.uint32(values[i]) << np.uint32(16)
        return buffer[: len(values)]

    def same(values: Any, buffer: Any) -> Any:  # noqa: ARG001
        return values

    return widened if values.dtype == numba.uint16 else same


def _write(spikes: Any, out: Any) -> None:
    """Write spikes, or averages of four, which bfloat16 holds without rounding."""


@overload(_write)  # type: ignore[untyped-decorator]
def _(spikes: Any, out: Any) -> Any:  # noqa: ARG001
    def narrowed(spikes: Any, out: Any) -> None:
        bits = spikes.view(np.uint32)
        for i in range(len(out)):
            out[i] = bits[i] >> np.uint32(16)

    def same(spikes: Any, out: Any) -> None:
        for i in range(len(out)):
            out[i] = spikes[i]

    return narrowed if out.dtype == numba.uint16 else same


@_compiled
def spikes(
    x: Any,
    maps: Any,
    membranes: Any,
    spikes: Any,
    layout: Layout,
    neuron: Neuron,
    first: int,
    last: int,
) -> None:
    """Compute the spikes of the chunks from ``first`` to before ``last``.

    Args:
        x: currents.
        maps: the weight and bias that standardize them.
        membranes: those before the first step, (values,); overwritten by those after the last.
        spikes: output; averages over 2x2 squares if the layout has two rows a block.
        layout, neuron: the shape and the constants.
        first, last: the range of chunks.
    """
    channels, row_length = layout.channels, layout.width * layout.channels
    fired = np.empty((3, layout.columns * channels), membranes.dtype)
    buffer = np.empty(layout.columns * channels, membranes.dtype)
    for block in range(_first_block(first, layout), _first_block(last, layout)):
        start, rows, columns, pooled = _place(block, layout)
        length = columns * channels
        for t in range(len(spikes)):
            for row in range(rows):
                begin = start + row * row_length
                v = membranes[begin : begin + length]
                now = _floats(x[t % len(x), begin : begin + length], buffer)
                _advance(v, now, maps[t % len(maps)], neuron)
                if layout.rows == 1:
                    _fire(v, neuron, neuron.one, fired[0])
                    _write(fired[0], spikes[t, begin : begin + length])
                else:
                    _fire(v, neuron, neuron.one / 4, fired[row])
            if rows == 2:
                out = spikes[t, pooled : pooled + columns // 2 * channels]
                _pool(fired, channels, len(out), fired[2])
                _write(fired[2], out)


@_compiled
def gradients(
    x: Any,
    maps: Any,
    membranes: Any,
    of_spikes: Any,
    of_membranes: Any,
    of_x: Any,
    sums: Any,
    of_beta: Any,
    layout: Layout,
    neuron: Neuron,
    first: int,
    last: int,
) -> None:
    """Compute the gradients of the chunks from ``first`` to before ``last``.

    Args:
        x, maps, layout, neuron, first, last: those of :func:`spikes`.
        membranes: those before the first step, (values,).
        of_spikes: the gradient of the spikes, or of their averages.
        of_membranes: that of the membranes after the last step, (values,); overwritten by that of
            the membranes before the first.
        of_x: output: the gradient of x where its statistics are constants.
        sums: output, zero at first: Σ grad and Σ grad · x of each chunk and step, in the places of
            a row of a block, (chunks, T, 2, columns · C). Without chunks they are not computed.
        of_beta: output, (chunks,), zero at first.
    """
    steps, channels, row_length = len(of_spikes), layout.channels, layout.width * layout.channels
    history = np.empty((steps + 1, layout.columns * channels), membranes.dtype)
    spread, buffer, other = (
        np.empty(layout.columns * channels, membranes.dtype),
        np.empty(layout.columns * channels, membranes.dtype),
        np.empty(layout.columns * channels, membranes.dtype),
    )
    for chunk in range(first, last):
        for block in range(_first_block(chunk, layout), _first_block(chunk + 1, layout)):
            start, rows, columns, pooled = _place(block, layout)
            length = columns * channels
            of_fired = spread[:length]
            for row in range(rows):
                begin = start + row * row_length
                end = begin + length
                _copy(membranes[begin:end], history[0])
                for t in range(steps):
                    v = history[t + 1, :length]
                    _copy(history[t, :length], v)
                    now = _floats(x[t % len(x), begin:end], buffer)
                    _advance(v, now, maps[t % len(maps)], neuron)
                grad = of_membranes[begin:end]
                for t in range(steps - 1, -1, -1):
                    now = _floats(x[t % len(x), begin:end], buffer)
                    weight = maps[t % len(maps), 0]
                    if layout.rows == 1:
                        of_fired = _floats(of_spikes[t, begin:end], other)
                    else:
                        squares = columns // 2 if rows == 2 else 0
                        of_squares = of_spikes[t, pooled : pooled + squares * channels]
                        of_fired = spread[:length]
                        _spread(_floats(of_squares, other), squares, channels, neuron, of_fired)
                    _add_through_spikes(grad, of_fired, history[t + 1, :length], neuron)
                    if len(sums):
                        _add_sums(grad, now, sums[chunk, t])
                    _store(
                        grad, weight, len(x) < steps and t < steps - 1, of_x[t % len(x), begin:end]
                    )
                    of_beta[chunk] += _to_step_before(grad, history[t, :length], neuron)


@_compiled
def add_through_statistics(
    x: Any, maps: Any, of_x: Any, layout: Layout, first: int, last: int
) -> None:
    """Add x · factor + constant to the gradient of x, in the chunks from ``first`` to ``last``.

    Args:
        x, of_x, layout, first, last: those of :func:`gradients`.
        maps: factor and constant, of as many steps as x has, or of one.
    """
    row_length = layout.width * layout.channels
    buffer = np.empty(layout.columns * layout.channels, of_x.dtype)
    for block in range(_first_block(first, layout), _first_block(last, layout)):
        start, rows, columns, _ = _place(block, layout)
        length = columns * layout.channels
        for t in range(len(x)):
            factor, constant = maps[t % len(maps), 0], maps[t % len(maps), 1]
            for row in range(rows):
                begin = start + row * row_length
                now = _floats(x[t, begin : begin + length], buffer)
                out = of_x[t, begin : begin + length]
                for i in range(length):
                    out[i] += now[i] * factor[i] + constant[i]


@_inlined
def _first_block(chunk: int, layout: Layout) -> int:
    across, down = -(-layout.width // layout.columns), -(-layout.height // layout.rows)
    return layout.images * across * down * chunk // layout.chunks


@_inlined
def _place(block: int, layout: Layout) -> tuple[int, int, int, int]:
    """A block's first value, its rows and columns, and its first value among pooled ones."""
    across, down = -(-layout.width // layout.columns), -(-layout.height // layout.rows)
    image, row = block // (across * down), block // across % down * layout.rows
    column = block % across * layout.columns
    rows = min(layout.rows, layout.height - row)
    columns = min(layout.columns, layout.width - column)
    start = ((image * layout.height + row) * layout.width + column) * layout.channels
    pooled_row = image * (layout.height // 2) + row // 2
    pooled = (pooled_row * (layout.width // 2) + column // 2) * layout.channels
    return start, rows, columns, pooled


@_inlined
def _advance(v: Any, x: Any, weight_and_bias: Any, neuron: Neuron) -> None:
    """Turn the membranes of a step into those of the next one, whose currents are ``x``."""
    weight, bias = weight_and_bias[0], weight_and_bias[1]
    if neuron.reset_to_zero:
        for i in range(len(v)):
            kept = neuron.zero if v[i] > neuron.threshold else v[i]
            v[i] = _fma(x[i], weight[i], _fma(kept, neuron.beta, bias[i]))
    else:
        for i in range(len(v)):
            reset = neuron.threshold if v[i] > neuron.threshold else neuron.zero
            v[i] = _fma(x[i], weight[i], _fma(v[i], neuron.beta, bias[i])) - reset


@_inlined
def _copy(values: Any, out: Any) -> None:
    for i in range(len(values)):
        out[i] = values[i]


@_inlined
def _fire(v: Any, neuron: Neuron, height: Any, out: Any) -> None:
    """Write ``height`` where a membrane is above the threshold, elsewhere 0."""
    for i in range(len(v)):
        out[i] = height if v[i] > neuron.threshold else neuron.zero


@_inlined
def _pool(rows: Any, channels: int, length: int, out: Any) -> None:
    """Write the sums over squares of two rows and two columns, ``length`` values."""
    upper, lower = rows[0], rows[1]
    for start in range(0, length, channels):
        left, right = 2 * start, 2 * start + channels
        for c in range(channels):
            out[start + c] = upper[left + c] + upper[right + c] + lower[left + c] + lower[right + c]


@_inlined
def _spread(pooled: Any, squares: int, channels: int, neuron: Neuron, out: Any) -> None:
    """Write the gradient of a row from that of the averages over squares; 0 beyond these."""
    for start in range(0, squares * channels, channels):
        left, right = 2 * start, 2 * start + channels
        for c in range(channels):
            out[left + c] = out[right + c] = pooled[start + c] * (neuron.one / 4)
    for i in range(2 * squares * channels, len(out)):
        out[i] = neuron.zero


@_inlined
def _add_through_spikes(grad: Any, of_spikes: Any, v: Any, neuron: Neuron) -> None:
    """Add the gradient through the spikes by :mod:`snn_norm.neurons.surrogates`."""
    k, threshold, zero, one = neuron.slope, neuron.threshold, neuron.zero, neuron.one
    if neuron.surrogate == 0:
        for i in range(len(v)):
            root = one + k * abs(v[i] - threshold)
            grad[i] += of_spikes[i] / (root * root)
    elif neuron.surrogate == 1:
        for i in range(len(v)):
            root = k * (one * math.pi / 2) * (v[i] - threshold)
            grad[i] += of_spikes[i] * (k / 2) / (one + root * root)
    elif neuron.surrogate == 2:
        for i in range(len(v)):
            grad[i] += of_spikes[i] * k * max(zero, one - k * abs(v[i] - threshold))
    elif neuron.surrogate == 3:
        for i in range(len(v)):
            grad[i] += of_spikes[i] * k if abs(v[i] - threshold) < one / (2 * k) else zero
    else:
        for i in range(len(v)):
            sigmoid = one / (one + math.exp(-k * (v[i] - threshold)))
            grad[i] += of_spikes[i] * k * sigmoid * (one - sigmoid)


@_inlined
def _add_sums(grad: Any, x: Any, sums: Any) -> None:
    of_offset, products = sums[0], sums[1]
    for i in range(len(grad)):
        of_offset[i] += grad[i]
        products[i] += grad[i] * x[i]


@_inlined
def _store(grad: Any, weight: Any, add: bool, out: Any) -> None:
    if add:
        for i in range(len(grad)):
            out[i] += grad[i] * weight[i]
    else:
        for i in range(len(grad)):
            out[i] = grad[i] * weight[i]


@_inlined
def _to_step_before(grad: Any, before: Any, neuron: Neuron) -> float:
    """Turn the gradient of a step's membranes into that of those before; return that of beta."""
    of_beta = 0.0
    if neuron.reset_to_zero:
        for i in range(len(grad)):
            grad[i] = neuron.zero if before[i] > neuron.threshold else grad[i]
    if neuron.beta_is_learned:
        for i in range(len(grad)):
            of_beta += grad[i] * before[i]
    for i in range(len(grad)):
        grad[i] *= neuron.beta
    return of_beta
