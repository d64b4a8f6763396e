"""The table of all norms that a configuration may name. This module imports no torch.

To add a norm, write its layer in a file beside this one and its entry here: the names in a spec,
the networks, tables and figures all follow from the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

ARCHITECTURES = ("ann", "snn")


@dataclass(frozen=True)
class Norm:
    """One norm.

    Args:
        label: its name in tables and figures.
        layers: its layer by architecture, ``module:class``; the layer for ann is made from the
            number of channels, that for snn from the numbers of channels and of time steps.
        color, line, marker: its style in figures, in matplotlib's names; line and marker
            distinguish it in a grey print.
        standard_for: the architecture whose standard norm it is.
        place: what it normalizes: the input currents of the neurons, their membrane before the
            threshold, or the weights of the convolution. :mod:`snn_norm.norms.protocol` has the
            interface of its layer in each place.
        folds: the part of a trained spiking network that it can be folded into (of an artificial
            one, the weights); None if it cannot.
        partner: for a norm on the membrane: the norm after the convolution, beside it.
    """

    label: str
    layers: Mapping[str, str]
    color: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str
    standard_for: str | None = None
    place: Literal["currents", "membrane", "weights"] = "currents"
    folds: Literal["weights", "weights of each step", "thresholds"] | None = None
    partner: str | None = None


NORMS: dict[str, Norm] = {
    "none": Norm("no norm", dict.fromkeys(ARCHITECTURES, "torch.nn:Identity"), "C0", ":", "o"),
    "batchnorm": Norm(
        "BatchNorm",
        {"ann": "torch.nn:BatchNorm2d", "snn": "snn_norm.norms.shared:SequenceBatchNorm2d"},
        "C1", "-", "s", standard_for="ann", folds="weights",
    ),
    "bntt": Norm(
        "BNTT", {"snn": "snn_norm.norms.temporal:BatchNormThroughTime2d"},
        "C3", "-", "D", standard_for="snn", folds="weights of each step",
    ),
    "tdbn": Norm(
        "tdBN", {"snn": "snn_norm.norms.shared:ThresholdDependentBatchNorm2d"},
        "C4", "-.", "v", folds="weights",
    ),
    "tebn": Norm(
        "TEBN", {"snn": "snn_norm.norms.shared:TemporalEffectiveBatchNorm2d"},
        "C5", "-.", "<", folds="weights of each step",
    ),
    "tab": Norm(
        "TAB", {"snn": "snn_norm.norms.accumulated:TemporalAccumulatedBatchNorm2d"},
        "C6", "-.", ">", folds="weights of each step",
    ),
    "mpbn": Norm(
        "MPBN", {"snn": "snn_norm.norms.temporal:MembranePotentialBatchNorm2d"},
        "C7", (0, (5, 1)), "p", place="membrane", folds="thresholds",
    ),
    "batchnorm-mpbn": Norm(
        "BatchNorm, MPBN", {"snn": "snn_norm.norms.temporal:MembranePotentialBatchNorm2d"},
        "C13", (0, (5, 1)), "H", place="membrane", folds="thresholds", partner="batchnorm",
    ),
    "osr": Norm(
        "OSR", {"snn": "snn_norm.norms.temporal:OnlineSpikingRenormalization2d"},
        "C8", (0, (5, 1)), "h", folds="weights",
    ),
    "groupnorm": Norm(
        "GroupNorm", dict.fromkeys(ARCHITECTURES, "snn_norm.norms.per_sample:GroupNorm2d"),
        "C9", (0, (1, 1)), "P",
    ),
    "layernorm": Norm(
        "LayerNorm", dict.fromkeys(ARCHITECTURES, "snn_norm.norms.per_sample:LayerNorm2d"),
        "C10", (0, (1, 1)), "X",
    ),
    "weightstd": Norm(
        "weight std.",
        dict.fromkeys(ARCHITECTURES, "snn_norm.norms.weights:ScaledWeightStandardization"),
        "C11", (0, (3, 1, 1, 1, 1, 1)), "*", place="weights", folds="weights",
    ),
    "homeostatic": Norm(
        "homeostatic",
        {
            "ann": "snn_norm.norms.static:HomeostaticNorm",
            "snn": "snn_norm.norms.temporal:TemporalHomeostaticNorm2d",
        },
        "C2", "--", "^", folds="weights of each step",
    ),
    "homeostatic-shared": Norm(
        "homeostatic, shared", {"snn": "snn_norm.norms.shared:SharedHomeostaticNorm2d"},
        "C12", "--", "d", folds="weights",
    ),
}  # fmt: skip


def norms_of(architecture: str) -> tuple[str, ...]:
    """The norms of an architecture; all norms for a user's own, which is passed the name."""
    known = architecture in ARCHITECTURES
    return tuple(n for n, norm in NORMS.items() if architecture in norm.layers or not known)


def label_of(name: str) -> str:
    """The label of a norm in tables and figures; a user's own norm has its name as its label."""
    return NORMS[name].label if name in NORMS else name


def standard_norm(architecture: str, norms: Iterable[str]) -> str | None:
    """The standard norm of an architecture; for a user's own, the standard one that it uses.

    Args:
        architecture: ann, snn or a user's own.
        norms: the norms that it was trained with.
    """
    if architecture in ARCHITECTURES:
        return next(n for n, norm in NORMS.items() if norm.standard_for == architecture)
    present = set(norms)
    return next((n for n, norm in NORMS.items() if norm.standard_for and n in present), None)
