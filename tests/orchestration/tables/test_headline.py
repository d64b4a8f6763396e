"""The published layout, and the marks of cells that are not whole."""

from __future__ import annotations

from typing import cast

import pandas as pd

from orchestration.render.html import html
from orchestration.render.markdown import markdown
from orchestration.render.terminal import plain
from orchestration.tables.headline import TABLE
from orchestration.tables.report_data import ReportData

headline = TABLE.table

PUBLISHED = {
    ("ann", "none"): 0.8878,
    ("ann", "batchnorm"): 0.9227,
    ("ann", "homeostatic"): 0.9251,
    ("snn", "none"): 0.1,
    ("snn", "bntt"): 0.8620,
    ("snn", "homeostatic"): 0.7869,
}


class _Linked:
    """In place of a sweep's data, whose runs have addresses."""

    def best_run_url(self, cell: int) -> str:
        return f"#{cell}"


def cells(**more: object) -> pd.DataFrame:
    rows = [
        {
            "architecture": architecture, "norm": norm, "best": best, "best_seed": 42,
            "mean": best, "std": 0.01, "ci_low": best - 0.01, "ci_high": best + 0.01,
            "n_seeds": 3, "n_expected": 3, "n_collapsed": 0, "n_diverged": 0,
            "expected_best": best, "n_common": 3, "selected_on": "the test set",
        }
        for (architecture, norm), best in PUBLISHED.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**more)


def test_the_published_table_with_a_gap_for_each_network() -> None:
    best = cells()
    text = markdown(headline(best))
    assert text.replace("\N{NO-BREAK SPACE}", " ").splitlines() == [
        "| network | no norm | standard norm | homeostatic | dependency gap |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| artificial CNN | 88.78 % | 92.27 % (BatchNorm) | 92.51 % | 3.49 pp |",
        "| spiking CNN | 10.00 % | 86.20 % (BNTT) | 78.69 % | 76.20 pp |",
        "",
        "Epochs selected on the test set.",
    ]


def test_what_a_cell_lacks_marks_its_number_and_the_gap_it_is_in() -> None:
    best = cells(n_collapsed=[0, 0, 0, 3, 0, 0], n_seeds=[3, 3, 3, 3, 3, 2])
    table = headline(best)
    assert [cell.mark for cell in table.rows[0]] == ["", "", "", "", ""]
    assert [cell.mark for cell in table.rows[1]] == ["", "a", "", "b", "a"]
    assert table.notes == ("collapsed 3/3", "incomplete 2/3")
    assert plain(table).splitlines()[-3:-1] == ["a collapsed 3/3", "b incomplete 2/3"]


def test_the_seeds_of_norms_that_are_not_in_it_are_of_no_account() -> None:
    best = cells(n_common=2)
    other = best.iloc[[4]].assign(norm="tebn", n_seeds=2)
    assert headline(pd.concat([best, other], ignore_index=True)) == headline(best)
    told = headline(cells(n_common=2, n_seeds=[3, 3, 3, 3, 3, 2])).remark
    assert "Cells have 2 to 3 seeds" in told


def test_a_cell_that_is_not_there_and_further_axes() -> None:
    best = cells().iloc[[0, 3, 4]].assign(slope=[float("nan"), 5.0, 25.0]).reset_index(drop=True)
    axes = ["architecture", "norm", "slope"]
    best = best[[*axes, *(name for name in best if name not in axes)]]
    assert TABLE.links is not None
    links = TABLE.links(cast("ReportData", _Linked()), best)
    assert links == {
        "no norm": ["#0", "#1", ""],
        "standard norm": ["", "", "#2"],
        "homeostatic": ["", "", ""],
    }
    lines = plain(headline(best)).splitlines()
    assert lines[2].split() == ["artificial", "CNN", "–", "88.78", "%", "–", "–", "–"]
    assert lines[4].split() == ["spiking", "CNN", "25", "–", "86.20", "%", "(BNTT)", "–", "–"]


def test_a_setting_without_a_number_is_left_out() -> None:
    best = cells(norm=["none", "own:A", "own:B", "own:A", "own:B", "own:C"])
    assert [row[0].text for row in headline(best).rows] == ["artificial CNN"]
    assert headline(cells(best=float("nan"))).rows == []


def test_text_axes_are_on_the_left_in_every_form() -> None:
    best = cells()
    best.insert(2, "optimizer", "adam")
    best.insert(3, "width", 16)
    table = headline(best)
    assert table.numeric[:4] == [False, False, True, True]
    assert '<th scope="col">optimizer</th><th scope="col" class="number">width</th>' in html(table)
    assert "<td>adam</td>" in html(table)
