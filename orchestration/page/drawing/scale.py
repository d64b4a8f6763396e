"""Ends and marks of scales, round numbers all. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestration.model.metric import Metric

_LOGARITHMIC = 100.0
"""An axis whose ends differ by this factor has powers of ten at even distances."""


def ends_of(values: Sequence[float], metric: Metric) -> tuple[float, float]:
    """Round ends of a scale for these values of a metric, which a further one seldom moves."""
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
    """Those that a scale of colours is for: of an own metric not what is far off, such as a loss
    that has run away, beside which all others would have one colour.
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
        part: where a value stands: 0 at the lower end, 1 at the upper one.
        marks: values that are marked.
    """

    part: Callable[[float], float]
    marks: list[float]


def axis_of(values: Sequence[float], metric: Metric) -> Axis:
    """An axis for these: accuracies in percent up to 100, of an own metric as they are."""
    low, high = min(values), max(values)
    if metric.is_fraction:
        low, high = min(10 * math.floor(low / 10), 90), 100
        step: float = 10 if low >= 60 else 20
        low_mark = math.ceil(low / step) * step
        return _linear(low, high, [low_mark + step * n for n in range(int(100 - low_mark) // 10)])
    if low > 0 and high >= _LOGARITHMIC * low:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = math.ceil((last - first) / 5)
        powers = [10.0**power for power in range(first, last + 1, every)]
        return Axis(lambda value: (math.log10(value) - first) / (last - first), powers)
    step = _step((high - low) / 4 or abs(high) / 100)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return _linear(first * step, last * step, [n * step for n in range(first, last + 1)])


def _linear(low: float, high: float, marks: Sequence[float]) -> Axis:
    within = [mark for mark in marks if low <= mark <= high]
    return Axis(lambda value: (value - low) / (high - low), within)


def _step(least: float) -> float:
    """The least round number that is at least this."""
    least = least or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))
