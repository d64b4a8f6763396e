"""The grid shows every trial in words and as a colour; only what changes is sent."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from recorded import RecordedTrial, Recorder
from specs import spec

from orchestration.model.status import TrialStatus
from orchestration.model.trial import Trial
from orchestration.page.drawing.grid import grid_page, interval_of
from orchestration.page.drawing.pieces import Page, changes
from orchestration.page.drawing.state import Cell, Grid
from orchestration.page.read import Reader
from orchestration.reading.sql import SqlSource
from orchestration.sweep.spec import SweepSpec


def cell(
    number: int, values: dict[str, str], trials: dict[int, TrialStatus], **more: object
) -> Cell:
    given: dict[str, object] = {
        "mean": None, "low": None, "high": None, "best": None, "lack": "", "epochs": 8, **more
    }  # fmt: skip
    return Cell(number, values, trials, **given)  # type: ignore[arg-type]


def done(accuracy: float, state: str = "completed") -> TrialStatus:
    return TrialStatus(state, best=accuracy, run_id="r")


def page_of(cells: list[Cell], axes: list[str] | None = None) -> Page:
    seeds = sorted({seed for one in cells for seed in one.trials})
    grid = Grid(axes or ["architecture", "norm"], seeds, cells)
    return grid_page(grid, lambda run: f"/#/runs/{run}?a=1&b=2")


def test_each_state_says_what_it_is() -> None:
    trials = {
        1: done(0.9534),
        2: done(0.1, "collapsed"),
        3: TrialStatus("diverged", run_id="r"),
        4: TrialStatus("running", 3, 0.5, run_id="r"),
        5: TrialStatus("failed", run_id="r"),
        6: TrialStatus("waiting"),
    }
    html = page_of([cell(0, {"norm": "bntt"}, trials)]).cells
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
    assert ">width</th>" in few
    assert ">beta</th>" not in few  # one value tells nothing apart


def test_a_mean_with_half_of_its_interval() -> None:
    assert interval_of(0.9731, 0.9689, 0.9773) == "97.31 ± 0.42"
    assert interval_of(0.5, None, None) == "50.00"
    assert interval_of(None, None, None) == "–"


def test_of_an_unchanged_grid_the_changed_places_alone_are_sent() -> None:
    old = page_of([cell(0, {"norm": "n"}, {1: done(0.9), 2: TrialStatus("waiting")})])
    new = page_of(
        [cell(0, {"norm": "n"}, {1: done(0.9), 2: TrialStatus("running", 1, 0.3, run_id="r")})]
    )
    told = changes(old, new)
    assert told["inside"] == {}
    assert list(told["whole"]) == ["t0-1"]
    grown = page_of([cell(0, {"norm": "n"}, {1: done(0.9), 2: done(0.8), 3: done(0.7)})])
    assert list(changes(old, grown)["inside"]) == ["grid"]


def test_of_several_runs_of_a_trial_the_one_that_counts_is_shown(
    sqlite_database: Callable[[], str],
) -> None:
    uri = sqlite_database()
    sweep = SweepSpec.from_dict(spec(name="several runs", epochs=8, seeds=[1, 2, 3]))
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(sweep.name, sweep.to_json())
    first, second, third = sweep.trials()

    def run(trial: Trial, accuracies: list[float], status: str | None) -> str:
        outcome = "completed" if status == "FINISHED" else None
        config, metrics = trial.config.given(), {"epoch_seconds": [1.0] * len(accuracies)}
        recorded = RecordedTrial(config, accuracies, outcome, trial.key, status, metrics)
        return recorder.trial(experiment, parent, recorded)

    finished = run(first, [0.9], "FINISHED")
    run(first, [0.1], None)
    running = run(second, [0.2, 0.1], None)
    run(second, [], "FAILED")
    run(third, [], "KILLED")
    newest = run(third, [], "FAILED")
    (cell,) = Reader(SqlSource(uri)).sweep(sweep.name).grid.cells
    assert cell.trials == {
        1: TrialStatus("completed", best=0.9, run_id=finished),
        2: TrialStatus("running", epoch=2, best=0.2, run_id=running),
        3: TrialStatus("failed", run_id=newest),
    }
    assert cell.lack == "incomplete 1/3"


def test_many_seeds_are_a_folded_list_and_not_columns() -> None:
    trials = {seed: done(0.9) for seed in range(1, 3001)} | {7: TrialStatus("failed", run_id="r")}
    page = page_of([cell(0, {"norm": "bntt"}, trials)])
    html = page.sections["grid"]
    heads = re.findall("<th [^>]*>(.*?)</th>", html.partition("</thead>")[0])
    assert heads == ["norm", "mean ± 95 %", "done", "seeds"]
    assert page.cells["w0"] == '<summary id="w0">2,999 of 3,000 trials, 1 failed</summary>'
    assert '<li id="t0-6" class="failed"><a ' in html
    assert "<small>seed 3000</small>90.00" in page.cells["t0-2999"]
