"""Seeds until decided: how often it errs, what it finds, and what that costs, by simulation.

    pip install -e '.[bench]'
    python -m benchmarks.sequential                     # 10,000 sweeps a row
    python -m benchmarks.sequential --sweeps 1000 --adastop 0

A sweep compares two norms in each of three or ten settings: a family of as many comparisons.
``benchmarks.simulated_sweeps`` has the distributions. Differences within 1 point are practically
equal. A trial costs one GPU hour. The deciding code is the product's own.

Errors are counted under an adversary that looks after every pair and stops at will: as p never
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

from benchmarks.simulated_sweeps import (
    AT_LEAST,
    AT_THE_MARGIN,
    EQUAL_MEANS,
    EXCHANGEABLE,
    WITHIN_THE_MARGIN,
    Sweeps,
    Values,
    differing,
    drawn,
    with_effects,
)
from orchestration.results.deciding.sequential import (
    DIFFERENT,
    EQUAL,
    UNDECIDED,
    decide,
    evidence,
    sign_log_e,
    student_interval,
)
from orchestration.results.statistics import Floats, holm, student_t, t_interval
from orchestration.sweep.stopping import UntilDecided

MARGIN, ALPHA = 0.01, 0.05
FAMILY, AT_MOST = 3, 40
MIXED = np.array([-0.70, -0.02, 0.0])
"""By how much the first norm of each pair does better: one of 70 points, one of 2, one of 0."""


class Decided(NamedTuple):
    """Verdicts and how many pairs they took, (sweeps, comparisons)."""

    verdicts: npt.NDArray[np.integer]
    pairs: Floats

    @property
    def errs(self) -> float:
        """How often any comparison of a sweep is found different."""
        return float((self.verdicts == DIFFERENT).any(axis=-1).mean())

    @property
    def finds(self) -> float:
        """How many comparisons are found different."""
        return float((self.verdicts == DIFFERENT).mean())


def ours(sweeps: Sweeps, assume: str = "exchangeable", **keys: Any) -> Decided:
    """The product's decisions; both norms of a pair are trained until it is decided."""
    rule = UntilDecided(until="decided", alpha=ALPHA, assume=assume, at_least=AT_LEAST, **keys)  # type: ignore[arg-type]
    compared = sweeps.compared(rule.at_most)
    found = evidence(*compared, rule, compared[0].shape[1], sweeps.seen())
    verdicts, pairs = decide(found, rule)
    return Decided(verdicts, pairs.astype(float))


def fixed(sweeps: Sweeps, n: int, margin: float = 0.0) -> Decided:
    """Student's paired t-test after n seeds, once, with Holm's correction.

    A pair is equal if its t-interval, at α over the number of comparisons, lies within the margin.
    """
    differences, *_ = sweeps.compared(n)
    mean, std = differences.mean(-1), differences.std(-1, ddof=1)
    low, high = t_interval(mean, std, np.array(n), 1 - ALPHA / mean.shape[1])
    equal = (low > -margin) & (high < margin)
    different = holm(np.nan_to_num(student_t(mean, std, np.array(n))[1], nan=1.0)) <= ALPHA
    verdicts = np.where(equal, EQUAL, np.where(different, DIFFERENT, UNDECIDED))
    return Decided(verdicts, np.full(mean.shape, n))


def peeked(sweeps: Sweeps) -> Decided:
    """The same t-test looked at after every seed from the fifth, as people do."""
    looks = [fixed(sweeps, n).verdicts == DIFFERENT for n in range(AT_LEAST, AT_MOST + 1)]
    found = np.where(np.any(looks, axis=0), DIFFERENT, UNDECIDED)
    return Decided(found, np.full(found.shape, np.nan))


def in_any_order(sweeps: Sweeps, seed: int) -> Decided:
    """Ours, while trials end in a random order, failed ones first: looked at after every trial."""
    rule = UntilDecided(until="decided", alpha=ALPHA, at_most=AT_MOST, assume="exchangeable")
    p = evidence(*sweeps.compared(AT_MOST), rule, FAMILY, None).p
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
    return Decided(np.where(found, DIFFERENT, UNDECIDED), np.full(found.shape, np.nan))


