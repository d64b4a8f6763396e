"""Makes a norm from its name."""

from __future__ import annotations

from torch import nn

from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import is_reference, load_reference

__all__ = ["make_norm"]


def make_norm(name: str, num_features: int, num_steps: int | None = None) -> nn.Module:
    """Make a norm from its name.

    Args:
        name: a norm of :data:`snn_norm.norms.table.NORMS` that fits the network, or
            ``package.module:name`` for your own, called as ``name(num_features)`` or
            ``name(num_features, num_steps)``.
        num_features: C, the number of channels.
        num_steps: T, the number of time steps of a spiking network; None for an artificial one.

    Raises:
        ValueError: the name is unknown, or cannot be imported.
    """
    architecture, kind = ("ann", "an artificial") if num_steps is None else ("snn", "a spiking")
    known = norms_of(architecture)
    if name not in known and not is_reference(name):
        raise ValueError(
            f"norm of {kind} network must be one of {', '.join(known)}, or package.module:name, "
            f"got {name!r}"
        )
    layer = load_reference(NORMS[name].layers[architecture] if name in known else name)
    norm: nn.Module = layer(num_features) if num_steps is None else layer(num_features, num_steps)
    return norm
