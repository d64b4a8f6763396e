"""Simulated sweeps for ``benchmarks.sequential``: distributions of the two accuracies of a seed.

A sweep compares two norms in each of several settings. Unless a distribution says otherwise,
accuracies spread by 0.7 points over seeds, so that paired differences spread by 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from orchestration.results.deciding.sequential import Bools
from orchestration.results.deciding.unseen import Seen, seen_in
from orchestration.results.statistics import Floats

SPREAD, CHANCE = 0.007, 0.1
AT_LEAST = 5
"""Seeds that each network certainly gets."""

Shape = tuple[int, int, int]
Generator = np.random.Generator


class Sweeps(NamedTuple):
    """Accuracies and whether a trial failed, of each norm: (sweeps, settings, seeds)."""

    first: Floats
    second: Floats
    first_failed: Bools
    second_failed: Bools

    def compared(self, n: int) -> tuple[Floats, Bools, Bools]:
        """Differences and failures of the first n seeds."""
        differences = self.first - self.second
        return differences[..., :n], self.first_failed[..., :n], self.second_failed[..., :n]

    def head(self, n: int) -> Sweeps:
        """The first n sweeps."""
        return Sweeps(
            self.first[:n], self.second[:n], self.first_failed[:n], self.second_failed[:n]
        )

    def seen(self) -> Seen:
        """What the certain seeds of all cells of each sweep show."""
        values, failed = (
            np.concatenate(both, axis=1)[..., :AT_LEAST] for both in (self[:2], self[2:])
        )
        return Seen(*(part[:, None] for part in seen_in(values, failed)))


Draw = Callable[[Generator, Shape], Sweeps]
Values = Callable[[Generator, Shape], Floats]


def learned(first: Floats, second: Floats) -> Sweeps:
    """Sweeps in which no trial fails."""
    nowhere = np.zeros(first.shape, dtype=bool)
    return Sweeps(first, second, nowhere, nowhere)


def differing(differences: Values) -> Draw:
    """Two norms whose accuracies differ by these."""

    def draw(generator: Generator, shape: Shape) -> Sweeps:
        second = 0.9 + SPREAD * generator.standard_normal(shape)
        return learned(second + differences(generator, shape), second)

    return draw


def independent(first: Values, second: Values) -> Draw:
    """Two norms whose accuracies deviate from 90 % by these, independently."""

    def draw(generator: Generator, shape: Shape) -> Sweeps:
        return learned(0.9 + first(generator, shape), 0.9 + second(generator, shape))

    return draw


def failing(failures: Callable[[Generator, Shape], tuple[Bools, Bools]]) -> Draw:
    """Two norms that are equal where they learn; failed trials stay at chance."""

    def draw(generator: Generator, shape: Shape) -> Sweeps:
        failed = failures(generator, shape)
        first, second = (
            np.where(
                one,
                CHANCE + 0.002 * generator.standard_normal(shape),
                0.9 + SPREAD * generator.standard_normal(shape),
            )
            for one in failed
        )
        return Sweeps(first, second, *failed)

    return draw


def with_effects(effects: Floats) -> Draw:
    """Normal accuracies; the first norm is better by these in each setting, and fails at -50."""

    def draw(generator: Generator, shape: Shape) -> Sweeps:
        never_learns = np.broadcast_to((effects < -0.5)[:, None], shape)
        fails = failing(lambda *_: (never_learns, np.zeros(shape, dtype=bool)))
        sweeps = fails(generator, shape)
        shift = np.where(never_learns, 0.0, effects[:, None])
        return sweeps._replace(first=sweeps.first + shift)

    return draw


def drawn(draw: Draw, sweeps: int, settings: int, at_most: int, seed: int) -> Sweeps:
    """Sweeps of one distribution."""
    return draw(np.random.default_rng(seed), (sweeps, settings, at_most))


def _normal(generator: Generator, shape: Shape) -> Floats:
    values: Floats = SPREAD * generator.standard_normal(shape)
    return values


def _exponential(generator: Generator, shape: Shape) -> Floats:
    return SPREAD * (1 - generator.exponential(size=shape))


def _signed(generator: Generator, magnitudes: Floats) -> Floats:
    """Each magnitude with a fair coin's sign."""
    values: Floats = magnitudes * generator.choice([-1.0, 1.0], size=magnitudes.shape)
    return values


def _after_losses(generator: Generator, shape: Shape) -> Floats:
    """Differences that grow by half after each loss, and shrink as much after each gain."""
    signs = generator.choice([-1.0, 1.0], size=shape)
    so_far = np.clip(signs.cumsum(axis=-1) - signs, -40, 40)
    values: Floats = signs * np.abs(generator.standard_normal(shape)) * 0.01 * 1.5**-so_far
    return values


def _rare(generator: Generator, shape: Shape, share: float, loss: float) -> Floats:
    return np.where(generator.random(shape) < share, loss, 0.0)


