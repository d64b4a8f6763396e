"""Holds a page's sentences against the records: one that they contradict stops the making.

A template says the words and what they claim, by a filter, which may be used several times:

    {{ "It comes first in every seed" | claim(own, ">", others) }}
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from snn_norm.wording import not_among

_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


def claim(words: str, left: Any, relation: str, right: Any) -> str:
    """Return the words if the relation holds.

    Args:
        words: what the page says.
        left, right: numbers or texts, or several of them as a list, series or frame. Each of
            several must hold: against a single one, or against the one with the same label.
        relation: one of <, <=, ==, !=, >= and >.

    Raises:
        InputError: the relation does not hold, or there is nothing to compare; the message has
            the words and the values.
    """
    if relation not in _RELATIONS:
        raise InputError(f"the relation of a claim {not_among(_RELATIONS, relation)}")
    first, second = _labelled(left), _labelled(right)
    if len(first) == 1 or len(second) == 1:
        pairs = [(a, b) for a in first for b in second]
        labels = list((first if len(first) > 1 else second).index)
    else:
        labels = [label for label in first.index if label in second.index]
        pairs = [(first[label], second[label]) for label in labels]
    if not pairs:
        raise InputError(f"the claim {words!r} compares nothing: {left!r} {relation} {right!r}")
    wrong = [
        f"{label}: {_text(a)} {relation} {_text(b)}"
        for label, (a, b) in zip(labels, pairs, strict=True)
        if not _RELATIONS[relation](a, b)  # NaN relates to nothing
    ]
    if wrong:
        told = " ".join(words.split())
        raise InputError(f"the records contradict {told!r}; this does not hold: {'; '.join(wrong)}")
    return words


def _labelled(values: Any) -> pd.Series[Any]:
    """The values as a series, a frame's by row and column."""
    if isinstance(values, pd.DataFrame):
        return pd.Series(values.stack())
    if isinstance(values, pd.Series):
        return values
    return pd.Series(values if isinstance(values, list) else [values])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
