"""Homeostatic normalization layers, spiking neurons, and networks to compare them in.

This is a plain PyTorch library, which needs neither Ray nor MLflow. A configuration can be checked
without loading PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.networks.cnn import ANNCNN as ANNCNN
    from snn_norm.networks.fold import fold as fold
    from snn_norm.networks.spiking import SNNCNN as SNNCNN
    from snn_norm.neurons.layers import LIF as LIF
    from snn_norm.norms.static import HomeostaticNorm as HomeostaticNorm
    from snn_norm.norms.temporal import BatchNormThroughTime2d as BatchNormThroughTime2d
    from snn_norm.norms.temporal import TemporalHomeostaticNorm2d as TemporalHomeostaticNorm2d
    from snn_norm.training.models.own_model import load_own_model as load_own_model
    from snn_norm.training.models.saved_model import load_model as load_model
    from snn_norm.training.own_run import BaseRun as BaseRun

_HOMES = {
    "ANNCNN": "snn_norm.networks.cnn",
    "LIF": "snn_norm.neurons.layers",
    "SNNCNN": "snn_norm.networks.spiking",
    "BaseRun": "snn_norm.training.own_run",
    "BatchNormThroughTime2d": "snn_norm.norms.temporal",
    "HomeostaticNorm": "snn_norm.norms.static",
    "TemporalHomeostaticNorm2d": "snn_norm.norms.temporal",
    "fold": "snn_norm.networks.fold",
    "load_model": "snn_norm.training.models.saved_model",
    "load_own_model": "snn_norm.training.models.own_model",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
