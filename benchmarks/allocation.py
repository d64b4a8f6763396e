"""Seeds bought by promised growth an hour, against seeds bought in step: by simulation.

    python -m benchmarks.allocation                     # 300 sweeps a row

A sweep compares two norms in each of three settings, as in ``benchmarks.sequential``: differences
of 70 points, of 2 and of 0, which spread by 1. There is one worker. A trial takes an hour; where
it says so, those of the setting with 2 points take ``--dear`` hours. In step, all undecided
comparisons get a pair before any gets the next. The deciding and the buying code are the product's
own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from unittest import mock

import numpy as np

from benchmarks.sequential import ALPHA, FAMILY, MARGIN, MIXED
from benchmarks.simulated_sweeps import Sweeps, drawn, with_effects
from orchestration.results.deciding.allocation import next_allocation
from orchestration.results.deciding.sequential import decide, evidence
from orchestration.results.deciding.state import DecisionState, Pairs, side_by_side
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

BUDGETS = (2, 4, 8, 16, 32)
"""Hours after the first seeds of each cell."""


def spec(at_most: int, margin: float | None) -> SweepSpec:
    """Two norms in each of three settings."""
    seeds = {
        "until": "decided",
        "alpha": ALPHA,
        "practically_equal": margin,
        "at_most": at_most,
        "assume": "normal",  # otherwise nothing is equal after 40 seeds
    }
    return SweepSpec.from_dict(
        {
            "name": "buying",
            "dataset": "digits",
            "epochs": 1,
            "seeds": seeds,
            "compare": [{"norm": ["none", "batchnorm"]}],
            "grid": [{"architecture": "ann", "width": [1, 2, 3], "norm": ["none", "batchnorm"]}],
        }
    )


def run(
    sweeps: Sweeps, number: int, wanted: SweepSpec, hours: list[float]
) -> list[tuple[float, int]]:
    """The hours used after each trial of one sweep, and how many comparisons were decided then."""
    rule, order, comparisons = wanted.seeds, wanted.seed_order(), wanted.comparisons()
    assert isinstance(rule, UntilDecided)
    place = {seed: i for i, seed in enumerate(order)}
    given = {(cell, seed) for cell in range(2 * FAMILY) for seed in order[: rule.at_least]}
    n_of = [rule.at_least] * (2 * FAMILY)

    def stand() -> DecisionState:
        pairs = []
        for setting, one in enumerate(comparisons):
            n = min(n_of[cell] for cell in one.cells)
            first, second = sweeps.first[number, setting, :n], sweeps.second[number, setting, :n]
            failed = (
                sweeps.first_failed[number, setting, :n],
                sweeps.second_failed[number, setting, :n],
            )
            pairs.append(Pairs(order[:n], first - second, *failed))
        found = [evidence(*one[1:], rule, FAMILY, None) for one in pairs]
        return DecisionState(comparisons, pairs, found, *decide(side_by_side(found), rule), None)

    used, now = sum(hours) * rule.at_least, stand()
    told = [(used, int(np.count_nonzero(now.verdicts)))]
    while bought := next_allocation(wanted, now, hours, given=given):
        for cell, seed in bought.trials:
            given.add((cell, seed))
            n_of[cell] = place[seed] + 1
            used += hours[cell]
        now = stand()
        told.append((used, int(np.count_nonzero(now.verdicts))))
    return told


def rows(count: int, dear: float) -> Iterator[str]:
    """Both ways of buying, where something is practically equal and where nothing is."""
    budgets = " | ".join(f"decided {hours} h on" for hours in BUDGETS)
    yield f"| | {budgets} | hours to the end |"
    yield f"| --- |{' ---: |' * (len(BUDGETS) + 1)}"
    sweeps = drawn(with_effects(MIXED), count, FAMILY, 40, 100)
    for margin, at_most in ((MARGIN, 40), (None, 20)):
        for cost in (1.0, dear):
            hours = [1.0, 1.0, cost, cost, 1.0, 1.0]
            wanted = spec(at_most, margin)
            for name in ("in step", "by growth"):
                # If no growth is expected, the earliest seed comes first.
                promised = "orchestration.results.deciding.allocation.expected_growth"
                with ExitStack() as patches:
                    if name == "in step":
                        patches.enter_context(mock.patch(promised, return_value=0.0))
                    told = [run(sweeps, number, wanted, hours) for number in range(count)]
                decided = [
                    np.mean([max(n for h, n in one if h <= one[0][0] + budget) for one in told])
                    for budget in BUDGETS
                ]
                end = np.mean([one[-1][0] for one in told])
                equal = "practically equal" if margin else "nothing equal"
                dearly = "" if cost == 1 else f", 2 points at {cost:g} h a trial"
                cells = " | ".join(f"{value:.2f}" for value in decided)
                yield f"| {name}, at most {at_most}, {equal}{dearly} | {cells} | {end:.1f} |"


def main() -> None:
    """Simulate, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=300)
    parser.add_argument("--dear", type=float, default=3.0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    for row in rows(arguments.sweeps, arguments.dear):
        print(row, flush=True)
    print(f"\n{arguments.sweeps:,} sweeps a row, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
