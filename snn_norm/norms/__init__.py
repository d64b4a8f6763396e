"""Normalization layers: a file a family, and a table of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.norms.make import make_norm
    from snn_norm.norms.static import HomeostaticNorm
    from snn_norm.norms.temporal import BatchNormThroughTime2d, TemporalHomeostaticNorm2d

__all__ = [
    "BatchNormThroughTime2d",
    "HomeostaticNorm",
    "TemporalHomeostaticNorm2d",
    "make_norm",
]

__getattr__ = lazily(
    __name__,
    {
        "BatchNormThroughTime2d": "snn_norm.norms.temporal",
        "HomeostaticNorm": "snn_norm.norms.static",
        "TemporalHomeostaticNorm2d": "snn_norm.norms.temporal",
        "make_norm": "snn_norm.norms.make",
    },
)
