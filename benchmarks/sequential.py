"""Seeds until decided: how often it errs, what it finds, and what that costs, by simulation.

    pip install -e '.[bench]'
    python -m benchmarks.sequential                     # 10,000 sweeps a row
    python -m benchmarks.sequential --sweeps 1000 --adastop 50

A sweep compares two norms in each of three settings: six cells, a family of three. Seeds spread
accuracies by 0.7 points, so paired differences by 1.0. Differences within 1 point are practically
equal. A trial costs one GPU hour. The deciding code is the product's own.

Errors are counted under an adversary that looks after every trial and stops at will: as p never
grows, that is whether any comparison is ever found different.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

from orchestration.results.deciding.sequential import (
    DIFFERENT,
    EQUAL,
    UNDECIDED,
    Bools,
    Evidence,
    decide,
    evidence,
    student_log_e,
)
from orchestration.results.statistics import Floats, holm, student_t, t_interval
from orchestration.sweep.stopping import UntilDecided

SPREAD, CHANCE, MARGIN, ALPHA = 0.007, 0.1, 0.01, 0.05
FAMILY, AT_MOST = 3, 40
NOTHING = np.zeros(FAMILY)
COLLAPSING = ("collapsing 10 %", "collapsing 40 %")
MIXED = np.array([-0.70, -0.02, 0.0])
"""By how much the first norm of each pair does better: one of 70 points, one of 2, one of 0."""


class Sweeps(NamedTuple):
    """Accuracies and whether a trial failed, of each norm: (sweeps, settings, seeds)."""

    first: Floats
    second: Floats
    first_failed: Bools
    second_failed: Bools

    def compared(self, n: int = AT_MOST) -> tuple[Floats, Bools, Bools]:
        """Differences and failures of the first n seeds."""
        differences = self.first - self.second
        return differences[..., :n], self.first_failed[..., :n], self.second_failed[..., :n]

    def head(self, n: int) -> Sweeps:
        """The first n sweeps."""
        return Sweeps(
            self.first[:n], self.second[:n], self.first_failed[:n], self.second_failed[:n]
        )


class Decided(NamedTuple):
    """Verdicts (sweeps, comparisons), and the GPU hours of each sweep."""

    verdicts: npt.NDArray[np.integer]
    hours: Floats


def drawn(kind: str, sweeps: int, effects: Floats, seed: int) -> Sweeps:
    """Simulate sweeps of a kind of noise; of failing ones, the share that its name gives."""
    generator = np.random.default_rng(seed)
    shape = (sweeps, FAMILY, AT_MOST)

    def norm(effect: Floats, noise: str) -> tuple[Floats, Bools]:
        values = generator.standard_normal(shape)
        if noise.startswith("heavy"):
            values = generator.standard_t(3, shape) / np.sqrt(3)
        if noise.startswith("skewed"):
            values = 1 - generator.exponential(size=shape)
        failed = np.broadcast_to((effect < -0.5)[:, None], shape)
        if noise.startswith("collapsing"):
            failed = failed | (generator.random(shape) < float(noise.split()[1]) / 100)
        chance = CHANCE + 0.002 * generator.standard_normal(shape)
        return np.where(failed, chance, 0.9 + effect[:, None] + SPREAD * values), failed

    first, first_failed = norm(effects, kind)
    # Differences of two norms that are skewed alike would be symmetric.
    second, second_failed = norm(NOTHING, "normal" if kind.startswith("skewed") else kind)
    return Sweeps(first, second, first_failed, second_failed)


def ours(sweeps: Sweeps, **keys: Any) -> Decided:
    """The product's decisions; both norms of a pair are trained until it is decided."""
    rule = UntilDecided(until="decided", alpha=ALPHA, **keys)
    found = evidence(*sweeps.compared(rule.at_most), rule, FAMILY)
    verdicts, looks = decide(found, rule)
    return Decided(verdicts, 2.0 * looks.sum(axis=-1))


def fixed(sweeps: Sweeps, n: int) -> Decided:
    """Student's paired t-test after n seeds, once, with Holm's correction.

    A pair is equal if its t-interval at α / 3 lies within the margin.
    """
    differences, *_ = sweeps.compared(n)
    mean, std = differences.mean(-1), differences.std(-1, ddof=1)
    low, high = t_interval(mean, std, np.array(n), 1 - ALPHA / FAMILY)
    equal = (low > -MARGIN) & (high < MARGIN)
    different = holm(student_t(mean, std, np.array(n))[1]) <= ALPHA
    verdicts = np.where(equal, EQUAL, np.where(different, DIFFERENT, UNDECIDED))
    return Decided(verdicts, np.full(len(mean), 2.0 * FAMILY * n))


