"""Tables in LaTeX fit the line that they stand in, and have minus signs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.render.latex import escape_latex, latex
from orchestration.render.table import Table, TableCell


def table(rows: int, columns: int) -> Table:
    headings = ["name", *(f"a long heading {number}" for number in range(columns))]
    numbers = [TableCell("-1.25")] * columns
    return Table(
        headings,
        [[TableCell(f"[{row}, 64]"), *numbers] for row in range(rows)],
        [False, *[True] * columns],
        ("a note on one cell",),
        "A sentence that is longer than a line of any column, since it goes on and on. " * 3,
    )


def test_a_minus_sign_is_no_digit_and_no_hyphen() -> None:
    text = latex(table(1, 1))
    assert r"S[table-format=-1.2]" in text
    assert escape_latex("-2.00 to -1.00") == r"\ensuremath{-}2.00 to \ensuremath{-}1.00"
    assert escape_latex("run-1, 2026-01-02") == "run-1, 2026-01-02"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_no_table_is_wider_than_its_line_or_higher_than_its_page(
    columns: str, tmp_path: Path
) -> None:
    tables = [latex(table(rows, number)) for rows, number in ((3, 2), (3, 12), (150, 6), (0, 2))]
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx,siunitx}}"
        r"\sisetup{detect-weight=true}\begin{document}" + "\n\n".join(tables) + r"\end{document}",
        encoding="utf-8",
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
