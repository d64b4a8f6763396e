"""The ends and marks of scales, which are round numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.model.metric import Metric

AxisKind = Literal["automatic", "linear", "logarithmic"]
"""An automatic axis is linear, unless values of a user's own metric differ by a large factor."""

_LOGARITHMIC = 100.0
"""From this factor on, an automatic axis is logarithmic."""


def ends_of(values: Sequence[float], metric: Metric) -> tuple[float, float]:
    """Round ends of a scale for these values; a further value seldom changes them."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if metric.is_fraction:
        steps = (0.02, 0.05, 0.1, 0.2, 1.0)
        step = next(step for step in steps if high - low <= 5 * step or step == 1.0)
    else:
        step = _step((high - low) / 5 or abs(high) / 100)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if high <= low:
        low, high = low - step, high + step
    return (max(low, 0.0), min(high, 1.0)) if metric.is_fraction else (low, high)


def near_the_best(values: Sequence[float], metric: Metric) -> list[float]:
    """The values that a scale of colours covers.

    Extreme values of a user's own metric are left out: beside a loss that has diverged, all others
    would have the same colour.
    """
    if metric.is_fraction or len(values) < 3:
        return list(values)
    signed = sorted((metric.sign * value for value in values), reverse=True)
    best, median = signed[0], signed[len(signed) // 2]
    least = median - 3 * (best - median) if best > median else signed[-1]
    return [value for value in values if metric.sign * value >= least]


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Args:
        part: the position of a value: 0 at the lower end, 1 at the upper one.
        marks: the values of the tick marks.
    """

    part: Callable[[float], float]
    marks: list[float]


def axis_of(values: Sequence[float], metric: Metric, kind: AxisKind = "automatic") -> Axis:
    """An axis that these values fill; accuracies are in percent."""
    low, high = min(values), max(values)
    if kind == "automatic" and not metric.is_fraction and low > 0 and high >= _LOGARITHMIC * low:
        kind = "logarithmic"
    positive = [value for value in values if value > 0]
    if kind == "logarithmic" and positive:
        return _logarithmic(min(positive), max(positive))
    step = _step((high - low) / 4 or abs(high) / 100)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    marks = [n * step for n in range(first, last + 1)]
    if metric.is_fraction and last * step > 100 >= high:
        marks = [mark - (last * step - 100) for mark in marks]
    return Axis(lambda value: (value - marks[0]) / (marks[-1] - marks[0]), marks)


def _logarithmic(low: float, high: float) -> Axis:
    """An axis with powers of ten at even distances; what is not positive is at its lower end."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 5))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    marks = [f * 10.0**power for power in range(first, last + 1, every) for f in factors]
    below = [mark for mark in marks if mark <= low * (1 + 1e-9)]
    above = [mark for mark in marks if mark >= high * (1 - 1e-9)]
    start, end = below[-1], above[0] if above else 10.0 ** (first + every * len(marks))
    if end <= start:
        end = 10 * start
    lowest, span = math.log(start), math.log(end) - math.log(start)
    return Axis(
        lambda value: (math.log(value) - lowest) / span if value > start else 0.0,
        [mark for mark in sorted({*marks, end}) if start <= mark <= end],
    )


def _step(least: float) -> float:
    """The smallest round number that is not smaller than this."""
    least = least or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