def peeked(sweeps: Sweeps) -> Decided:
    """The same t-test looked at after every seed from the fifth, as people do."""
    looks = [fixed(sweeps, n).verdicts == DIFFERENT for n in range(5, AT_MOST + 1)]
    return Decided(
        np.where(np.any(looks, axis=0), DIFFERENT, UNDECIDED), np.full(len(looks[0]), np.nan)
    )


def halved(sweeps: Sweeps) -> Decided:
    """Half of α for Student's e-value and half for signs, which count from the first failure on."""
    rule = UntilDecided(until="decided", alpha=ALPHA, at_most=AT_MOST)
    differences, first, second = sweeps.compared()
    n, k = (differences != 0).cumsum(-1), (differences > 0).cumsum(-1)
    signs = n * np.log(2) + betaln(k + 1, n - k + 1)
    failed = np.logical_or.accumulate(first | second, axis=-1)
    log_e = np.where(failed, signs, student_log_e(differences))
    p = np.minimum.accumulate(2 * np.exp(-log_e), axis=-1)
    p[..., : rule.at_least - 1] = 1
    wide = np.full(p.shape, np.inf)
    verdicts, looks = decide(Evidence(log_e, p, -wide, wide, wide < 0), rule)
    return Decided(verdicts, 2.0 * looks.sum(axis=-1))


def in_any_order(sweeps: Sweeps, seed: int) -> Decided:
    """Ours, while trials end in a random order, failed ones first: looked at after every trial."""
    rule = UntilDecided(until="decided", alpha=ALPHA, at_most=AT_MOST)
    p = evidence(*sweeps.compared(), rule, FAMILY).p
    p = np.concatenate([np.ones((*p.shape[:2], 1)), p], axis=-1)
    generator = np.random.default_rng(seed)
    ends = [
        generator.random(p[..., 1:].shape) + ~failed
        for failed in (sweeps.first_failed, sweeps.second_failed)
    ]
    # A pair is complete when both of its trials are, a beginning when all of its pairs are.
    complete = np.maximum.accumulate(np.maximum(*ends), axis=-1)
    found = np.zeros(p.shape[:2], dtype=bool)
    for moment in np.sort(np.concatenate(ends, axis=-1).reshape(len(p), -1), axis=-1).T:
        pairs = (complete <= moment[:, None, None]).sum(axis=-1)
        found |= holm(np.take_along_axis(p, pairs[..., None], axis=-1)[..., 0]) <= ALPHA
    return Decided(np.where(found, DIFFERENT, UNDECIDED), np.full(len(p), np.nan))


def adastop(sweeps: Sweeps) -> Decided:
    """AdaStop's package: permutation tests at four looks, every five seeds; unpaired."""
    from adastop import MultipleAgentsComparator

    pairs = np.arange(2 * FAMILY).reshape(FAMILY, 2)
    verdicts, hours = [], []
    for number, settings in enumerate(np.stack([sweeps.first, sweeps.second], axis=2)):
        cells = settings.reshape(2 * FAMILY, -1)
        comparator = MultipleAgentsComparator(
            n=5, K=4, B=1000, alpha=ALPHA, comparisons=pairs, seed=number
        )
        seeds = np.zeros(len(cells), dtype=int)
        while not comparator.is_finished:
            wanted = (
                pairs if comparator.current_comparisons is None else comparator.current_comparisons
            )
            seeds[np.unique(wanted)] += 5
            values = {str(cell): cells[cell, :n] for cell, n in enumerate(seeds)}
            comparator.partial_compare(values, verbose=False)
        different = [one in ("larger", "smaller") for one in comparator.decisions.values()]
        verdicts.append(np.where(different, DIFFERENT, UNDECIDED))
        hours.append(float(seeds.sum()))
    return Decided(np.array(verdicts), np.array(hours))


def error_rows(sweeps: int) -> Iterator[str]:
    """How often anything is found where there is nothing, for each kind of noise."""
    yield "| null | sequential | spending | half of α and signs | t-test, peeked at |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    kinds = ["normal", "heavy-tailed (t, 3)", "skewed (exponential)", *COLLAPSING]
    for number, kind in enumerate(kinds):
        null = drawn(kind, sweeps, NOTHING, number)
        contenders = ours(null), ours(null, method="spending"), halved(null), peeked(null)
        rates = [f"{100 * _found(one):.2f} %" for one in contenders]
        yield f"| {kind} | {' | '.join(rates)} |"
    for number, kind in enumerate(("normal", *COLLAPSING)):
        null = drawn(kind, sweeps, NOTHING, number)
        yield (
            f"| {kind}, trials ending in any order, failed ones first "
            f"| {100 * _found(in_any_order(null, number)):.2f} % | | | |"
        )


