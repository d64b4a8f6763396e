"""A spec grows by seeds, and by nothing else."""

from __future__ import annotations

import json

import pytest
from specs import spec

from orchestration.errors import InputError
from orchestration.sweep.more_seeds import with_more_seeds
from orchestration.sweep.spec import SweepSpec


def test_the_numbers_after_the_largest() -> None:
    given = SweepSpec.from_dict(spec(seeds=[42, 7, 123]))
    grown = with_more_seeds(given, 2)
    assert grown.seed_order() == (42, 7, 123, 124, 125)
    rest = [{**json.loads(one.to_json()), "seeds": []} for one in (given, grown)]
    assert rest[0] == rest[1]
    keys = {trial.key for trial in given.trials()}
    assert keys < {trial.key for trial in grown.trials()}


@pytest.mark.parametrize("count", [0, -1, 101, 10**9])
def test_a_number_that_cannot_be_meant(count: int) -> None:
    with pytest.raises(InputError, match="from 1 to 100, got"):
        with_more_seeds(SweepSpec.from_dict(spec()), count)


def test_seeds_that_are_allocated_are_not_listed() -> None:
    given = spec(
        seeds={"until": "decided"},
        grid=[{"architecture": "ann", "norm": ["none", "batchnorm"]}],
        compare=[{"norm": ["none", "batchnorm"]}],
    )
    with pytest.raises(InputError, match="raise at_most"):
        with_more_seeds(SweepSpec.from_dict(given), 1)


def test_there_is_an_end_to_numbers() -> None:
    given = SweepSpec.from_dict(spec(seeds=[2**32 - 2]))
    assert with_more_seeds(given, 1).seed_order() == (2**32 - 2, 2**32 - 1)
    with pytest.raises(InputError, match="there are not 2 seeds after"):
        with_more_seeds(given, 2)
