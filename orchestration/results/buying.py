"""Which seeds a sweep with ``seeds: {until: decided}`` wants next. Pure.

Comparisons that are undecided are bought for in step: all their cells get the same seed before any
gets the next. What is wanted follows from the trials that have ended and from nothing else, so a
sweep that is struck and resumed goes on to the same decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from orchestration.results.decisions import Standing, verdict_of
from orchestration.results.sequential import UNDECIDED
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

__all__ = ["not_needed", "seeds_wanted", "verdicts_in_words"]


def seeds_wanted(
    spec: SweepSpec,
    now: Standing,
    by_cell: Mapping[int, pd.DataFrame],
    *,
    failed: Collection[tuple[int, int]] = (),
    ahead: int = 0,
) -> list[int]:
    """How many of the spec's seeds, from the first on, each cell is to have.

    Args:
        spec: with seeds until decided.
        now: how the family stands.
        by_cell: trials that have ended, index ``seed``, by the number of their cell.
        failed: (cell, seed) of trials that have no result and are not tried again: a comparison
            waits for none of them, and gets no further seed.
        ahead: seeds beyond the next look.
    """
    rule, order = spec.seeds, spec.seed_order()
    assert isinstance(rule, UntilDecided)
    wanted = [
        max(rule.at_least, _beginning(by_cell[cell].index, order)) for cell in range(len(by_cell))
    ]
    open_ones = [
        (comparison, len(pairs.seeds))
        for comparison, pairs, verdict in zip(now.comparisons, now.pairs, now.verdicts, strict=True)
        if verdict == UNDECIDED and (n := len(pairs.seeds)) < rule.at_most
        if not {(comparison.first, order[n]), (comparison.second, order[n])} & set(failed)
    ]
    look = min((n for _, n in open_ones), default=0) + 1
    for comparison, _ in open_ones:
        for cell in (comparison.first, comparison.second):
            upto = min(max(look, rule.at_least) + ahead, rule.at_most)
            wanted[cell] = max(wanted[cell], upto)
    return wanted


def not_needed(spec: SweepSpec, now: Standing, by_cell: Mapping[int, pd.DataFrame]) -> int:
    """How many ended trials no decision uses, present or still to come: run ahead in vain."""
    rule, order = spec.seeds, spec.seed_order()
    assert isinstance(rule, UntilDecided)
    needed = dict.fromkeys(by_cell, rule.at_least)
    for comparison, verdict, look in zip(now.comparisons, now.verdicts, now.looks, strict=True):
        n = len(order) if verdict == UNDECIDED else int(look)
        for cell in (comparison.first, comparison.second):
            needed[cell] = max(needed[cell], n)
    return sum(seed in order[needed[cell] :] for cell in by_cell for seed in by_cell[cell].index)


def verdicts_in_words(spec: SweepSpec, now: Standing) -> list[str]:
    """What is decided of each comparison, such as ``snn none against bntt: worse …``, or empty."""
    cells, axes, words = spec.cells(), spec.axes(), []
    for comparison, pairs, verdict, look in zip(
        now.comparisons, now.pairs, now.verdicts, now.looks, strict=True
    ):
        first, second = (cells[n].given() for n in (comparison.first, comparison.second))
        used = pairs.upto(int(look))
        label = " ".join(str(first[axis]) for axis in axes if axis in first)
        words.append(
            f"{label} against {second[comparison.axis]}: {verdict_of(verdict, used)} after "
            f"{look} seeds, by {100 * np.mean(used.differences):+.2f} points"
            if verdict != UNDECIDED
            else ""
        )
    return words


def _beginning(had: Iterable[int], order: tuple[int, ...]) -> int:
    """How many seeds are there before the first one that is missing."""
    there = set(had)
    return next((i for i, seed in enumerate(order) if seed not in there), len(order))
