"""Writes a table in LaTeX. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.render.table import Table, TableCell

_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        # The usual text font has other signs in their places.
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        "\N{NO-BREAK SPACE}": "~",
        **{char: "\\" + char for char in "&%$#_{}"},
    }
)


def escape_latex(text: str) -> str:
    """A text as LaTeX shows it."""
    return text.translate(_LATEX_ESCAPES)


def latex(table: Table) -> str:
    """Write a tabular for booktabs and siunitx, which the document loads."""
    escaped = escape_latex

    def after(one: TableCell) -> str:
        mark = rf"\textsuperscript{{{one.mark}}}" if one.mark else ""
        return escaped(one.after) + mark

    def cell(one: TableCell, column: int) -> str:
        text = one.text if _is_number(one.text) else escaped(one.text)
        if not table.numeric[column]:
            text += after(one)
        elif not _is_number(one.text):
            text = f"{{{text}{after(one)}}}"
        elif after(one):
            text += f" {{{after(one)}}}"
        return rf"\bfseries {text}" if one.strong else text

    def kind(column: int) -> str:
        cells = [row[column] for row in table.rows if _is_number(row[column].text)]
        if not table.numeric[column] or not cells:
            return "r" if table.numeric[column] else "l"
        whole = max(len(one.text.partition(".")[0]) for one in cells)
        decimals = max(len(one.text.partition(".")[2]) for one in cells)
        widest = max((after(one) for one in cells), key=len)
        room = f", table-space-text-post={{{widest}}}" if widest else ""
        return f"S[table-format={whole}.{decimals}{room}]"

    def line(texts: Sequence[str]) -> str:
        return "  " + " & ".join(texts) + r" \\"

    columns = range(len(table.headings))
    below = [rf"\textsuperscript{{{mark}}} {escaped(note)}" for mark, note in table.lettered_notes]
    below += filter(None, [escaped(table.remark)])
    notes = [rf"  \multicolumn{{{len(columns)}}}{{l}}{{\footnotesize {text}}} \\" for text in below]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,siunitx} and \sisetup{detect-weight=true}",
            rf"\begin{{tabular}}{{@{{}}{''.join(map(kind, columns))}@{{}}}}",
            r"  \toprule",
            line([f"{{{escaped(heading)}}}" for heading in table.headings]),
            r"  \midrule",
            *(line([cell(row[column], column) for column in columns]) for row in table.rows),
            r"  \bottomrule",
            *notes,
            r"\end{tabular}",
        ]
    )


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()
