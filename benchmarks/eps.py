"""Norms for ``eps.yaml``: what is added to the variance of each time step."""

from __future__ import annotations

from functools import partial

from snn_norm import BatchNormThroughTime2d, TemporalHomeostaticNorm2d

homeostatic_1e4 = partial(TemporalHomeostaticNorm2d, eps=1e-4)
homeostatic_1e5 = partial(TemporalHomeostaticNorm2d, eps=1e-5)
homeostatic_1e6 = partial(TemporalHomeostaticNorm2d, eps=1e-6)
bntt_1e4 = partial(BatchNormThroughTime2d, eps=1e-4)
bntt_1e5 = partial(BatchNormThroughTime2d, eps=1e-5)
