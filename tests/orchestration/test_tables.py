"""The written forms of the answers: for people in percent, for machines as they are."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest

from orchestration.errors import InputError
from orchestration.tables import FORMATS, render, rich_table

NAN = float("nan")


def cell(architecture: str, norm: str, best: float, **more: object) -> dict[str, object]:
    counts = {"n_seeds": 3, "n_expected": 3, "n_collapsed": 0, "n_diverged": 0}
    spread = {"mean": best - 0.01, "std": 0.01, "ci_low": best - 0.03, "ci_high": best + 0.01}
    head = {"architecture": architecture, "norm": norm, "best": best, "best_seed": 42}
    return {**head, **spread, **counts, **more}


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
    }
)


def columns(line: str) -> list[str]:
    return [text.strip() for text in line.replace("┃", "│").split("│")[1:-1]]


def test_the_table_shows_percent_and_what_a_cell_lacks_in_words() -> None:
    lines = render(BEST, "table").splitlines()
    assert columns(lines[1]) == [
        "architecture", "norm", "best %", "best seed", "mean %", "std", "95 % CI", "seeds", "note"
    ]  # fmt: skip
    assert [columns(line) for line in lines[3:-1]] == [
        ["snn", "none", "10.00", "42", "9.00", "1.00", "7.00 to 11.00", "3/3", "collapsed 3/3"],
        ["snn", "bntt", "86.20", "42", "85.20", "1.00", "83.20 to 87.20", "3/3", ""],
        [
            "snn", "homeostatic", "90.00", "42", "89.00", "1.00", "87.00 to 91.00", "2/3",
            "incomplete 2/3",
        ],
        ["ann", "a|b_c:N", "33.33", "42", "32.33", "1.00", "30.33 to 34.33", "3/3", ""],
        ["ann", "none", "–", "–", "–", "1.00", "–", "0/3", "no results"],
    ]  # fmt: skip


def test_the_best_is_bold_and_never_a_cell_that_lacks_something() -> None:
    markdown = render(BEST, "markdown")
    assert [line.count("**") for line in markdown.splitlines()[2:]] == [0, 2, 0, 2, 0]
    assert "**86.20**" in markdown
    bold = [
        str(text)
        for column in rich_table(BEST).columns
        for text in column._cells
        if getattr(text, "style", "") == "bold"
    ]
    assert bold == ["86.20", "33.33"]


def test_the_note_column_is_there_only_if_needed() -> None:
    assert "note" not in render(BEST.iloc[[1]], "table")


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
    assert r"\begin{tabular}{llS[table-format=2.2]S[table-format=2.0]" in text
    assert r"ann & a|b\_c:N & \bfseries 33.33 & 42 &" in text
    assert r"{95 \% CI}" in text
    assert r"\toprule" in text
    assert "{--}" in text


def test_the_dependency_gap() -> None:
    assert render(GAP, "markdown").splitlines() == [
        "| architecture | no norm % | standard % | homeostatic % | gap pp | gap / ann's | note |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        "| ann | 90.00 | 98.00 | 98.50 | 8.00 | 1.00 |  |",
        "| snn | 10.00 | 96.00 | – | 86.00 | 10.75 | none: collapsed 3/3 |",
    ]


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
    assert render(frame, "markdown").splitlines()[-1] == (
        "| r | True | 50.00 | 0.001 | 2023-11-14 22:13:20 |"
    )
    assert json.loads(render(frame, "json"))[0] == {
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
