"""Seeds until decided, as a spec says it: the seeds, the family, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from specs import spec

from orchestration.errors import SpecError
from orchestration.sweep.continued import continued
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

GRID = [
    {"architecture": "ann", "norm": ["none", "batchnorm"], "width": [8, 16]},
    {"architecture": "snn", "norm": ["none", "bntt", "homeostatic"], "width": 8, "num_steps": 5},
]
COMPARE = [{"norm": ["bntt", "homeostatic"]}, {"norm": ["none"], "against": "all"}]


def decided(
    compare: Any = COMPARE, grid: Any = GRID, name: str = "small", **seeds: Any
) -> dict[str, Any]:
    return spec(name=name, seeds={"until": "decided", **seeds}, compare=compare, grid=grid)


def family(compare: Any) -> list[str]:
    """Each comparison in words."""
    sweep = SweepSpec.from_dict(decided(compare))
    cells, axes = sweep.cells(), sweep.axes()
    rows = [" ".join(str(cell.given()[axis]) for axis in axes) for cell in cells]
    return [f"{one.axis}: {rows[one.first]} - {rows[one.second]}" for one in sweep.comparisons()]


def test_pairs_are_made_in_each_setting_and_each_once() -> None:
    assert family(COMPARE) == [
        "norm: snn bntt 8 - snn homeostatic 8",
        "norm: ann none 8 - ann batchnorm 8",
        "norm: ann none 16 - ann batchnorm 16",
        "norm: snn none 8 - snn bntt 8",
        "norm: snn none 8 - snn homeostatic 8",
    ]
    turned_round = [*COMPARE, {"norm": ["homeostatic", "bntt"]}]
    assert family(turned_round) == family(COMPARE)


def test_other_axes_and_named_opponents() -> None:
    assert family([{"architecture": ["ann", "snn"]}]) == ["architecture: ann none 8 - snn none 8"]
    assert family([{"width": 16, "against": 8}]) == [
        "width: ann none 16 - ann none 8",
        "width: ann batchnorm 16 - ann batchnorm 8",
    ]
    assert family([{"norm": "bntt", "against": ["none", "homeostatic"]}]) == [
        "norm: snn bntt 8 - snn none 8",
        "norm: snn bntt 8 - snn homeostatic 8",
    ]


def test_seeds_are_the_name_s_and_more_of_them_begin_alike() -> None:
    order = SweepSpec.from_dict(decided(at_most=40)).seed_order()
    # As published: another machine, Python or version has to take the same.
    assert order[:5] == (112306, 851535, 565049, 369762, 864409)
    assert len(set(order)) == 40
    assert SweepSpec.from_dict(decided(at_most=200, grid=GRID[1:])).seed_order()[:40] == order
    assert not set(SweepSpec.from_dict(decided(name="other")).seed_order()[:5]) & set(order[:5])


def test_certain_trials_and_those_up_to_a_number_a_cell() -> None:
    sweep = SweepSpec.from_dict(decided(at_least=3))
    assert len(sweep.trials()) == 3 * len(sweep.cells()) == 21
    counts = [3, 0, 5, 3, 3, 3, 40]
    trials = sweep.trials(counts)
    assert len(trials) == sum(counts)
    seeds = [trial.config.seed for trial in trials if trial.config.norm == "homeostatic"]
    assert tuple(seeds) == sweep.seed_order()
    # A trial is the same trial, however its seed came about.
    listed = SweepSpec.from_dict(spec(seeds=list(sweep.seed_order()[:3]), grid=GRID))
    assert [trial.key for trial in sweep.trials()] == [trial.key for trial in listed.trials()]


def test_json_and_back() -> None:
    sweep = SweepSpec.from_dict(decided(practically_equal=0.005, gpu_hours=200, method="spending"))
    assert SweepSpec.from_json(sweep.to_json()) == sweep
    unsaid = SweepSpec.from_dict(decided())
    assert "assume" not in unsaid.to_json(), "recorded specs of earlier versions stay equal"
    said = SweepSpec.from_dict(decided(assume="exchangeable"))
    assert SweepSpec.from_json(said.to_json()) == said == continued(unsaid, None)
    budget = SweepSpec.from_dict(spec(gpu_hours=1.5))
    assert SweepSpec.from_json(budget.to_json()) == budget


def test_a_search_records_what_its_confirmation_assumes() -> None:
    data = spec(
        seeds="absent",
        training={"validation_fraction": 0.2},
        grid=[{"architecture": "ann", "norm": ["none", "batchnorm"]}],
        search={"space": {"learning_rate": {"log": [1e-3, 1e-1]}}, "trials": 4},
        confirm={"seeds": {"until": "decided"}},
        compare=[{"norm": ["none"], "against": "all"}],
    )
    unsaid = SweepSpec.from_dict(data)
    recorded = SweepSpec.from_json(continued(unsaid, None).to_json())
    assert isinstance(recorded.seeds, UntilDecided)
    assert recorded.seeds.assumes == "exchangeable"
    assert continued(unsaid, recorded) == recorded
    # One that an earlier version recorded goes on with what it began with.
    earlier = SweepSpec.from_json(unsaid.to_json())
    assert continued(unsaid, earlier) == earlier


def test_the_json_of_a_list_of_seeds_stays_as_it_was() -> None:
    keys = {
        "name",
        "dataset",
        "epochs",
        "seeds",
        "training",
        "grid",
        "resources",
        "retries",
        "reuse",
    }
    assert json.loads(SweepSpec.from_dict(spec()).to_json()).keys() == keys


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (decided(alpha=0), "seeds.alpha: must be greater than 0, got 0"),
        (decided(alpha=0.51), "seeds.alpha: must be at most 0.5, got 0.51"),
        (decided(alpha="5 %"), "seeds.alpha: must be a number, got '5 %'"),
        (decided(at_least=1), "seeds.at_least: must be at least 2, got 1"),
        (decided(at_most=201), "seeds.at_most: must be at most 200, got 201"),
        (
            decided(at_least=6, at_most=5),
            "seeds: at_most must be at least at_least, which is 6, got 5",
        ),
        (decided(gpu_hours=0), "seeds.gpu_hours: must be greater than 0, got 0"),
        (spec(gpu_hours=0), "gpu_hours: must be greater than 0, got 0"),
        (decided(practically_equal=0), "seeds.practically_equal: must be greater than 0, got 0"),
        (decided(practically_equal=1), "seeds.practically_equal: must be less than 1, got 1"),
        (
            decided(until="decide"),
            "seeds.until: must be one of decided, got 'decide'; did you mean 'decided'?",
        ),
        (decided(method="bayes"), "seeds.method: must be one of sequential, spending, got 'bayes'"),
        (decided(assume="bayes"), "seeds.assume: must be one of exchangeable, normal, got 'bayes'"),
        (
            decided(assume="exchangable"),
            "seeds.assume: must be one of exchangeable, normal, got 'exchangable'; did you mean "
            "'exchangeable'?",
        ),
        (
            decided(method="spending", assume="exchangeable"),
            "seeds: method: spending assumes normal differences, got assume: exchangeable: remove "
            "one of them",
        ),
        (
            decided(atleast=5),
            "seeds.atleast: is not a key here; valid are until, alpha, practically_equal, "
            "at_least, at_most, gpu_hours, method, assume; did you mean 'at_least'?",
        ),
        (
            decided() | {"seeds": "decided"},
            "seeds: must be a list of whole numbers, or {until: decided, …}, got 'decided'",
        ),
        (spec(seeds={}), "seeds.until: is missing: decided"),
        (
            decided(compare=[]),
            "seeds: until: decided needs a key compare, which says what is to be decided, such as "
            "compare: [{norm: [bntt, homeostatic]}]",
        ),
        (
            spec(compare=COMPARE),
            "compare: needs seeds: {until: decided}, got a list of seeds: remove one",
        ),
        (
            decided() | {"gpu_hours": 3},
            "gpu_hours: belongs in seeds, where they are until: decided",
        ),
        (
            decided([{"norm": ["bntt", "homostatic"]}]),
            "compare[0].norm[1]: must be a value of norm in the grid (none, batchnorm, bntt, "
            "homeostatic), got 'homostatic'; did you mean 'homeostatic'?",
        ),
        (
            decided([{"norm": "none", "against": ["al"]}]),
            "compare[0].against[0]: must be a value of norm in the grid (none, batchnorm, bntt, "
            "homeostatic, all), got 'al'; did you mean 'all'?",
        ),
        (
            decided([COMPARE[0], {"norm": ["batchnorm", "bntt"]}]),
            "compare[1]: names no pair of cells: no two of the grid have such values of norm and "
            "are alike in architecture, width",
        ),
        (
            decided([{"norm": ["bntt"]}]),
            "compare[0]: names no pair of cells: no two of the grid have such values of norm and "
            "are alike in architecture, width",
        ),
        (
            decided([{"norm": ["bntt", "bntt"]}]),
            "compare[0]: names no pair of cells: no two of the grid have such values of norm and "
            "are alike in architecture, width",
        ),
        (
            decided([{"epochs": [1, 2]}]),
            "compare[0]: must name one axis of the grid (architecture, norm, width) and the "
            "values to compare, got epochs",
        ),
        (
            decided([{"against": "all"}]),
            "compare[0]: must name one axis of the grid (architecture, norm, width) and the "
            "values to compare, got none",
        ),
        (
            decided([{"nrom": ["bntt"]}]),
            "compare[0].nrom: is not a key here; valid are architecture, norm, …",
        ),
        (
            decided(at_most=200, grid=[{**GRID[0], "epochs": list(range(1, 101))}]),
            "grid: may make at most 10,000 trials, got 80,000 (400 combinations of 200 seeds): "
            "split it into several sweeps",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key_and_what_is_valid(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        SweepSpec.from_dict(data)
    got = str(caught.value)
    if message.endswith("…"):
        got, message = got[: len(message) - 1], message[:-1]
    assert got == message
