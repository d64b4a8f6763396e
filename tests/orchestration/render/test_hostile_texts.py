"""Names that are formulas, links, tags or control characters do no harm where they are written."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from orchestration.render.records import to_csv
from orchestration.render.visible import visible
from orchestration.tables.definition import TableDefinition

ESC, RIGHT_TO_LEFT = "\x1b", "\u202e"


@pytest.mark.parametrize("formula", ['=HYPERLINK("x")', "+1+cmd", "-2+3", "@SUM(A1)", "=1"])
def test_a_spreadsheet_takes_no_name_for_a_formula(formula: str) -> None:
    frame = pd.DataFrame({"norm": [formula], "best": [-0.5], "text": ["-1e-3"]})
    (row,) = csv.DictReader(io.StringIO(to_csv(frame)))
    assert row == {"norm": f"'{formula}", "best": "-0.5", "text": "-1e-3"}


def test_no_name_becomes_a_link_or_a_tag() -> None:
    names = ["[x](javascript:alert)", "<img src=x>", "</td>", "< 0.001", "a|b"]
    lines = TableDefinition().write(pd.DataFrame({"norm": names}), "markdown").splitlines()
    assert lines[2:] == [
        r"| \[x\](javascript:alert) |",
        r"| \<img src=x> |",
        r"| \</td> |",
        "| < 0.001 |",
        r"| a\|b |",
    ]


@pytest.mark.parametrize("form", ["table", "latex", "markdown", "csv"])
def test_control_characters_are_written_out(form: str) -> None:
    name = f"a{ESC}[31mb{RIGHT_TO_LEFT}c"
    assert visible(name) == r"a\u001b[31mb\u202ec"
    text = TableDefinition().write(pd.DataFrame({"norm": [name]}), form)
    assert not {ESC, RIGHT_TO_LEFT} & set(text)
    assert "202ec" in text