def adastop(sweeps: Sweeps) -> Decided:
    """AdaStop's package: permutation tests at four looks, every five seeds; unpaired."""
    from adastop import MultipleAgentsComparator

    pairs = np.arange(2 * FAMILY).reshape(FAMILY, 2)
    verdicts, used = [], []
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
        used.append(seeds[pairs].mean(axis=1))
    return Decided(np.array(verdicts), np.array(used))


def error_rows(sweeps: int) -> Iterator[str]:
    """How often anything is found where there is nothing, for each distribution."""
    for heading, distributions in (
        ("exchangeable", EXCHANGEABLE),
        ("equal means, not exchangeable", EQUAL_MEANS),
    ):
        yield (
            f"| {heading} | exchangeable, family of 3 | of 10 | normal, family of 3 | of 10 "
            "| spending, family of 3 | t-test, peeked at |"
        )
        yield f"| --- |{' ---: |' * 6}"
        for number, (name, draw) in enumerate(distributions.items()):
            three, ten = (drawn(draw, sweeps, family, AT_MOST, number) for family in (FAMILY, 10))
            found = [
                ours(one, assume) for assume in ("exchangeable", "normal") for one in (three, ten)
            ]
            found += [ours(three, "normal", method="spending"), peeked(three)]
            yield f"| {name} | {' | '.join(f'{100 * one.errs:.2f} %' for one in found)} |"
        yield ""
    yield "| trials end in any order, failed ones first, a look after each | exchangeable |"
    yield "| --- | ---: |"
    for number, name in enumerate(("normal", "both collapse in 40 %", "exactly one collapses")):
        null = drawn(EXCHANGEABLE[name], sweeps, FAMILY, AT_MOST, number)
        yield f"| {name} | {100 * in_any_order(null, number).errs:.2f} % |"


