"""The section of a sweep's page that shows the search of each cell."""

from __future__ import annotations

from searched import Recorded, searched
from specs import spec as plain_spec

from orchestration.page.read import Reader
from orchestration.page.sections import sections
from orchestration.sweep.spec import SweepSpec


def test_a_sweeps_page_shows_each_cells_search_and_its_fresh_seeds() -> None:
    spec = searched()
    recorded = Recorded(spec)
    trials = spec.setting_trials([0, 101])[1]
    for number, (tried, fresh) in enumerate(trials):
        recorded.add(tried, [0.5 + 0.1 * number])
        if number == 3:
            recorded.add(fresh, [0.7], [0.66], outcome=None, status="RUNNING")
    sweep = Reader(recorded).sweep(spec.name)
    shown = sections("", sweep, None, []).sections["search"]
    rate = spec.settings()[1][3].values["learning_rate"]
    assert "Table of the search" in shown
    assert f"learning_rate {rate:g}" in shown
    assert "80.00" in shown
    (cell,) = [cell for cell in sweep.grid.cells if cell.values["norm"] == "batchnorm"]
    assert cell.trials[101].state == "running"
    assert "test_accuracy" not in shown


def test_a_sweep_without_a_search_has_no_such_section() -> None:
    plain = SweepSpec.from_dict(plain_spec())
    recorded = Recorded(plain)
    recorded.add(plain.trials()[0], [0.5])
    sweep = Reader(recorded).sweep(plain.name)
    assert sections("", sweep, None, []).sections["search"] == ""


def test_the_list_of_sweeps_shows_no_test_accuracy_of_the_search() -> None:
    spec = searched()
    recorded = Recorded(spec)
    (tried, fresh), *_ = spec.setting_trials([0, 101])[0]
    recorded.add(tried, [0.5], [0.95])
    recorded.add(fresh, [0.5], [0.9])
    (listed,) = Reader(recorded).sweeps()
    assert (listed.best, listed.best_of) == (0.9, fresh.label)


def test_the_page_has_the_figures_of_the_search_as_images() -> None:
    spec = searched(trials=8)
    recorded = Recorded(spec)
    for of_cell in spec.setting_trials([0]):
        for number, (trial,) in enumerate(of_cell):
            recorded.add(trial, [0.5 + 0.05 * number])
    sweep = Reader(recorded).sweep(spec.name)
    shown = sections("", sweep, None, []).sections["search"]
    assert shown.count('<img src="data:image/svg+xml;base64,') == 3
    for title in ("Best against budget", "Which settings matter", "Settings tried"):
        assert f'alt="{title}"' in shown
