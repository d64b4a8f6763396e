"""Leaky integrate-and-fire neurons over a whole sequence at once.

Shapes: the T time steps come first, and all other dimensions are element-wise; ``x_TN`` stands for
(T, N, …).
The semantics, reset and surrogate gradient included, are those of ``snntorch.Leaky`` with
``reset_mechanism="subtract"`` and ``snntorch.surrogate.fast_sigmoid``; the tests compare the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snn_norm.bounds import check_bounds, check_decay_of_plif
from snn_norm.neurons.fused import Engine, fire, left_uncompiled
from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.standardization import Standardization
from snn_norm.neurons.table import NEURONS, RESETS, SURROGATES
from snn_norm.references import load_reference


@dataclass
class State:
    """The state that neurons pass from one stretch of a sequence to the next; empty at first."""

    membrane: Tensor | None = None


def _check_steps(x_TN: Tensor) -> None:
    if len(x_TN) == 0:
        raise ValueError(
            f"a sequence (T, N, …) must have at least one time step, got {tuple(x_TN.shape)}"
        )


class LIF(nn.Module):
    r"""Leaky integrate-and-fire neurons.

    .. math::
        v_t = \beta v_{t-1} + x_t - \theta\,[v_{t-1} > \theta], \qquad s_t = [v_t > \theta],
        \qquad v_{-1} = 0

    or, with reset to zero, :math:`v_t = \beta\,v_{t-1}\,[v_{t-1} \le \theta] + x_t`. These are the
    semantics of ``snntorch.Leaky``: the reset comes one step late and is held constant in the
    gradient. With reset to zero, SpikingJelly's
    ``LIFNode(decay_input=False, v_reset=0.0, detach_reset=True)`` does the same, except that it
    also fires if the membrane equals θ. The surrogate gradients are in
    :mod:`snn_norm.neurons.surrogates`.

    Args:
        beta: decay of the membrane per time step, 0 to 1.
        threshold: θ, the membrane above which a spike is fired.
        slope: k of the surrogate gradient; a larger k makes it narrower. None for the usual one in
            :data:`snn_norm.neurons.table.SURROGATES`.
        surrogate: fast_sigmoid, atan, triangle, rectangle or sigmoid.
        reset: subtract, or zero.
        on_membrane: a norm of the membrane that is compared with the threshold (θ is then in units
            of the normalized membrane); None for none. The membrane that the next step gets is not
            normalized. The norm has a method ``standardization(v_TNCHW, steps)``, which is called
            with one step at a time.

    Attributes:
        engine: how to compute, a :data:`snn_norm.neurons.fused.Engine`. It is ``eager`` at first,
            and :func:`snn_norm.neurons.engine.choose_engine` sets it. ``compiled`` needs a
            compiler, takes minutes for the first step, and does not support a norm on the membrane.
            A ``torch.compile`` of a model that contains the layer leaves the layer as it is.

    Shape:
        Input currents (T, N, …), or (T, N, C, H, W) with a norm; output spikes, 0 or 1, of the same
        shape and dtype.

    Raises:
        ValueError: the surrogate or reset is unknown, or a number is outside
            :data:`snn_norm.bounds.BOUNDS`.
    """

    def __init__(
        self,
        beta: float = 0.9,
        threshold: float = 1.0,
        slope: float | None = None,
        *,
        surrogate: str = "fast_sigmoid",
        reset: str = "subtract",
        on_membrane: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (("surrogate", surrogate, SURROGATES), ("reset", reset, RESETS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        slope = SURROGATES[surrogate] if slope is None else slope
        check_bounds(beta=beta, threshold=threshold, slope=slope)
        self.beta = beta
        self.threshold = threshold
        self.slope = slope
        self.surrogate = surrogate
        self.reset = reset
        self.on_membrane = on_membrane
        self.engine: Engine = "eager"

    def extra_repr(self) -> str:
        """The arguments of the layer, for its ``repr``."""
        return (
            f"beta={self.beta}, threshold={self.threshold}, slope={self.slope}, "
            f"surrogate={self.surrogate}, reset={self.reset}"
        )

    @property
    def compiled(self) -> bool:
        """Whether the engine is ``compiled``; false makes it ``eager``."""
        return self.engine == "compiled"

    @compiled.setter
    def compiled(self, compiled: bool) -> None:
        self.engine = "compiled" if compiled else "eager"

    def decay(self) -> float | Tensor:
        """β; a tensor if it is learned."""
        return self.beta

    def constants(self) -> Neuron:
        """The numbers and names by which the neurons are computed."""
        return Neuron(self.decay(), self.threshold, self.slope, self.surrogate, self.reset)

    def forward(
        self,
        x_TN: Tensor,
        standardization: Standardization | None = None,
        *,
        num_steps: int | None = None,
        pool: bool = False,
        state: State | None = None,
    ) -> Tensor:
        """Return the spikes for the currents ``x_TN``; ``state`` continues the previous call.

        The other arguments are those of :func:`snn_norm.neurons.fused.fire`. With a norm on the
        membrane, a call must get the whole sequence.
        """
        _check_steps(x_TN)
        state = State() if state is None else state
        on_membrane: Any = self.on_membrane
        spikes_TN, state.membrane = left_uncompiled(fire)(
            x_TN,
            self.constants(),
            standardization,
            num_steps=num_steps,
            pool=pool,
            membrane_N=state.membrane,
            engine=self.engine,
            on_membrane=None if on_membrane is None else on_membrane.standardization,
        )
        return spikes_TN


class PLIF(LIF):
    r"""Parametric leaky integrate-and-fire neurons: all of a layer share one learned decay.

    After Fang et al., "Incorporating Learnable Membrane Time Constant to Enhance Learning of
    Spiking Neural Networks" (ICCV 2021): :math:`\beta = \sigma(w)` with the parameter :math:`w`.
    Their neuron decays by :math:`1 - \sigma(w)`, and also scales the currents by :math:`\sigma(w)`,
    which this one does not, like SpikingJelly's ``ParametricLIFNode(decay_input=False)``.

    Args:
        beta: initial decay, between 0 and 1; the other arguments are those of :class:`LIF`.

    Raises:
        ValueError: beta is not between 0 and 1, or :class:`LIF` raises it.
    """

    def __init__(self, beta: float = 0.9, *args: Any, **kwargs: Any) -> None:
        check_decay_of_plif(beta)
        super().__init__(beta, *args, **kwargs)
        self.w = nn.Parameter(torch.tensor(math.log(beta / (1 - beta))))

    def decay(self) -> Tensor:
        """β = σ(w)."""
        return self.w.sigmoid()


class IF(LIF):
    """Integrate-and-fire neurons: a :class:`LIF` without leak, so beta is 1.

    Args:
        threshold: θ; the other arguments are those of :class:`LIF`.
    """

    def __init__(self, threshold: float = 1.0, *args: Any, **kwargs: Any) -> None:
        super().__init__(1.0, threshold, *args, **kwargs)


def make_neuron(name: str, *, beta: float = 0.9, **keys: Any) -> LIF:
    """Make a neuron from its name.

    Args:
        name: lif, plif or if.
        beta: decay of the membrane; for plif the initial one; if, which has no leak, ignores it.
        keys: the other arguments of :class:`snn_norm.LIF`.

    Raises:
        ValueError: the name is unknown, or a key's value is wrong.
    """
    if name not in NEURONS:
        raise ValueError(f"neuron must be one of {', '.join(NEURONS)}, got {name!r}")
    if name != "if":
        keys["beta"] = beta
    neuron: LIF = load_reference(NEURONS[name])(**keys)
    return neuron


class LeakyReadout(nn.Module):
    r"""Mean over time of a leaky membrane that never resets.

    With :math:`v_t = \beta v_{t-1} + x_t`, the mean of :math:`v` is a weighted sum of the inputs:
    step :math:`t` has the weight :math:`\frac{1}{T} \sum_{k=0}^{T-1-t} \beta^k`.

    Args:
        beta: decay of the membrane per time step, 0 to 1.

    Shape:
        Input (T, N, …); output (N, …), in float32 at least.
    """

    def __init__(self, beta: float = 0.9) -> None:
        super().__init__()
        check_bounds(beta=beta)
        self.beta = beta

    def extra_repr(self) -> str:
        """The arguments of the layer, for its ``repr``."""
        return f"beta={self.beta}"

    def forward(self, x_TN: Tensor) -> Tensor:
        """The mean membrane for the input currents ``x_TN``."""
        _check_steps(x_TN)
        dtype = torch.promote_types(x_TN.dtype, torch.float32)
        steps = torch.arange(len(x_TN), device=x_TN.device, dtype=dtype)
        weights_T = (self.beta**steps).cumsum(0).flip(0) / len(x_TN)
        # This is not a matrix product, because autocast would round that.
        weights_T = weights_T.view(-1, *[1] * (x_TN.dim() - 1))
        return (weights_T * x_TN).sum(0)
