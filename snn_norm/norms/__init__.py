"""Normalization layers: one file for each family, and a table of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.norms.accumulated import TemporalAccumulatedBatchNorm2d
    from snn_norm.norms.make import make_norm
    from snn_norm.norms.membrane import MembranePotentialBatchNorm2d
    from snn_norm.norms.online import OnlineSpikingRenormalization2d
    from snn_norm.norms.per_sample import GroupNorm2d, LayerNorm2d
    from snn_norm.norms.shared import (
        SequenceBatchNorm2d,
        SharedHomeostaticNorm2d,
        TemporalEffectiveBatchNorm2d,
        ThresholdDependentBatchNorm2d,
    )
    from snn_norm.norms.static import HomeostaticNorm
    from snn_norm.norms.synchronization import synchronize
    from snn_norm.norms.temporal import BatchNormThroughTime2d, TemporalHomeostaticNorm2d
    from snn_norm.norms.weights import ScaledWeightStandardization

__all__ = [
    "BatchNormThroughTime2d",
    "GroupNorm2d",
    "HomeostaticNorm",
    "LayerNorm2d",
    "MembranePotentialBatchNorm2d",
    "OnlineSpikingRenormalization2d",
    "ScaledWeightStandardization",
    "SequenceBatchNorm2d",
    "SharedHomeostaticNorm2d",
    "TemporalAccumulatedBatchNorm2d",
    "TemporalEffectiveBatchNorm2d",
    "TemporalHomeostaticNorm2d",
    "ThresholdDependentBatchNorm2d",
    "make_norm",
    "synchronize",
]

__getattr__ = lazily(
    __name__,
    {
        "BatchNormThroughTime2d": "snn_norm.norms.temporal",
        "GroupNorm2d": "snn_norm.norms.per_sample",
        "HomeostaticNorm": "snn_norm.norms.static",
        "LayerNorm2d": "snn_norm.norms.per_sample",
        "MembranePotentialBatchNorm2d": "snn_norm.norms.membrane",
        "OnlineSpikingRenormalization2d": "snn_norm.norms.online",
        "ScaledWeightStandardization": "snn_norm.norms.weights",
        "SequenceBatchNorm2d": "snn_norm.norms.shared",
        "SharedHomeostaticNorm2d": "snn_norm.norms.shared",
        "TemporalAccumulatedBatchNorm2d": "snn_norm.norms.accumulated",
        "TemporalEffectiveBatchNorm2d": "snn_norm.norms.shared",
        "TemporalHomeostaticNorm2d": "snn_norm.norms.temporal",
        "ThresholdDependentBatchNorm2d": "snn_norm.norms.shared",
        "make_norm": "snn_norm.norms.make",
        "synchronize": "snn_norm.norms.synchronization",
    },
)
