"""The written forms of the answers: for people in percent, for machines as they are."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest

from orchestration.errors import InputError
from orchestration.render.forms import FORMATS
from orchestration.render.html import html
from orchestration.render.table import Table, TableCell
from orchestration.results.columns import letter
from orchestration.tables import (
    best_of_seeds,
    comparison,
    dependency_gap,
    norm_differences,
    norm_gaps,
)
from orchestration.tables.definition import TableDefinition

render = best_of_seeds.TABLE.write

NAN = float("nan")


def cell(architecture: str, norm: str, best: float, **more: object) -> dict[str, object]:
    counts = {"n_seeds": 3, "n_expected": 3, "n_collapsed": 0, "n_diverged": 0}
    spread = {"mean": best - 0.01, "std": 0.01, "ci_low": best - 0.03, "ci_high": best + 0.01}
    head = {"architecture": architecture, "norm": norm, "best": best, "best_seed": 42}
    common = {"expected_best": best, "n_common": 3}
    return {**head, **spread, **counts, **common, "selected_on": "the test set", **more}


BEST = pd.DataFrame(
    [
        cell("snn", "none", 0.1, n_collapsed=3),
        cell("snn", "bntt", 0.8620),
        cell("snn", "homeostatic", 0.9, n_seeds=2),
        cell("ann", "a|b_c:N", 1 / 3),
        {**cell("ann", "none", NAN, n_seeds=0), "best_seed": pd.NA},
    ]
).astype({"best_seed": "Int64"})
GAP = pd.DataFrame(
    {
        "architecture": ["ann", "snn"],
        "none": [0.9, 0.1],
        "standard": [0.98, 0.96],
        "homeostatic": [0.985, NAN],
        "gap_pp": [8.0, 86.0],
        "ratio": [1.0, 10.75],
        "note": ["", "none: collapsed 3/3"],
        "selected_on": "the test set",
    }
)


def test_the_table_fits_a_terminal_and_says_what_a_cell_lacks_in_words() -> None:
    assert render(BEST, "table").splitlines() == [
        "archi-",
        "tecture  norm         best (seed)    mean ± std      95 % CI  seeds",
        "─" * 76,
        "snn      none          10.00 (42)   9.00 ± 1.00   7.00–11.00  collapsed 3/3",
        "snn      bntt          86.20 (42)  85.20 ± 1.00  83.20–87.20  3/3",
        "snn      homeostatic   90.00 (42)  89.00 ± 1.00  87.00–91.00  incomplete 2/3",
        "ann      a|b_c:N       33.33 (42)  32.33 ± 1.00  30.33–34.33  3/3",
        "ann      none                   –      – ± 1.00            –  0/3 no results",
        "Epochs selected on the test set.",
    ]


def test_a_narrow_terminal_gets_what_fits_it() -> None:
    lines = render(BEST, "table", 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[5:10] == [
        "snn, bntt",
        "  best (seed)  86.20 (42)",
        "  mean ± std   85.20 ± 1.00",
        "  95 % CI      83.20–87.20",
        "  seeds        3/3",
    ]
    narrow, write = BEST[["architecture", "norm"]], TableDefinition().write
    assert write(narrow, "table", 40).splitlines()[1:] == write(narrow, "table").splitlines()[1:]


def test_with_a_further_axis_it_still_fits_and_nothing_is_cut() -> None:
    wider = BEST.assign(n_collapsed=[3, 0, 1, 0, 0])
    wider.insert(2, "num_steps", pd.Series([10, 10, 10, None, None], dtype="Int64"))
    text = render(wider, "table")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.split().count("homeostatic") == 1
    wider.insert(3, "learning_rate", [0.001] * 5)
    wider.insert(4, "warmup_epochs", [100_000] * 5)
    lines = render(wider, "table").splitlines()
    assert "90.00 (42) 89.00 ± 1.00 87.00–91.00 incomplete" in "\n".join(lines)


def test_an_interval_is_cut_where_accuracies_end_and_only_in_tables() -> None:
    wide = BEST.iloc[[1]].assign(ci_low=-0.42, ci_high=1.3)
    assert "0.00–100.00" in render(wide, "table")
    assert "| 0.00–100.00 |" in render(wide, "markdown")
    assert json.loads(render(wide, "json"))[0]["ci_low"] == -0.42


def test_one_seed_has_no_deviation() -> None:
    one = BEST.iloc[[1]].assign(std=NAN, ci_low=NAN, ci_high=NAN, n_seeds=1, n_expected=1)
    assert render(one, "table").splitlines()[-2].split() == [
        "snn", "bntt", "86.20", "(42)", "85.20", "–", "1/1"
    ]  # fmt: skip


def test_the_best_is_bold_and_never_a_cell_that_lacks_something() -> None:
    table = best_of_seeds.TABLE.table(BEST)
    best = table.headings.index("best %")
    assert [row[best].strong for row in table.rows] == [False, True, False, True, False]
    markdown = render(BEST, "markdown")
    assert [line.count("**") for line in markdown.splitlines()[2:7]] == [0, 2, 0, 2, 0]
    assert "**86.20**" in markdown
    assert "<strong>86.20</strong>" in html(table)


def test_the_note_column_is_there_only_if_needed() -> None:
    assert "note" in render(BEST, "markdown")
    assert "note" not in render(BEST.iloc[[1]], "markdown")


def test_json_holds_every_digit() -> None:
    rows = json.loads(render(BEST, "json"))
    assert rows[3]["best"] == 1 / 3
    assert rows[3]["best_seed"] == 42
    assert rows[4]["best"] is None
    assert rows[4]["best_seed"] is None
    assert list(rows[0]) == list(BEST)


def test_csv_holds_every_digit() -> None:
    rows = list(csv.DictReader(io.StringIO(render(BEST, "csv"))))
    assert float(rows[3]["best"]) == 1 / 3
    assert rows[3]["norm"] == "a|b_c:N"
    assert rows[4]["best"] == ""


def test_markdown_escapes_its_bar() -> None:
    line = render(BEST, "markdown").splitlines()[5]
    assert "a\\|b_c:N" in line


def test_latex() -> None:
    text = render(BEST, "latex")
    assert r"\begin{tabular}{@{}llS[table-format=2.2]S[table-format=2.0]" in text
    assert r"ann & a\textbar{}b\_c:N & \bfseries 33.33 & 42 &" in text
    assert r"{95 \% CI}" in text
    assert r"\toprule" in text
    assert "{--}" in text


def test_html_escapes_and_links() -> None:
    table = Table(
        ["a<b", "n"],
        [[TableCell("x&y"), TableCell("1.00", " %", "a", href="u?a=1&b=2")]],
        [False, True],
    )
    assert '<th scope="col">a&lt;b</th>' in html(table)
    assert '<th scope="row">x&amp;y</th>' in html(table)
    assert 'href="u?a=1&amp;b=2"' in html(table)
    assert ">1.00 %</a><sup>a</sup></td>" in html(table)


def test_the_dependency_gap() -> None:
    assert dependency_gap.TABLE.write(GAP, "markdown").splitlines() == [
        "| architecture | no norm % | standard % | homeostatic % | gap pp | gap / ann's |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| ann | 90.00 | 98.00 | 98.50 | 8.00 | 1.00 |",
        "| snn | 10.00 | 96.00 | – | 86.00<sup>a</sup> | 10.75 |",
        "",
        "<sup>a</sup> none: collapsed 3/3",
        "",
        "Epochs selected on the test set.",
    ]
    lines = dependency_gap.TABLE.write(GAP, "table").splitlines()
    assert lines[3].index("8.00") == lines[4].index("6.00")
    assert lines[5] == "a none: collapsed 3/3"


def test_what_each_norm_adds_with_the_standard_one_marked() -> None:
    frame = pd.DataFrame(
        {
            "architecture": "snn", "norm": ["bntt", "own"], "none": 0.1, "accuracy": [0.96, NAN],
            "gap_pp": [86.0, NAN], "is_standard": [True, False], "ratio": [10.75, NAN],
            "note": ["none: collapsed 3/3", ""], "selected_on": "the test set",
        }
    )  # fmt: skip
    assert norm_gaps.TABLE.write(frame, "markdown").splitlines()[:4] == [
        "| architecture | norm | no norm % | norm % | gap pp | gap / ann's |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| snn | bntt (standard) | 10.00 | 96.00 | 86.00<sup>a</sup> | 10.75 |",
        "| snn | own | 10.00 | – | – | – |",
    ]


def test_differences_between_norms() -> None:
    frame = pd.DataFrame(
        {
            "architecture": "snn", "norm": "bntt", "against": "none", "difference_pp": [-1.5, NAN],
            "ci_low_pp": [-2.0, NAN], "ci_high_pp": [-1.0, NAN], "n_pairs": [3, 1],
            "t": [9.0, NAN], "p": [0.0001, NAN], "p_holm": [0.0002, NAN],
            "selected_on": "the test set",
        }
    )  # fmt: skip
    assert norm_differences.TABLE.write(frame, "markdown").splitlines()[2:] == [
        "| snn | bntt | none | -1.50 | -2.00 to -1.00 | 3 | < 0.001 |",
        "| snn | bntt | none | – | – | 1 | – |",
        "",
        "Epochs selected on the test set. p is corrected for all tests of the sweep, also those "
        "not shown.",
    ]


def test_two_sweeps_side_by_side() -> None:
    sides = {"best_a": 0.9, "best_b": NAN, "difference_pp": NAN}
    means = {"mean_a": 0.8, "mean_b": 0.7, "mean_difference_pp": 10.0}
    note = "A: collapsed 3/3; B: not there"
    remark = "Epochs selected on the test set (A), on 10 % held-out training images (B)."
    selected = {"selected_on_a": "the test set", "selected_on_b": "10 % held-out training images"}
    same = {"dataset_a": "digits", "dataset_b": "digits", "epochs_a": 8, "epochs_b": 8}
    frame = pd.DataFrame([{"norm": "a: b", **sides, **means, "note": note, **selected, **same}])
    assert [line.split() for line in comparison.TABLE.write(frame, "table").splitlines()[2:]] == [
        ["a:", "b", "90.00", "–", "–", "a", "80.00", "70.00", "10.00", "a"],
        ["a", "A:", "collapsed", "3/3;", "B:", "not", "there"],
        remark.split(),
    ]
    alike = frame.assign(selected_on_b="the test set")
    assert (
        comparison.TABLE.write(alike, "table").splitlines()[-1]
        == "Epochs selected on the test set."
    )
    other = alike.assign(dataset_b="cifar10", epochs_b=30)
    assert comparison.TABLE.write(other, "table").splitlines()[-1] == (
        "Epochs selected on the test set. Not the same data sets: digits (A), cifar10 (B). "
        "Not the same numbers of epochs: 8 (A), 30 (B)."
    )


def test_every_form_says_what_selected_the_epochs() -> None:
    held_out = BEST.assign(selected_on="10 % held-out training images")
    told = "Epochs selected on 10 % held-out training images."
    assert render(held_out, "table").splitlines()[-1] == told
    assert render(held_out, "markdown").splitlines()[-2:] == ["", told]
    assert told.replace("%", r"\%") in render(held_out, "latex")
    assert f"<p>{told}</p>" in html(best_of_seeds.TABLE.table(held_out))
    assert {row["selected_on"] for row in json.loads(render(held_out, "json"))} == {
        "10 % held-out training images"
    }
    assert "10 % held-out training images" in render(held_out, "csv")


def test_cells_that_differ_in_it_are_told_apart_and_last_epochs_were_not_selected() -> None:
    both = BEST.assign(selected_on=["the test set"] * 4 + ["5 % held-out training images"])
    assert render(both, "table").splitlines()[-1] == (
        "Epochs selected on the test set or 5 % held-out training images."
    )
    assert "selected" not in render(BEST.assign(selected_on=None), "table")


def test_more_notes_than_letters() -> None:
    assert [letter(number) for number in (0, 25, 26, 701, 702)] == ["a", "z", "aa", "zz", "aaa"]


def test_trials_and_times() -> None:
    frame = pd.DataFrame(
        {
            "run_id": ["r"],
            "in_spec": [True],
            "last_test_accuracy": [0.5],
            "learning_rate": [0.001],
            "started": pd.to_datetime([1_700_000_000_000], unit="ms", utc=True),
        }
    )
    assert TableDefinition().write(frame, "markdown").splitlines()[-1] == (
        "| r | True | 50.00 | 0.001 | 2023-11-14 22:13:20 |"
    )
    assert json.loads(TableDefinition().write(frame, "json"))[0] == {
        "run_id": "r",
        "in_spec": True,
        "last_test_accuracy": 0.5,
        "learning_rate": 0.001,
        "started": "2023-11-14T22:13:20+00:00",
    }


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_frame(form: str) -> None:
    assert render(BEST.iloc[:0], form) is not None


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(InputError, match="table, json, csv, latex, markdown, got 'xml'"):
        render(BEST, "xml")


def test_unequal_numbers_of_seeds_are_compared_by_the_best_of_as_many() -> None:
    rows = [
        cell("snn", "bntt", 0.90, n_seeds=5, n_expected=5, expected_best=0.90, n_common=5),
        cell("snn", "homeostatic", 0.92, n_seeds=18, n_expected=18, expected_best=0.89, n_common=5),
    ]
    frame = pd.DataFrame(rows)
    told = (
        "Cells have 5 to 18 seeds, and the best of more is higher by chance: their best are not "
        "comparable. Best of 5 is what the best of 5 of them is on average."
    )
    lines = render(frame, "table").splitlines()
    assert "best (seed)  best of 5" in lines[1]
    assert "92.00 (42)      89.00" in lines[4]
    assert lines[-1] == f"{told} Epochs selected on the test set."
    for written in (
        render(frame, "markdown"),
        html(best_of_seeds.TABLE.table(frame)),
        render(frame, "latex"),
    ):
        assert told in written
        assert "best of 5" in written
    assert "| 90.00 | 42 | **90.00** |" in render(frame, "markdown")
    assert "| 92.00 | 42 | 89.00 |" in render(frame, "markdown")
    same = frame.assign(n_seeds=5, n_expected=5)
    assert "best of 5" not in render(same, "markdown")
    assert "**92.00**" in render(same, "markdown")