def equal_rows(sweeps: int, at_most: int = 80) -> Iterator[str]:
    """How often a difference of exactly the margin is called equal, and how often none is."""
    yield (
        f"| at most {at_most} seeds | exchangeable: one of 3 | pairs | any of 3 alike "
        "| one of 10 | normal: one of 3 | pairs |"
    )
    yield f"| --- |{' ---: |' * 6}"
    for number, (name, values) in enumerate({**AT_THE_MARGIN, **WITHIN_THE_MARGIN}.items()):
        one, ten = (
            drawn(_first_only(values), sweeps, family, at_most, number) for family in (FAMILY, 10)
        )
        alike = drawn(differing(values), sweeps, FAMILY, at_most, number)
        keys: dict[str, Any] = {"practically_equal": MARGIN, "at_most": at_most}
        cells = [
            *_said_equal(ours(one, **keys)),
            f"{100 * (ours(alike, **keys).verdicts == EQUAL).any(axis=1).mean():.1f} %",
            _said_equal(ours(ten, **keys))[0],
            *_said_equal(ours(one, "normal", **keys)),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _first_only(values: Values) -> Callable[..., Sweeps]:
    """These differences in the first comparison; normal ones without an effect in the others."""

    def differences(generator: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        found = 0.01 * generator.standard_normal(shape)
        found[:, :1] = values(generator, (shape[0], 1, shape[2]))
        return found

    return differing(differences)


def _said_equal(decided: Decided) -> tuple[str, str]:
    """How often the first comparison is, and after how many pairs."""
    equal = decided.verdicts[:, 0] == EQUAL
    pairs = decided.pairs[:, 0][equal]
    return f"{100 * equal.mean():.1f} %", f"{pairs.mean():.0f}" if len(pairs) else ""


def head_to_head_rows(sweeps: int, of_adastop: int) -> Iterator[str]:
    """Errors, power and seeds of a cell, of this and of others, on the same sweeps."""
    nulls = ["normal", "one image either way", "exactly one collapses"]
    effects = (0.5, 2.0, 70.0)
    simulated = [drawn(EXCHANGEABLE[name], sweeps, FAMILY, AT_MOST, 50) for name in nulls]
    simulated += [
        drawn(with_effects(np.full(FAMILY, -effect / 100)), sweeps, FAMILY, AT_MOST, 60)
        for effect in effects
    ]
    yield (
        f"| | {' | '.join(f'errs: {name}' for name in nulls)} "
        f"| {' | '.join(f'{effect:g} points found | seeds' for effect in effects)} |"
    )
    yield f"| --- |{' ---: |' * (len(nulls) + 2 * len(effects))}"
    contenders: dict[str, Callable[[Sweeps], Decided]] = {
        "exchangeable (the default), at most 40": ours,
        "normal, at most 40": partial(ours, assume="normal"),
        "exchangeable (the default), at most 20": partial(ours, at_most=20),
        **{f"{n} fixed seeds, Holm": partial(fixed, n=n) for n in (5, 10, 20)},
    }
    if of_adastop:
        contenders[f"AdaStop, 4 looks of 5 ({of_adastop} sweeps)"] = adastop
    for name, contender in contenders.items():
        few = of_adastop if contender is adastop else sweeps
        found = [contender(one.head(few)) for one in simulated]
        errors = [f"{100 * one.errs:.2f} %" for one in found[: len(nulls)]]
        power = [f"{100 * one.finds:.1f} % | {one.pairs.mean():.1f}" for one in found[len(nulls) :]]
        yield f"| {name} | {' | '.join(errors + power)} |"


def interval_rows(sweeps: int) -> Iterator[str]:
    """How often an interval of a sweep misses the true mean difference, 0, at some look."""
    yield "| no seed fails, family of 3 | Student's interval misses | with exchangeable, misses |"
    yield "| --- | ---: | ---: |"
    for name, draw in {**EXCHANGEABLE, **EQUAL_MEANS}.items():
        simulated = drawn(draw, sweeps, FAMILY, AT_MOST, 100)
        if simulated.first_failed.any() or simulated.second_failed.any():
            continue  # there is no interval
        differences, *_ = simulated.compared(AT_MOST)
        low, high = student_interval(differences, ALPHA / FAMILY, simulated.seen().spread)
        missed = (low > 0) | (high < 0)
        missed[..., : AT_LEAST - 1] = False
        rejected = sign_log_e(differences) >= np.log(FAMILY / ALPHA)
        rates = [100 * one.any(axis=(1, 2)).mean() for one in (missed, missed & rejected)]
        yield f"| {name} | {rates[0]:.2f} % | {rates[1]:.2f} % |"


def power_rows(sweeps: int) -> Iterator[str]:
    """What is found where effects are mixed, and what it costs."""
    yield (
        "| | 70 points found | 2 points found | 0 points: equal | 0 points: found different "
        "| GPU hours |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    mixed = drawn(with_effects(MIXED), sweeps, FAMILY, 80, 100)
    contenders: dict[str, Callable[[], Decided]] = {
        **{f"{n} fixed seeds, Holm": partial(fixed, mixed, n, MARGIN) for n in (3, 10, 20)},
        **{
            f"{assume}, at most {n}": partial(ours, mixed, assume, at_most=n)
            for n in (20, 40)
            for assume in ("exchangeable", "normal")
        },
        "spending, at most 20": partial(ours, mixed, "normal", at_most=20, method="spending"),
        "normal, at most 40, practically equal": partial(
            ours, mixed, "normal", practically_equal=MARGIN
        ),
    }
    for name, contender in contenders.items():
        found = contender()
        far, near, none = (found.verdicts == DIFFERENT).mean(axis=0)
        equal = (found.verdicts[:, 2] == EQUAL).mean()
        yield (
            f"| {name} | {100 * far:.1f} % | {100 * near:.1f} % | {100 * equal:.1f} % "
            f"| {100 * none:.2f} % | {2 * found.pairs.sum(axis=1).mean():.1f} |"
        )


def main() -> None:
    """Simulate, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=10_000)
    parser.add_argument("--adastop", type=int, default=60, help="sweeps of AdaStop's; 0: none")
    arguments = parser.parse_args()
    start = time.perf_counter()
    for rows in (
        error_rows(arguments.sweeps),
        equal_rows(min(arguments.sweeps, 4_000)),
        interval_rows(arguments.sweeps),
        power_rows(arguments.sweeps),
        head_to_head_rows(arguments.sweeps, arguments.adastop),
    ):
        for row in rows:
            print(row, flush=True)
        print()
    print(f"{arguments.sweeps:,} sweeps a row, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
