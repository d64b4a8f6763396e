"""Every norm that a configuration may name, described once; imports no torch.

To add a norm, write its layer in a file beside this one and its entry here: names in a spec, the
networks, tables and figures all follow from the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ARCHITECTURES", "NORMS", "Norm", "label_of", "norms_of", "standard_norm"]

ARCHITECTURES = ("ann", "snn")

LineStyle = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Norm:
    """One norm.

    Args:
        label: what tables and figures call it.
        layers: its layer by architecture, ``module:class``; ann's is made from the number of
            channels, snn's from the numbers of channels and of time steps.
        color, line, marker: in figures, as matplotlib names them; line and marker tell it apart in
            a grey print.
        standard_for: the architecture whose usual norm it is.
        folds: what of a trained network it can become a part of; None if nothing.
    """

    label: str
    layers: Mapping[str, str]
    color: str
    line: LineStyle
    marker: str
    standard_for: str | None = None
    folds: Literal["weights", "weights of each step"] | None = None


NORMS: dict[str, Norm] = {
    "none": Norm(
        "no norm",
        {"ann": "torch.nn:Identity", "snn": "torch.nn:Identity"},
        color="C0",
        line=":",
        marker="o",
    ),
    "batchnorm": Norm(
        "BatchNorm",
        {"ann": "torch.nn:BatchNorm2d"},
        color="C1",
        line="-",
        marker="s",
        standard_for="ann",
        folds="weights",
    ),
    "bntt": Norm(
        "BNTT",
        {"snn": "snn_norm.norms.temporal:BatchNormThroughTime2d"},
        color="C1",
        line="-",
        marker="s",
        standard_for="snn",
        folds="weights of each step",
    ),
    "homeostatic": Norm(
        "homeostatic",
        {
            "ann": "snn_norm.norms.static:HomeostaticNorm",
            "snn": "snn_norm.norms.temporal:TemporalHomeostaticNorm2d",
        },
        color="C2",
        line="--",
        marker="^",
        folds="weights of each step",
    ),
}


def norms_of(architecture: str) -> tuple[str, ...]:
    """The norms of an architecture; of a user's own, which is handed the name, all of them."""
    known = architecture in ARCHITECTURES
    return tuple(n for n, norm in NORMS.items() if architecture in norm.layers or not known)


def label_of(name: str) -> str:
    """What tables and figures call a norm; a user's own by its name."""
    return NORMS[name].label if name in NORMS else name


def standard_norm(architecture: str, norms: Iterable[str]) -> str | None:
    """The usual norm of an architecture; of a user's own, whichever usual one it has.

    Args:
        architecture: ann, snn or a user's own.
        norms: those that it was trained with.
    """
    if architecture in ARCHITECTURES:
        return next(n for n, norm in NORMS.items() if norm.standard_for == architecture)
    present = set(norms)
    return next((n for n, norm in NORMS.items() if norm.standard_for and n in present), None)
