"""What trials are judged by: a number of each epoch, and whether more of it is better. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """A metric by which trials are judged.

    Args:
        name: MLflow's.
        goal: whether the best is the largest or the smallest.
        is_fraction: whether it is shown in percent, and its differences in percentage points. An
            own metric is shown as it is.
    """

    name: str
    goal: Goal = "maximize"
    is_fraction: bool = False

    @property
    def words(self) -> str:
        """What a person calls it; an own metric as its user does."""
        return self.name.replace("_", " ") if self.is_fraction else self.name

    @property
    def title(self) -> str:
        """The same at the head of a table."""
        return self.words.capitalize() if self.is_fraction else self.name

    @property
    def best_name(self) -> str:
        """What its value in a trial's best epoch is called, in MLflow and as a column."""
        return f"best_{self.name}"

    @property
    def last_name(self) -> str:
        """What its value in a trial's last epoch is called, as a column."""
        return f"last_{self.name}"

    def difference(self, name: str) -> str:
        """The column of this name, of differences of the metric."""
        return f"{name}_pp" if self.is_fraction else name

    @property
    def sign(self) -> int:
        """What a value is multiplied by, so that more of it is better."""
        return 1 if self.goal == "maximize" else -1

    @property
    def scale(self) -> int:
        """What a difference is multiplied by, to be in the unit of its column."""
        return 100 if self.is_fraction else 1

    def best(self, values: Sequence[float]) -> int | None:
        """The place of the best value, of equals the first; None without a finite one."""
        finite = [place for place, value in enumerate(values) if math.isfinite(value)]
        return max(finite, key=lambda place: self.sign * values[place], default=None)

    def text(self, value: float) -> str:
        """A value for a line of text, with its unit."""
        return f"{value:.2%}" if self.is_fraction else self.number(value)

    def number(self, value: float) -> str:
        """A value for a table, whose heading has the unit; "–" where there is none."""
        if math.isnan(value):
            return "–"
        if self.is_fraction:
            return f"{100 * value:.2f}"
        if 1e-3 <= abs(value) < 1e3 or value == 0:
            return f"{value:#.4g}"
        return f"{value:.1f}" if 1e3 <= abs(value) < 1e7 else f"{value:.3e}"


TEST_ACCURACY = Metric("test_accuracy", is_fraction=True)
"""What our own training is judged by."""
