"""Every trial is in its place of the grid, in words and as colour; what changes is sent alone."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from orchestration.page.drawing.grid import grid_page, interval_of
from orchestration.page.drawing.pieces import Page, changes
from orchestration.page.drawing.state import Cell, Grid, Place, grid_of


def cell(number: int, values: dict[str, str], places: dict[int, Place], **more: object) -> Cell:
    given: dict[str, object] = {
        "mean": None, "low": None, "high": None, "best": None, "lack": "", "epochs": 8, **more
    }  # fmt: skip
    return Cell(number, values, places, **given)  # type: ignore[arg-type]


def done(accuracy: float, state: str = "completed") -> Place:
    return Place(state, "r", accuracy)


def page_of(cells: list[Cell], axes: list[str] | None = None) -> Page:
    seeds = sorted({seed for one in cells for seed in one.places})
    grid = Grid(axes or ["architecture", "norm"], seeds, cells)
    return grid_page(grid, lambda run: f"/#/runs/{run}?a=1&b=2")


def test_each_state_says_what_it_is() -> None:
    places = {
        1: done(0.9534),
        2: done(0.1, "collapsed"),
        3: Place("diverged", "r", None),
        4: Place("running", "r", 0.5, epoch=3),
        5: Place("failed", "r"),
        6: Place("waiting"),
    }
    html = page_of([cell(0, {"norm": "bntt"}, places)]).cells
    texts = [re.sub("<[^>]+>", "", html[f"t0-{i}"]) for i in range(6)]
    assert texts == ["95.34", "10.00 collapsed", "diverged", "50.00 epoch 3/8", "failed", "waiting"]
    assert 'href="/#/runs/r?a=1&amp;b=2"' in html["t0-0"]
    assert "<a" not in html["t0-5"]


def test_the_scale_ends_at_round_numbers_and_colours_what_has_learned_alone() -> None:
    page = page_of(
        [cell(0, {"norm": "n"}, {1: done(0.941), 2: done(0.995), 3: done(0.1, "collapsed")})]
    )
    kinds = [re.search('class="(.*?)"', page.cells[f"t0-{i}"]) for i in range(3)]
    assert [kind and kind[1] for kind in kinds] == ["g0", "g9", "collapsed"]
    grid = Grid([], [1], [cell(0, {}, {1: done(0.5)})])
    assert (grid.low, grid.high) == pytest.approx((0.48, 0.52))


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x>', "\u202e", "x" * 10_000]
)
def test_texts_of_a_spec_are_escaped(text: str) -> None:
    html = page_of([cell(0, {"architecture": text, "norm": text}, {1: done(1.0)}, verdict=text)])
    whole = html.sections["grid"]
    assert "<script" not in whole
    assert "<img" not in whole
    assert "\u202e" not in whole
    assert len(whole) < 12_000


def test_many_cells_fold_by_their_further_axes() -> None:
    cells = [
        cell(
            3 * i + j,
            {"architecture": "ann", "norm": norm, "width": str(i % 5), "beta": str(i // 5)},
            {1: done(0.9)},
            best=0.9,
        )
        for i in range(500)
        for j, norm in enumerate(("none", "bntt", "homeostatic"))
    ]
    page = page_of(cells, ["architecture", "norm", "width", "beta"])
    html = page.sections["grid"]
    assert html.count("<details") == 5 + 5 * 100
    assert "<strong>width 0</strong> <span>300 of 300 trials, best 90.00 %</span>" in html
    ids = re.findall('id="(.*?)"', html)
    assert len(ids) == len(set(ids))
    few = page_of(cells[:6], ["architecture", "norm", "width", "beta"]).sections["grid"]
    assert "<details" not in few
    assert '<th scope="col">width</th>' in few
    assert '<th scope="col">beta</th>' not in few  # one value tells nothing apart


def test_a_mean_with_half_of_its_interval() -> None:
    assert interval_of(0.9731, 0.9689, 0.9773) == "97.31 ± 0.42"
    assert interval_of(0.5, None, None) == "50.00"
    assert interval_of(None, None, None) == "–"


def test_of_an_unchanged_grid_the_changed_places_alone_are_sent() -> None:
    old = page_of([cell(0, {"norm": "n"}, {1: done(0.9), 2: Place("waiting")})])
    new = page_of([cell(0, {"norm": "n"}, {1: done(0.9), 2: Place("running", "r", 0.3, 1)})])
    told = changes(old, new)
    assert told["inside"] == {}
    assert list(told["whole"]) == ["t0-1"]
    grown = page_of([cell(0, {"norm": "n"}, {1: done(0.9), 2: done(0.8), 3: done(0.7)})])
    assert list(changes(old, grown)["inside"]) == ["grid"]


def test_of_several_runs_of_a_trial_the_one_that_counts_is_shown() -> None:
    best = pd.DataFrame(
        {
            "norm": ["none"], "best": [0.9], "best_seed": [1], "mean": [0.9], "ci_low": [None],
            "ci_high": [None], "n_seeds": [1], "n_expected": [2], "n_collapsed": [0],
            "n_diverged": [0],
        }
    )  # fmt: skip
    finished = pd.DataFrame(
        {"cell": [0], "seed": [1], "outcome": ["completed"], "run_id": ["a"],
         "best_test_accuracy": [0.9]}
    )  # fmt: skip
    rows = [
        (0, 1, "RUNNING", 9, "late", 0.1, 1),  # of a trial that has finished
        (0, 2, "RUNNING", 1, "runs", 0.2, 2),
        (0, 2, "FAILED", 5, "failed after", None, 0),
        (0, 3, "KILLED", 1, "older", None, 0),
        (0, 3, "FAILED", 2, "newer", None, 0),
    ]
    names = ["cell", "seed", "status", "started", "run_id", "best", "epoch"]
    others = pd.DataFrame(rows, columns=names)
    grid = grid_of(
        best, ["norm"], pd.Series([8]), [1, 2], finished, others, {}, is_running=False
    )  # fmt: skip
    places = grid.cells[0].places
    assert {seed: place.run_id for seed, place in places.items()} == {1: "a", 2: "runs", 3: "newer"}
    assert grid.cells[0].lack == "incomplete 1/2"
