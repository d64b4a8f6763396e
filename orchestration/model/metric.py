"""The metrics of trials: the one that they are judged by, and the names of the others. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Goal = Literal["maximize", "minimize"]

EPOCH_METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "validation_loss",
    "validation_accuracy",
    "images_per_second",
    "epoch_seconds",
)
"""Metrics that are recorded once per epoch. Those of validation are recorded only if training
images are held out for it. Spiking networks also record ``spike_rate.<layer>``."""

SPIKE_RATE = "spike_rate."
"""The prefix of the spike rates of layers; among wanted metrics it stands for all of them."""

EVERY_METRIC = "*"
"""Among wanted metrics it stands for every recorded metric. It is needed for the user's own
training code, as only its runs tell the names of its metrics."""

TEST_SET = "the test set"


@dataclass(frozen=True)
class Metric:
    """A metric by which trials are judged.

    Args:
        goal: whether the best value is the largest or the smallest.
        is_fraction: whether it is shown in percent, and its differences in percentage points. The
            user's own metrics are shown as they are.
    """

    name: str
    goal: Goal = "maximize"
    is_fraction: bool = False

    @property
    def words(self) -> str:
        """The metric's name in a sentence; the user's own metrics keep their names."""
        return self.name.replace("_", " ") if self.is_fraction else self.name

    @property
    def title(self) -> str:
        """The metric's name as a heading of a table."""
        return self.words.capitalize() if self.is_fraction else self.name

    @property
    def best_name(self) -> str:
        """The name of its value in a trial's best epoch, in MLflow and as a column."""
        return f"best_{self.name}"

    @property
    def last_name(self) -> str:
        """The name of the column with its value in a trial's last epoch."""
        return f"last_{self.name}"

    def difference(self, name: str) -> str:
        """The name of a column of differences of the metric: ``name``, with its unit."""
        return f"{name}_pp" if self.is_fraction else name

    @property
    def sign(self) -> int:
        """The factor after which larger values are better."""
        return 1 if self.goal == "maximize" else -1

    @property
    def scale(self) -> int:
        """The factor from a difference to the unit of its column."""
        return 100 if self.is_fraction else 1

    def best(self, values: Sequence[float]) -> int | None:
        """The index of the best value, the first of equals; None if no value is finite."""
        finite = [index for index, value in enumerate(values) if math.isfinite(value)]
        return max(finite, key=lambda index: self.sign * values[index], default=None)

    def text(self, value: float) -> str:
        """A value for a line of text, with its unit."""
        return f"{value:.2%}" if self.is_fraction else self.number(value)

    def number(self, value: float) -> str:
        """A value for a table whose heading has the unit; "–" for a missing value."""
        if math.isnan(value):
            return "–"
        if self.is_fraction:
            return f"{100 * value:.2f}"
        if 1e-3 <= abs(value) < 1e3 or value == 0:
            return f"{value:#.4g}"
        return f"{value:.1f}" if 1e3 <= abs(value) < 1e7 else f"{value:.3e}"


TEST_ACCURACY = Metric("test_accuracy", is_fraction=True)
"""The metric that this package's own training is judged by."""


def selected_on(validation_fraction: float | str) -> str:
    """The images that select epochs, in words, from a ``validation_fraction`` or its text."""
    try:
        fraction = float(validation_fraction)
    except ValueError:  # another program recorded it
        return f"validation_fraction {validation_fraction}"
    return f"{100 * fraction:g} % held-out training images" if fraction else TEST_SET
