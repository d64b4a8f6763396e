"""A sweep's spec with further seeds. Pure."""

from __future__ import annotations

import json

from orchestration.errors import InputError
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from snn_norm.config import LARGEST_SEED
from snn_norm.wording import described

MOST_MORE_SEEDS = 100
"""The most that can be added at a time: a number with a digit too many costs weeks."""


def listed_seeds(spec: SweepSpec) -> tuple[int, ...]:
    """The seeds of a spec that lists them, so that more can be added.

    Raises:
        InputError: they are allocated until its comparisons are decided.
    """
    if isinstance(spec.seeds, UntilDecided):
        raise InputError(
            f"the seeds of {spec.name!r} are allocated until its comparisons are decided: raise "
            "at_most or gpu_hours in its spec, and run it again"
        )
    return spec.seeds


def seed_count(text: str) -> int:
    """How many further seeds a text asks for.

    Raises:
        InputError: the text is not a number that can be added.
    """
    # Python refuses to convert thousands of digits.
    count = int(text) if text.isdecimal() and len(text) < 10 else 0
    _check_count(count, text)
    return count


def with_more_seeds(spec: SweepSpec, count: int) -> SweepSpec:
    """The spec with so many more seeds: the numbers after its largest.

    Raises:
        InputError: its seeds are not listed, or so many cannot be added.
        SpecError: the new spec has more trials than a spec may have.
    """
    seeds = listed_seeds(spec)
    _check_count(count, count)
    last = max(seeds)
    if last + count > LARGEST_SEED:
        raise InputError(
            f"there are not {count} seeds after {last}, the largest of {spec.name!r}: give some "
            "of your own in its spec"
        )
    more = [*seeds, *range(last + 1, last + 1 + count)]
    data = json.loads(spec.to_json())
    (data if spec.search is None else data["confirm"])["seeds"] = more
    return SweepSpec.from_json(json.dumps(data))


def _check_count(count: int, given: object) -> None:
    if not 1 <= count <= MOST_MORE_SEEDS:
        raise InputError(
            f"further seeds must be a whole number from 1 to {MOST_MORE_SEEDS}, got "
            f"{described(given)}"
        )