def _alike(share: float, *, shared: bool = False) -> Draw:
    """Both norms fail in this share of seeds: each in its own, or both in the same."""

    def failures(generator: Generator, shape: Shape) -> tuple[Bools, Bools]:
        first = generator.random(shape) < share
        return first, first if shared else generator.random(shape) < share

    return failing(failures)


def _opposed(share: float) -> Draw:
    """In this share of seeds exactly one norm fails, either as often as the other."""

    def failures(generator: Generator, shape: Shape) -> tuple[Bools, Bools]:
        either, which = generator.random(shape) < share, generator.random(shape) < 0.5
        return either & which, either & ~which

    return failing(failures)


EXCHANGEABLE: Mapping[str, Draw] = {
    "normal": independent(_normal, _normal),
    "heavy tails (t, 3)": independent(
        *(2 * [lambda g, shape: SPREAD * g.standard_t(3, shape) / np.sqrt(3)])
    ),
    "Cauchy's tails": independent(*(2 * [lambda g, shape: 0.001 * g.standard_t(1, shape)])),
    "both skewed alike (exponential)": independent(_exponential, _exponential),
    "one image either way": differing(lambda g, shape: _signed(g, np.full(shape, 1e-4))),
    "-1, 0, +1 images at 0.4, 0.2, 0.4": differing(
        lambda g, shape: 1e-4 * g.choice([-1.0, 0.0, 1.0], p=[0.4, 0.2, 0.4], size=shape)
    ),
    "four ties in five, else one image": differing(
        lambda g, shape: _signed(g, _rare(g, shape, 0.2, 1e-4))
    ),
    "one pair in ten differs by 10 points": differing(
        lambda g, shape: _signed(g, _rare(g, shape, 0.1, 0.1) + 1e-4)
    ),
    "spread doubles every five seeds": differing(
        lambda g, shape: 1e-4 * g.standard_normal(shape) * 2 ** (np.arange(shape[-1]) / 5)
    ),
    "spread grows after each loss": differing(_after_losses),
    "both collapse in 10 %": _alike(0.1),
    "both collapse in 40 %": _alike(0.4),
    "both collapse in the same 40 %": _alike(0.4, shared=True),
    "exactly one collapses": _opposed(1.0),
    "exactly one collapses, in a third of the pairs": _opposed(1 / 3),
}
"""Null hypotheses within the stated one: what is compared makes no difference."""

EQUAL_MEANS: Mapping[str, Draw] = {
    "normal, one spreads five times as much": independent(
        lambda g, shape: 5 * _normal(g, shape), _normal
    ),
    "one skewed, one normal": independent(_exponential, _normal),
    "differences exponential - 1": differing(
        lambda g, shape: 0.01 * (g.exponential(size=shape) - 1)
    ),
    "a fifth of one side's seeds lose up to 5 points": independent(
        lambda g, shape: (
            _normal(g, shape) + 0.005 - 0.05 * _rare(g, shape, 0.2, 1) * g.random(shape)
        ),
        _normal,
    ),
    "one seed in ten of one side loses 10 points": independent(
        lambda g, shape: _normal(g, shape) + 0.01 - _rare(g, shape, 0.1, 0.1), _normal
    ),
}
"""Equal means, but not exchangeable: nothing is promised."""

AT_THE_MARGIN: Mapping[str, Values] = {
    "normal": lambda g, shape: 0.01 + 0.01 * g.standard_normal(shape),
    "normal, spread 0.2": lambda g, shape: 0.01 + 0.002 * g.standard_normal(shape),
    "one seed in ten loses 10 points": lambda g, shape: (
        0.001 * g.standard_normal(shape) - _rare(g, shape, 0.1, 0.1)
    ),
    "one seed in ten loses 10 points, spread 1": lambda g, shape: (
        0.01 * g.standard_normal(shape) - _rare(g, shape, 0.1, 0.1)
    ),
    "four pairs in five tie, else 5 points": lambda g, shape: -_rare(g, shape, 0.2, 0.05),
    "skewed (exponential)": lambda g, shape: -0.01 * g.exponential(size=shape),
    "very skewed (exponential squared)": lambda g, shape: -0.005 * g.exponential(size=shape) ** 2,
    "one seed in twenty loses 20 points": lambda g, shape: (
        0.001 * g.standard_normal(shape) - _rare(g, shape, 0.05, 0.2)
    ),
}
"""Differences with a mean of exactly 1 point, the margin."""

WITHIN_THE_MARGIN: Mapping[str, Values] = {
    "no difference, spread 1": lambda g, shape: 0.01 * g.standard_normal(shape),
    "no difference, spread 0.5": lambda g, shape: 0.005 * g.standard_normal(shape),
    "no difference, spread 0.2": lambda g, shape: 0.002 * g.standard_normal(shape),
}
