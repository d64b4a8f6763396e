"""Normalization and integrate-and-fire neurons over a whole sequence, as one operation.

Shapes: T time steps, N images, C channels, H height, W width. Without a normalization, (N, C, H, W)
can be any (N, …).

A spiking layer does little arithmetic on much memory. So only the input itself is kept for the
gradient (the gradient of a normalization needs it in any case): the normalization's affine map is
part of the recurrence, and membranes are recomputed in the backward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn_norm.neurons import kernels, recurrence
from snn_norm.neurons.recurrence import Gradients, Inputs, Neuron
from snn_norm.neurons.standardization import Standardization

_Function = TypeVar("_Function", bound=Callable[..., Any])

Engine = Literal["eager", "numba", "compiled"]
"""How neurons are computed, always with the same numbers up to rounding.

``eager`` is :mod:`snn_norm.neurons.recurrence`, ``compiled`` is :mod:`snn_norm.neurons.kernels` by
``torch.compile``, and ``numba`` is :mod:`snn_norm.neurons.numba_engine`, with the same spikes.
"""


def check_transforms() -> None:
    """Raise an error inside the transforms of torch.func, which forbid computing in place."""
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "spiking layers compute in place, so torch.func's transforms (grad, vmap, jvp, …) "
            "cannot pass through them; take torch.autograd.grad in place of torch.func.grad, and a "
            "loop over models or samples in place of torch.func.vmap"
        )


def left_uncompiled(function: _Function) -> _Function:
    """Wrap a function so that a ``torch.compile`` around it runs the function uncompiled.

    Its loops compute in place, step by step, which a compiler handles badly;
    :mod:`snn_norm.neurons.kernels` has the functions for compilation. The wrapper is only applied
    while a compiler traces, so that other processes need not import the compiler.
    """
    return torch.compiler.disable(function) if torch.compiler.is_compiling() else function


def fire(
    x_TN: Tensor,
    neuron: Neuron,
    standardization: Standardization | None = None,
    *,
    num_steps: int | None = None,
    pool: bool = False,
    membrane_N: Tensor | None = None,
    engine: Engine = "eager",
    on_membrane: Callable[[Tensor, slice], Standardization] | None = None,
) -> tuple[Tensor, Tensor]:
    """Integrate-and-fire neurons under the (standardized) currents ``x_TN``.

    Args:
        x_TN: (T, N, …), or (1, N, …) with ``num_steps`` for a constant current.
        neuron: the constants of the neuron.
        standardization: the map to apply to ``x_TN``, which is then (T, N, C, H, W); None for none.
        num_steps: T, if ``x_TN`` is constant.
        pool: whether to average the spikes over 2x2 squares of H and W.
        membrane_N: the membrane (N, …) at the last step of an earlier call, to continue from it;
            None to start at rest.
        engine: how to compute. What numba cannot compute is eager: tensors that are not real ones
            on a CPU, and ``on_membrane``.
        on_membrane: is called with a step's membrane (1, N, C, H, W) and that step as a slice, and
            returns the standardization of the membrane that is compared with the threshold. The
            membrane that the next step gets is not standardized, and the statistics carry no
            gradient. This needs a whole sequence, from rest and not compiled.

    Raises:
        ValueError: ``on_membrane`` is given together with ``membrane_N`` or ``compiled``.
        RuntimeError: the call is inside a transform of torch.func.

    Returns:
        The spikes, in the dtype and memory order of ``x_TN`` (unless it is eager, images
        are always channels last), and the membrane of the last step before its reset, in float32
        at least.
    """
    check_transforms()
    learned_beta = neuron.beta if isinstance(neuron.beta, Tensor) else None
    if learned_beta is not None:
        neuron = neuron._replace(beta=learned_beta.detach())
    module = kernels if engine == "compiled" else recurrence
    if engine == "numba" and on_membrane is None and _suits_numba(x_TN):
        from snn_norm.neurons import numba_engine  # numba takes half a second to import

        module = numba_engine
    rows: list[Standardization] = []
    further: tuple[Any, ...] = ()
    if on_membrane is not None:
        if engine == "compiled" or membrane_N is not None:
            raise ValueError(
                "neurons with a norm on the membrane take a whole sequence from rest and are not "
                f"compiled, got engine={engine!r} and "
                f"{'no' if membrane_N is None else 'a'} membrane to go on from"
            )
        grad_enabled = torch.is_grad_enabled()

        def normalize(membrane_N: Tensor, t: int) -> Standardization:
            with torch.set_grad_enabled(grad_enabled):  # ``rows`` keep their graph
                rows.append(on_membrane(membrane_N.unsqueeze(0), slice(t, t + 1)))
            return rows[-1].at(0)

        further = (normalize,)
    inputs = Inputs(x_TN, membrane_N, neuron, num_steps or len(x_TN), pool, standardization)
    with torch.no_grad():
        result = module.spikes(inputs, *further)
    on_membranes = Standardization.joined(rows) if rows else None
    maps = standardization, on_membranes
    spikes_TN, membrane_N = _Gradient.apply(  # type: ignore[no-untyped-call, unused-ignore]
        result,
        neuron,
        pool,
        module,
        [None if of is None else of[4:] for of in maps],
        x_TN,
        membrane_N,
        learned_beta,
        *itertools.chain.from_iterable([None] * 4 if of is None else of[:4] for of in maps),
    )
    assert membrane_N is not None
    return spikes_TN, membrane_N


def _suits_numba(x_TN: Tensor) -> bool:
    """Whether numba can compute these currents. The tensors of an export have no memory."""
    on_cpu = type(x_TN) is Tensor and x_TN.device.type == "cpu"
    return on_cpu and x_TN.dtype in (torch.float32, torch.float64, torch.bfloat16)


class _Gradient(torch.autograd.Function):
    """The gradient of an engine's result, with arguments flattened so that autograd sees them."""

    @staticmethod
    def forward(
        ctx: Any,
        result: tuple[Tensor, Tensor],
        neuron: Neuron,
        pool: bool,
        engine: ModuleType,
        flags: list[tuple[bool, bool] | None],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.neuron, ctx.pool, ctx.engine, ctx.flags = neuron, pool, engine, flags
        return result

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_spikes_TN: Tensor, grad_after_N: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_TN, membrane_N, _, *tensors = ctx.saved_tensors
        standardization, on_membranes = (
            None if flags is None else Standardization._make([*four, *flags])
            for flags, four in zip(ctx.flags, (tensors[:4], tensors[4:]), strict=True)
        )
        further = () if on_membranes is None else (on_membranes,)
        num_steps = len(grad_spikes_TN)
        inputs = Inputs(x_TN, membrane_N, ctx.neuron, num_steps, ctx.pool, standardization)
        of: Gradients = ctx.engine.gradients(inputs, grad_spikes_TN, grad_after_N, *further)
        of_tensors = (of.x, None if membrane_N is None else of.membrane, of.beta)
        of_maps = (None, None, of.scale, of.offset, None, None, *of[-2:])
        return (*[None] * 5, *of_tensors, *of_maps)
