"""Small valid specs, to be changed by a test."""

from __future__ import annotations

from typing import Any

SPEC = """\
name: digits
dataset: digits
epochs: 8
seeds: [42, 123]
training: {learning_rate: 0.001, optimizer: adam}
grid:
  - {architecture: ann, norm: [none, batchnorm], width: 16}
  - architecture: snn
    norm: bntt
    num_steps: 10
"""


def spec(**changes: Any) -> dict[str, Any]:
    """A small valid spec as plain data, with changes."""
    data = {
        "name": "small",
        "dataset": "digits",
        "epochs": 3,
        "seeds": [1, 2],
        "grid": [{"architecture": "ann", "norm": "none"}],
    }
    return {key: value for key, value in (data | changes).items() if value != "absent"}


def entry(**changes: Any) -> dict[str, Any]:
    """A spec with one entry in its grid."""
    return spec(grid=[{"architecture": "ann", "norm": "none"} | changes])


SLOW_SPEC: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 8,
    "seeds": [1, 2],
    "training": {"batch_size": 16, "augment": True, "validation_fraction": 0.25},
    "grid": [{"architecture": "ann", "norm": ["own_code:SlowNorm", "none"], "width": 2}],
}
"""Of trials that take long enough to be struck."""
