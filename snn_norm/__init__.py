"""Homeostatic normalization layers, spiking neurons and the networks that compare them.

A plain PyTorch library: it needs neither Ray nor MLflow. The names below are loaded when they are
first used, since a configuration can be checked without PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snn_norm.models import ANNCNN, SNNCNN
    from snn_norm.neurons import LIF
    from snn_norm.norms import BatchNormThroughTime2d, HomeostaticNorm, TemporalHomeostaticNorm2d

__all__ = [
    "ANNCNN",
    "LIF",
    "SNNCNN",
    "BatchNormThroughTime2d",
    "HomeostaticNorm",
    "TemporalHomeostaticNorm2d",
]

_HOMES = {
    "ANNCNN": "snn_norm.models",
    "LIF": "snn_norm.neurons",
    "SNNCNN": "snn_norm.models",
    "BatchNormThroughTime2d": "snn_norm.norms",
    "HomeostaticNorm": "snn_norm.norms",
    "TemporalHomeostaticNorm2d": "snn_norm.norms",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
