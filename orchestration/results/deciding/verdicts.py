"""Verdicts in words, from the kind and the direction of the evidence. Pure."""

from __future__ import annotations

import numpy as np

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.results.deciding.sequential import DIFFERENT, EQUAL, log_e_values
from orchestration.results.deciding.state import Pairs
from orchestration.sweep.stopping import UntilDecided


def verdict_of(
    verdict: int, pairs: Pairs, rule: UntilDecided, metric: Metric = TEST_ACCURACY
) -> str:
    """A verdict of :func:`decide` in one word, from the pairs up to the decision.

    Evidence from failures has the direction of failures, and evidence from differences that of
    their mean. If the two directions differ, the first cell is neither better nor worse.
    """
    if verdict != DIFFERENT:
        return "equal" if verdict == EQUAL else "undecided"
    directions = {np.sign(direction) for direction in _directions(pairs, rule, metric)} - {0.0}
    if len(directions) != 1:
        return "different"
    return "better" if directions == {1.0} else "worse"


def _directions(pairs: Pairs, rule: UntilDecided, metric: Metric) -> list[float]:
    """The directions of the evidence: above 0 for the first cell, below 0 against it."""
    goal = 1 if metric.goal == "maximize" else -1
    mean = goal * pairs.mean
    if rule.method == "spending":  # failed seeds count with what they reached
        return [mean]
    by = decided_by(DIFFERENT, pairs, rule) or ""
    directions = []
    if "failures" in by:
        first, second = pairs.n_failed
        directions.append(float(second - first))
    if "differences" in by:
        failed = pairs.first_failed | pairs.second_failed
        learned = np.where(failed, np.nan, pairs.differences)
        directions.append(goal * pairs._replace(differences=learned).mean)
    # The mean that stands beside the verdict has the accuracies of failed seeds in it.
    return [*directions, mean] if metric.is_fraction else directions


def decided_by(verdict: int, pairs: Pairs, rule: UntilDecided) -> str | None:
    """The kind of evidence for a difference: ``differences``, ``failures``, or both."""
    if verdict != DIFFERENT:
        return None
    if rule.method == "spending":
        return "differences"
    of_each = log_e_values(pairs.differences, pairs.first_failed, pairs.second_failed, rule)
    # Where it was the strongest: a decided p is the least so far.
    look = np.argmax(np.add(*of_each)[rule.at_least - 1 :]) + rule.at_least - 1
    names = ("differences", "failures")
    return " and ".join(name for name, log_e in zip(names, of_each, strict=True) if log_e[look] > 0)


def are_failures_decisive(verdict: int, pairs: Pairs, rule: UntilDecided, metric: Metric) -> bool:
    """Whether the verdict rests on failures alone, and failed seeds have no difference.

    A failed seed has an accuracy, so its pair has a difference. It has no value of another metric.
    """
    return not metric.is_fraction and decided_by(verdict, pairs, rule) == "failures"


def failures_in_words(first: int, second: int, n: int) -> str:
    """How many seeds of n failed in each cell, such as ``5 of 8 seeds failed, against 0``."""
    return f"{first} of {n} seeds failed, against {second}"