def power_rows(sweeps: int, of_adastop: int) -> Iterator[str]:
    """What is found where effects are mixed, and what it costs."""
    yield (
        "| | 70 points found | 2 points found | 0 points: equal | 0 points: found different "
        "| GPU hours | fixed seeds that find the 2 points as often: hours | share "
        "| fixed seeds that answer all three as often: hours | share |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    mixed = drawn("normal", sweeps, MIXED, 100)
    few = mixed.head(of_adastop)
    curve = [fixed(mixed, n) for n in range(3, AT_MOST + 1)]
    contenders: dict[str, Callable[[], Decided]] = {
        **{f"{n} fixed seeds, Holm": partial(fixed, mixed, n) for n in (3, 10, 20)},
        "sequential, at most 20": partial(ours, mixed, at_most=20),
        "sequential, at most 40": partial(ours, mixed),
        "sequential, at most 40, practically equal": partial(ours, mixed, practically_equal=MARGIN),
        "spending, at most 20": partial(ours, mixed, at_most=20, method="spending"),
        "spending, at most 40, practically equal": partial(
            ours, mixed, method="spending", practically_equal=MARGIN
        ),
        "half of α and signs, at most 40": partial(halved, mixed),
    }
    if of_adastop:
        contenders[f"AdaStop, 4 looks of 5 ({of_adastop} sweeps)"] = partial(adastop, few)
    for name, contender in contenders.items():
        found = contender()
        hours = found.hours.mean()
        far, near, none = (found.verdicts == DIFFERENT).mean(axis=0)
        equal = (found.verdicts[:, 2] == EQUAL).mean()
        shares = [
            _share(hours, [(one.hours[0], of(one)) for one in curve], of(found))
            for of in (_finds_two, _answers_all)
        ]
        yield (
            f"| {name} | {100 * far:.1f} % | {100 * near:.1f} % | {100 * equal:.1f} % "
            f"| {100 * none:.2f} % | {hours:.1f} | {' | '.join(shares)} |"
        )


def moderate_rows(sweeps: int) -> Iterator[str]:
    """The power for three differences of one standard deviation, and what it costs."""
    yield "| three differences of 1 point | found, each | GPU hours |"
    yield "| --- | ---: | ---: |"
    moderate = drawn("normal", sweeps, np.full(FAMILY, -0.01), 200)
    contenders: dict[str, Callable[[], Decided]] = {
        "20 fixed seeds, Holm": partial(fixed, moderate, 20),
        **{
            f"{method}, at most {n}": partial(ours, moderate, at_most=n, method=method)
            for n in (20, 40)
            for method in ("sequential", "spending")
        },
    }
    for name, contender in contenders.items():
        found = contender()
        share = (found.verdicts == DIFFERENT).mean()
        yield f"| {name} | {100 * share:.1f} % | {found.hours.mean():.1f} |"


def _found(decided: Decided) -> float:
    return float((decided.verdicts == DIFFERENT).any(axis=-1).mean())


def _finds_two(decided: Decided) -> float:
    return float((decided.verdicts[:, 1] == DIFFERENT).mean())


def _answers_all(decided: Decided) -> float:
    return float((decided.verdicts == [DIFFERENT, DIFFERENT, EQUAL]).all(axis=-1).mean())


def _share(hours: float, curve: list[tuple[float, float]], power: float) -> str:
    """The hours of the fewest fixed seeds of this power, and which share of them was used."""
    needed = next((fixed_hours for fixed_hours, other in curve if other >= power), None)
    return f"{needed:.0f} | {hours / needed:.2f}" if needed and power > 0.01 else " | "


def main() -> None:
    """Simulate, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--adastop", type=int, default=200, help="sweeps of AdaStop's; 0: none")
    arguments = parser.parse_args()
    start = time.perf_counter()
    for rows in (
        error_rows(arguments.sweeps),
        power_rows(arguments.sweeps, arguments.adastop),
        moderate_rows(arguments.sweeps),
    ):
        for row in rows:
            print(row, flush=True)
        print()
    print(f"{arguments.sweeps:,} sweeps a row, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
