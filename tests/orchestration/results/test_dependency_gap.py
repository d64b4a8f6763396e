"""The dependency gap of sweeps with further axes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from six_cells import SPEC, Sweep

from orchestration.sweep.spec import SweepSpec


def test_further_axes_make_further_rows_of_the_gap(sqlite_database: Callable[[], str]) -> None:
    spec = {
        **SPEC,
        "seeds": [1],
        "grid": [
            {"architecture": "ann", "norm": ["none", "batchnorm"], "width": [8, 16]},
            {
                "architecture": "snn",
                "norm": ["none", "bntt"],
                "width": [8, 16],
                "slope": [1.0, 25.0],
            },
        ],
    }
    sweep = Sweep(sqlite_database(), "SQL", spec)
    for cell in SweepSpec.from_dict(spec).cells():
        base = 0.5 if cell.norm == "none" else 0.5 + (0.01 if cell.architecture == "ann" else 0.04)
        sweep.add({**cell.given(), "seed": 1}, base + (0 if cell.width == 8 else 0.1))
    gap = sweep.results().dependency_gap()
    assert list(gap)[:3] == ["architecture", "width", "slope"]
    assert sorted(zip(gap["architecture"], gap["width"], gap["slope"].fillna(0), strict=True)) == [
        ("ann", 8, 0),
        ("ann", 16, 0),
        ("snn", 8, 1),
        ("snn", 8, 25),
        ("snn", 16, 1),
        ("snn", 16, 25),
    ]
    assert gap["ratio"].tolist() == pytest.approx([1, 1, 4, 4, 4, 4])


def test_the_gap_of_compiled_spiking_layers_is_related_to_the_artificial_network_s(
    sqlite_database: Callable[[], str],
) -> None:
    spec = {
        **SPEC,
        "seeds": [1],
        "grid": [
            {"architecture": "ann", "norm": ["none", "batchnorm"]},
            {"architecture": "snn", "norm": ["none", "bntt"], "compile": [True, False]},
        ],
    }
    sweep = Sweep(sqlite_database(), "SQL", spec)
    accuracies = iter([0.5, 0.6, 0.1, 0.1, 0.4, 0.5])
    for cell in SweepSpec.from_dict(spec).cells():
        sweep.add({**cell.given(), "seed": 1}, next(accuracies))
    gap = sweep.results().dependency_gap()
    assert gap["compile"].tolist() == ["auto", "true", "false"]
    assert gap["ratio"].tolist() == pytest.approx([1, 3, 4])


def test_a_best_of_more_seeds_and_a_ratio_to_an_incomplete_cell_are_said(
    sqlite_database: Callable[[], str],
) -> None:
    sweep = Sweep(sqlite_database(), "SQL")
    for (architecture, norm), seeds in {
        ("ann", "none"): (42,),
        ("ann", "batchnorm"): (9, 42, 123),
        ("snn", "none"): (9, 42, 123),
        ("snn", "bntt"): (9, 42, 123),
    }.items():
        for seed in seeds:
            value = 0.5 if norm == "none" else 0.75
            sweep.add(sweep.config(architecture, norm, seed), value)
    gap = sweep.results().dependency_gap().set_index("architecture")
    unequal = "none: incomplete 1/3; best of unequal numbers of seeds: none 1, batchnorm 3"
    assert gap.loc["ann", "note"].replace("; homeostatic: no results", "") == unequal
    assert gap.loc["snn", "note"].endswith(f"ratio to ann, {unequal}")
