"""Writes a table in LaTeX. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestration.render.table import Table, TableCell

_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        # The usual text font has other characters at their positions.
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        "\N{NO-BREAK SPACE}": "~",
        "[": "{[}",  # after a line break, LaTeX would take it for an option
        **{char: "\\" + char for char in "&%$#_{}"},
    }
)


_MINUS = re.compile(r"(?<![0-9A-Za-z-])-(?=[0-9])")
_MOST_ROWS = 40
"""The most rows on a page; a longer table is written in parts."""


def escape_latex(text: str) -> str:
    """A text escaped for LaTeX, with a minus sign for the hyphen before a number."""
    return _MINUS.sub(r"\\ensuremath{-}", text.translate(_LATEX_ESCAPES))


def latex(table: Table) -> str:
    """Write a table for booktabs and siunitx, which the document loads, as wide as a line at most.

    One that is wider is made smaller. One with many rows has several parts below each other, and
    pages may end between them where it is not in a float.
    """
    columns = range(len(table.headings))
    kinds = "".join(map(_kind, columns, [table] * len(columns)))
    heads = _line(f"{{{escape_latex(heading)}}}" for heading in table.headings)
    parts = []
    for first in range(0, max(1, len(table.rows)), _MOST_ROWS):
        rows = table.rows[first : first + _MOST_ROWS]
        parts += [
            r"\sbox0{%",
            rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
            r"  \toprule",
            heads,
            r"  \midrule",
            *(
                _line(_cell(row[column], table.numeric[column]) for column in columns)
                for row in rows
            ),
            r"  \bottomrule",
            r"\end{tabular}}%",
            r"\noindent\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\par\smallskip",
        ]
    notes = [
        rf"\textsuperscript{{{mark}}} {escape_latex(note)}\par"
        for mark, note in table.lettered_notes
    ]
    if table.remark:
        notes.append(escape_latex(table.remark))
    if notes:
        notes = [r"\noindent\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,graphicx,siunitx} and \sisetup{detect-weight=true}",
            r"\begingroup\small\setlength{\tabcolsep}{4pt}%",
            *parts,
            *notes,
            r"\endgroup",
        ]
    )


def _line(texts: Iterable[str]) -> str:
    return "  " + " & ".join(texts) + r" \\"


def _after(cell: TableCell) -> str:
    mark = rf"\textsuperscript{{{cell.mark}}}" if cell.mark else ""
    return escape_latex(cell.after) + mark


def _cell(cell: TableCell, numeric: bool) -> str:
    after = _after(cell)
    if not numeric:
        text = escape_latex(cell.text) + after
    elif not _is_number(cell.text):
        text = f"{{{escape_latex(cell.text)}{after}}}"
    else:
        text = f"{cell.text} {{{after}}}" if after else cell.text
    return rf"\bfseries {text}" if cell.strong else text


def _kind(column: int, table: Table) -> str:
    """How a column is aligned: numbers at their decimal point, with room for what follows them."""
    cells = [row[column] for row in table.rows if _is_number(row[column].text)]
    if not table.numeric[column] or not cells:
        return "r" if table.numeric[column] else "l"
    texts = [cell.text for cell in cells]
    sign = "-" if any(text.startswith("-") for text in texts) else ""
    whole = max(len(text.removeprefix("-").partition(".")[0]) for text in texts)
    decimals = max(len(text.partition(".")[2]) for text in texts)
    widest = max(map(_after, cells), key=len)
    room = f", table-space-text-post={{{widest}}}" if widest else ""
    return f"S[table-format={sign}{whole}.{decimals}{room}]"


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()
