"""Makes a norm from its name."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from snn_norm.bounds import check_bounds
from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import is_reference, load_reference


def make_norm(name: str, num_features: int, num_steps: int | None = None) -> nn.Module:
    """Make a norm from its name.

    Args:
        name: a norm of :data:`snn_norm.norms.table.NORMS` that fits the network, or
            ``package.module:name`` for your own, called as ``name(num_features)`` or
            ``name(num_features, num_steps)``.
        num_features: C, the number of channels.
        num_steps: T, the number of time steps of a spiking network; None for an artificial one.

    Raises:
        ValueError: the name is unknown or cannot be imported, or a number is below 1.
    """
    check_bounds(num_features=num_features, num_steps=num_steps)
    architecture, kind = ("ann", "an artificial") if num_steps is None else ("snn", "a spiking")
    known = norms_of(architecture)
    if name not in known and not is_reference(name):
        raise ValueError(
            f"norm of {kind} network must be one of {', '.join(known)}, or package.module:name, "
            f"got {name!r}"
        )
    layer = load_reference(NORMS[name].layers[architecture] if name in known else name)
    norm: nn.Module = layer(num_features) if num_steps is None else layer(num_features, num_steps)
    if name not in known:
        check_own(name, norm)
    return norm


def check_own(name: str, made: object) -> None:
    """Check a layer or network of the user's own, now and at each of its calls.

    Args:
        name: its name in the configuration, such as ``package.module:name``.
        made: the object that the name made: it must be a module that returns a tensor.

    Raises:
        ValueError: it is not a module.
    """

    if not isinstance(made, nn.Module):
        raise ValueError(f"{name} must make a torch.nn.Module, got {_of_type(made)}")
    made.register_forward_hook(partial(_check_output, name))  # a partial can be pickled


def _check_output(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
    if not isinstance(output, Tensor):
        raise TypeError(f"{name} returned {_of_type(output)}; it must return a tensor")


def _of_type(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
