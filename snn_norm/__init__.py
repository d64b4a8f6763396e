"""Homeostatic normalization layers, spiking neurons and the networks that compare them.

A plain PyTorch library: it needs neither Ray nor MLflow.
"""

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
