"""The bounds of the numbers that define a network. This module imports no torch.

Both the configuration of a run and the layers themselves check against this table.
"""

from __future__ import annotations

import math
from typing import Any

from snn_norm.wording import BOUNDS_IN_WORDS

BOUNDS: dict[str, dict[str, Any]] = {
    "width": {"ge": 1},
    "image_size": {"ge": 8},  # for three 2x2 pools
    "in_channels": {"ge": 1},
    "num_classes": {"ge": 1},
    "num_features": {"ge": 1},
    "num_steps": {"ge": 1},
    "beta": {"ge": 0, "le": 1},
    "threshold": {"gt": 0},
    "slope": {"gt": 0},
}
"""The bounds by the name of an argument, which is also the key of a configuration.

They are keyword arguments of ``pydantic.Field``.
"""


def check_bounds(**values: float | None) -> None:
    """Check numbers by the names of their arguments; None stands for a default and is accepted.

    Raises:
        ValueError: a number is outside its bounds, or not finite.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}")
        bound = BOUNDS[name]
        if (
            value < bound.get("ge", -math.inf)
            or value > bound.get("le", math.inf)
            or value <= bound.get("gt", -math.inf)
        ):
            rule = " and ".join(f"{BOUNDS_IN_WORDS[kind]} {limit}" for kind, limit in bound.items())
            raise ValueError(f"{name} must be {rule}, got {value}")


def check_decay_of_plif(beta: float) -> None:
    """Refuse an initial decay that plif cannot have, since it is the sigmoid of a parameter.

    Raises:
        ValueError: its message begins with the key.
    """
    if not 0 < beta < 1:
        raise ValueError(f"beta of neuron plif must be between 0 and 1, got {beta}")
