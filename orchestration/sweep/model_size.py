"""Estimates how large the models are that a sweep will keep, without torch."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.model.trial import Trial
from snn_norm.config import RunConfig
from snn_norm.data.table import DATASETS
from snn_norm.networks.table import make_trunk
from snn_norm.norms.table import ARCHITECTURES, NORMS

_BYTES_A_NUMBER = 4  # float32, whatever the precision of training
_DESCRIPTION = 2000  # with the names of the weights; a deep network needs more
_NUMBERS_OF_A_NORM = 4  # BatchNorm's scale, offset, mean and variance of each channel


def estimate_bytes(trials: Sequence[Trial]) -> int | None:
    """The bytes of the models of these trials; None if the size of any is unknown."""
    total = 0
    for trial in trials:
        size = model_bytes(trial.config) if isinstance(trial.config, RunConfig) else None
        if size is None:
            return None
        total += size
    return total


def model_bytes(config: RunConfig) -> int | None:
    """The estimated bytes of a trial's model; None with the user's own network or data set.

    The estimate is exact except for norms. Each is taken to hold as much as BatchNorm does, and as
    much for every time step if it has statistics of each step.
    """
    if config.architecture not in ARCHITECTURES or config.dataset not in DATASETS:
        return None
    assert config.trunk is not None
    assert config.image_size is not None
    data = DATASETS[config.dataset]
    trunk = make_trunk(config.trunk, config.width, config.depth, config.shortcut)
    steps = _sets_of_statistics(config)
    numbers = 0
    shapes: dict[str | None, tuple[int, int]] = {None: (data.channels, config.image_size)}
    for layer in trunk.layers:
        channels, size = shapes[layer.source]
        numbers += layer.channels * channels * layer.kernel**2
        numbers += layer.channels * (1 if config.norm == "none" else _NUMBERS_OF_A_NORM * steps)
        size = -(-size // layer.stride) // (2 if layer.pool else 1)
        shapes[layer.name] = (layer.channels, size)
    channels, size = shapes[trunk.layers[-1].name]
    features = channels if trunk.average else channels * size**2
    for outputs in (trunk.hidden, data.classes):
        if outputs is not None:
            numbers += (features + 1) * outputs
            features = outputs
    return _BYTES_A_NUMBER * numbers + _DESCRIPTION


def _sets_of_statistics(config: RunConfig) -> int:
    norm = NORMS.get(config.norm)
    of_each_step = norm is not None and norm.folds == "weights of each step"
    return config.num_steps if of_each_step and config.num_steps is not None else 1
