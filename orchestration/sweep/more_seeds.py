"""A sweep's spec with further seeds. Pure."""

from __future__ import annotations

import json

from orchestration.errors import InputError
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from snn_norm.config import LARGEST_SEED
from snn_norm.wording import described

MOST_MORE_SEEDS = 100
"""At a time: a number with a digit too many costs weeks."""


def listed_seeds(spec: SweepSpec) -> tuple[int, ...]:
    """The seeds of a spec that lists them, which others can be added to.

    Raises:
        InputError: they are bought until its comparisons are decided.
    """
    if isinstance(spec.seeds, UntilDecided):
        raise InputError(
            f"the seeds of {spec.name!r} are bought until its comparisons are decided: raise "
            "at_most or gpu_hours in its spec, and run it again"
        )
    return spec.seeds


def seed_count(text: str) -> int:
    """How many further seeds a text asks for.

    Raises:
        InputError: it is no number that can be added.
    """
    # Of thousands of digits Python makes no number.
    count = int(text) if text.isdecimal() and len(text) < 10 else 0
    _check_count(count, text)
    return count


def with_more_seeds(spec: SweepSpec, count: int) -> SweepSpec:
    """The spec, grown by so many seeds: the numbers after its largest.

    Raises:
        InputError: its seeds are not listed, or the number is none that can be added.
        SpecError: the grown spec has more trials than a spec may have.
    """
    seeds = listed_seeds(spec)
    _check_count(count, count)
    last = max(seeds)
    if last + count > LARGEST_SEED:
        raise InputError(
            f"there are not {count} seeds after {last}, the largest of {spec.name!r}: give some "
            "of your own in its spec"
        )
    grown = [*seeds, *range(last + 1, last + 1 + count)]
    return SweepSpec.from_json(json.dumps({**json.loads(spec.to_json()), "seeds": grown}))


def _check_count(count: int, given: object) -> None:
    if not 1 <= count <= MOST_MORE_SEEDS:
        raise InputError(
            f"further seeds must be a whole number from 1 to {MOST_MORE_SEEDS}, got "
            f"{described(given)}"
        )
