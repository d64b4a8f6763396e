"""Normalization layers: one file for each family, and a table of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.norms.accumulated import (
        TemporalAccumulatedBatchNorm2d as TemporalAccumulatedBatchNorm2d,
    )
    from snn_norm.norms.make import make_norm as make_norm
    from snn_norm.norms.per_sample import GroupNorm2d as GroupNorm2d
    from snn_norm.norms.per_sample import LayerNorm2d as LayerNorm2d
    from snn_norm.norms.shared import SequenceBatchNorm2d as SequenceBatchNorm2d
    from snn_norm.norms.shared import SharedHomeostaticNorm2d as SharedHomeostaticNorm2d
    from snn_norm.norms.shared import TemporalEffectiveBatchNorm2d as TemporalEffectiveBatchNorm2d
    from snn_norm.norms.shared import ThresholdDependentBatchNorm2d as ThresholdDependentBatchNorm2d
    from snn_norm.norms.static import HomeostaticNorm as HomeostaticNorm
    from snn_norm.norms.static import synchronize as synchronize
    from snn_norm.norms.temporal import BatchNormThroughTime2d as BatchNormThroughTime2d
    from snn_norm.norms.temporal import MembranePotentialBatchNorm2d as MembranePotentialBatchNorm2d
    from snn_norm.norms.temporal import (
        OnlineSpikingRenormalization2d as OnlineSpikingRenormalization2d,
    )
    from snn_norm.norms.temporal import TemporalHomeostaticNorm2d as TemporalHomeostaticNorm2d
    from snn_norm.norms.weights import ScaledWeightStandardization as ScaledWeightStandardization

_HOMES = {
    "BatchNormThroughTime2d": "snn_norm.norms.temporal",
    "GroupNorm2d": "snn_norm.norms.per_sample",
    "HomeostaticNorm": "snn_norm.norms.static",
    "LayerNorm2d": "snn_norm.norms.per_sample",
    "MembranePotentialBatchNorm2d": "snn_norm.norms.temporal",
    "OnlineSpikingRenormalization2d": "snn_norm.norms.temporal",
    "ScaledWeightStandardization": "snn_norm.norms.weights",
    "SequenceBatchNorm2d": "snn_norm.norms.shared",
    "SharedHomeostaticNorm2d": "snn_norm.norms.shared",
    "TemporalAccumulatedBatchNorm2d": "snn_norm.norms.accumulated",
    "TemporalEffectiveBatchNorm2d": "snn_norm.norms.shared",
    "TemporalHomeostaticNorm2d": "snn_norm.norms.temporal",
    "ThresholdDependentBatchNorm2d": "snn_norm.norms.shared",
    "make_norm": "snn_norm.norms.make",
    "synchronize": "snn_norm.norms.static",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
