"""One key of the space of settings that a search draws from: its values, or its range. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snn_norm.config import RunConfig
from snn_norm.wording import described

_DIGITS = 4
"""Significant digits of a number that is drawn, so that its text and the trial's key are short."""

_NEAR_AN_END = 1 / 20


@dataclass(frozen=True)
class Dimension:
    """The values of one key.

    Args:
        values: the values of a list; empty for a range.
        is_log: whether values are drawn by their logarithm.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False

    @classmethod
    def of(cls, key: str, given: Any, *, own: bool) -> Dimension:
        """The dimension that a checked value of ``space`` describes.

        Args:
            given: a list of values, or a range such as {log: [1e-4, 1]}.
            own: whether the key is one of the user's own training code. Its range is of whole
                numbers if both ends are.
        """
        if not isinstance(given, Mapping):
            return cls(key, values=tuple(given))
        ((scale, (low, high)),) = given.items()
        whole = all(isinstance(end, int) for end in (low, high))
        if not own:
            whole = RunConfig.model_fields[key].annotation is int
        return cls(key, low=low, high=high, is_log=scale == "log", is_whole=whole)

    def at(self, coordinate: float) -> Any:
        """The value at a coordinate from 0 to 1 (exclusive)."""
        if self.values:
            return self.values[int(coordinate * len(self.values))]
        # Each whole number stands for the interval from it to the next.
        low, high = self._scaled(self.low), self._scaled(self.high + self.is_whole)
        value = low + coordinate * (high - low)
        return self._within(math.exp(value) if self.is_log else value)

    def has(self, value: Any) -> bool:
        """Whether a value is one of these, and of their type."""
        if self.values:
            return any(type(one) is type(value) and one == value for one in self.values)
        is_number = isinstance(value, int if self.is_whole else int | float)
        return is_number and not isinstance(value, bool) and self.low <= value <= self.high

    def code(self, value: Any) -> Any:
        """A value as a number: its place in a list, or itself in a range."""
        return self.values.index(value) if self.values else value

    def chosen(self, code: Any) -> Any:
        """The value that has this code, with few digits."""
        return self.values[code] if self.values else self._within(code)

    def _within(self, value: float) -> Any:
        if self.is_whole:
            return min(max(math.floor(value), int(self.low)), int(self.high))
        return float(min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high))

    def place(self, value: float) -> float:
        """Where a value lies in a range: 0 at its lower end, 1 at its upper end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(value) - low) / (high - low)

    def near_end(self, value: Any) -> str:
        """What to do about a value that is near an end of the range; empty if it is not."""
        if self.values:
            return ""
        place = self.place(value)
        if _NEAR_AN_END < place < 1 - _NEAR_AN_END:
            return ""
        end, words = (self.low, "lower") if place < 0.5 else (self.high, "upper")
        return f"{self.key} {value:g} is near the {words} end {end:g}: widen its range"

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def checked_dimension(given: Any) -> Any:
    """Check one value of ``space``.

    Raises:
        ValueError: it is neither a list of values nor a range.
    """
    if isinstance(given, list | tuple) and given:
        return tuple(given)
    ends = next(iter(given.values())) if isinstance(given, dict) and len(given) == 1 else None
    scale = next(iter(given)) if ends is not None else None
    if scale not in ("log", "uniform") or not isinstance(ends, list | tuple) or len(ends) != 2:
        raise ValueError(
            "must be a list of values, {log: [low, high]} or {uniform: [low, high]}, got "
            f"{described(given)}"
        )
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise ValueError(f"must be a range of two finite numbers, got {described(end)}")
    low, high = ends
    if low >= high:
        raise ValueError(f"must be a range from a smaller to a larger number, got {low} to {high}")
    if scale == "log" and low <= 0:
        raise ValueError(
            f"must be a range above 0, as values are drawn by their logarithm, got {low} to {high}:"
            " take uniform, or raise its lower end"
        )
    return {scale: tuple(ends)}
