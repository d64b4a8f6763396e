"""The recurrence of :mod:`snn_norm.neurons.recurrence` and its gradient as loops, for numba.

A loop works on a block of neurons at a time. Blocks are so small that all time steps of one stay in
the cache of a core, so currents, spikes and gradients are read and written once.

Arrays of a sequence have the shape (T, values), where the values of a step lie in memory as
(N, H, W, C); the currents x may have a single step, which stands for each. ``maps`` holds a weight
and a bias for each value of a span of a block, (steps, 2, values); a single step stands for each
here too. Sequences in bfloat16 are arrays of its bits, uint16; everything else is in float32
then.

A chunk is a range of blocks that does not depend on the number of threads. Sums are taken within
chunks, so they are the same with any number of threads.

All of this stands in one file, because numba's cache on disk notices changes only in the file of
the function that was compiled.
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

    A block has ``rows`` rows (an even number if spikes are pooled, otherwise 1) and ``columns``
    columns of an image, or what is left of these at the image's edges. A span is the part of a
    block that lies together in memory: all of it if a block is as wide as the image, otherwise one
    of its rows.
    """

    images: int
    height: int
    width: int
    channels: int
    rows: int
    columns: int
    chunks: int
    pool: bool

    @property
    def span(self) -> int:
        """The values of a span that is not cut off by an edge."""
        rows = self.rows if self.columns == self.width else 1
        return rows * self.columns * self.channels


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
    row_length = layout.width * layout.channels
    fired = np.empty(layout.rows * layout.columns * layout.channels, membranes.dtype)
    pooled = np.empty(len(fired) // 4, membranes.dtype)
    buffer = np.empty(len(fired), membranes.dtype)
    height = neuron.one / 4 if layout.pool else neuron.one
    for block in range(_first_block(first, layout), _first_block(last, layout)):
        start, start_pooled, rows, columns, spans, length = _place(block, layout)
        values = rows // 2 * (columns // 2) * layout.channels
        for t in range(len(spikes)):
            for span in range(spans):
                begin = start + span * row_length
                v = membranes[begin : begin + length]
                now = _floats(x[t % len(x), begin : begin + length], buffer)
                _advance(v, now, maps[t % len(maps)], neuron)
                _fire(v, neuron, height, fired[span * length : (span + 1) * length])
            if layout.pool:
                _pool(fired, rows, columns, layout.channels, pooled)
                _write(pooled, spikes[t, start_pooled : start_pooled + values])
            else:
                _write(fired, spikes[t, start : start + length])


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
        sums: output, zero at first: Σ grad and Σ grad · x of each chunk, step and channel,
            (chunks, T, 2, C). Without chunks they are not computed.
        of_beta: output, (chunks,), zero at first.
    """
    steps, channels, row_length = len(of_spikes), layout.channels, layout.width * layout.channels
    block_length = layout.rows * layout.columns * channels
    history = np.empty((steps + 1, block_length), membranes.dtype)
    spread, buffer, other = (
        np.empty(block_length, membranes.dtype),
        np.empty(block_length, membranes.dtype),
        np.empty(block_length, membranes.dtype),
    )
    places = np.zeros((steps, 2, block_length), membranes.dtype)
    for chunk in range(first, last):
        for block in range(_first_block(chunk, layout), _first_block(chunk + 1, layout)):
            start, start_pooled, rows, columns, spans, length = _place(block, layout)
            end_pooled = start_pooled + rows // 2 * (columns // 2) * channels
            for span in range(spans):
                begin = start + span * row_length
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
                    if layout.pool:
                        of_squares = _floats(of_spikes[t, start_pooled:end_pooled], other)
                        _spread(of_squares, rows, columns, channels, neuron, spread)
                        of_fired = spread[span * length : (span + 1) * length]
                    else:
                        of_fired = _floats(of_spikes[t, begin:end], other)
                    _add_through_spikes(grad, of_fired, history[t + 1, :length], neuron)
                    if len(sums):
                        _add_sums(grad, now, places[t])
                    _store(
                        grad, weight, len(x) < steps and t < steps - 1, of_x[t % len(x), begin:end]
                    )
                    of_beta[chunk] += _to_step_before(grad, history[t, :length], neuron)
        if len(sums):
            _add_columns(places, sums[chunk])


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
    buffer = np.empty(layout.rows * layout.columns * layout.channels, of_x.dtype)
    for block in range(_first_block(first, layout), _first_block(last, layout)):
        start, _, _, _, spans, length = _place(block, layout)
        for t in range(len(x)):
            factor, constant = maps[t % len(maps), 0], maps[t % len(maps), 1]
            for span in range(spans):
                begin = start + span * row_length
                now = _floats(x[t, begin : begin + length], buffer)
                out = of_x[t, begin : begin + length]
                for i in range(length):
                    out[i] += now[i] * factor[i] + constant[i]


@_inlined
def _first_block(chunk: int, layout: Layout) -> int:
    across, down = -(-layout.width // layout.columns), -(-layout.height // layout.rows)
    return layout.images * across * down * chunk // layout.chunks


@_inlined
def _place(block: int, layout: Layout) -> tuple[int, int, int, int, int, int]:
    """Where a block lies.

    Returns:
        Its first value, its first value among pooled ones, its rows and columns, the number of its
        spans and the values of each.
    """
    across, down = -(-layout.width // layout.columns), -(-layout.height // layout.rows)
    image, row = block // (across * down), block // across % down * layout.rows
    column = block % across * layout.columns
    rows = min(layout.rows, layout.height - row)
    columns = min(layout.columns, layout.width - column)
    start = ((image * layout.height + row) * layout.width + column) * layout.channels
    pooled_row = image * (layout.height // 2) + row // 2
    pooled = (pooled_row * (layout.width // 2) + column // 2) * layout.channels
    length = columns * layout.channels
    if layout.columns == layout.width:
        return start, pooled, rows, columns, 1, rows * length
    return start, pooled, rows, columns, rows, length


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
def _pool(fired: Any, rows: int, columns: int, channels: int, out: Any) -> None:
    """Write the sums over squares of two rows and two columns."""
    for square in range(rows // 2 * (columns // 2)):
        start, upper = square * channels, _corner(square, columns) * channels
        lower = upper + columns * channels
        for c in range(channels):
            left, right = fired[upper + c], fired[upper + channels + c]
            lower_left, lower_right = fired[lower + c], fired[lower + channels + c]
            out[start + c] = left + right + lower_left + lower_right


@_inlined
def _spread(pooled: Any, rows: int, columns: int, channels: int, neuron: Neuron, out: Any) -> None:
    """Write the gradient of a block from that of the averages over squares; 0 beyond these."""
    if rows % 2 or columns % 2:
        out[:] = neuron.zero
    for square in range(rows // 2 * (columns // 2)):
        start, upper = square * channels, _corner(square, columns) * channels
        lower = upper + columns * channels
        for c in range(channels):
            quarter = pooled[start + c] * (neuron.one / 4)
            out[upper + c] = out[upper + channels + c] = quarter
            out[lower + c] = out[lower + channels + c] = quarter


@_inlined
def _corner(square: int, columns: int) -> int:
    """The upper left pixel of a square in a block with this number of columns."""
    return square // (columns // 2) * 2 * columns + square % (columns // 2) * 2


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
def _add_columns(places: Any, out: Any) -> None:
    """Add sums by place of a row, (T, 2, columns · C), to those by channel, and set them to 0."""
    channels = out.shape[2]
    for t in range(len(out)):
        for which in range(2):
            sums, by_channel = places[t, which], out[t, which]
            for start in range(0, len(sums), channels):
                for c in range(channels):
                    by_channel[c] += sums[start + c]
            sums[:] = 0


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
