"""Frames of answers → text: a terminal's table, JSON, CSV, LaTeX, Markdown. Pure.

JSON and CSV hold the frame as it is: fractions, every digit, null or nothing where there is no
number. The three forms for people show accuracies in percent, and say in words what a cell lacks.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.errors import InputError
from orchestration.statistics import shortfall

__all__ = ["FORMATS", "Format", "render", "rich_table"]

Format = Literal["table", "json", "csv", "latex", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)

NO_NUMBER = "–"


@dataclass(frozen=True)
class _Shown:
    """A table for people, whatever form it takes.

    Args:
        headings: one a column.
        rows: the texts of a row; "–" stands for no number.
        numeric: by column, whether it holds numbers, to be aligned at their decimal point.
        strong: (row, column) of the texts that stand out: the best of their kind.
    """

    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    strong: set[tuple[int, int]]


def render(frame: pd.DataFrame, form: str) -> str:
    """Write a frame that ``Results`` gave in one of FORMATS, without a final newline.

    Args:
        frame: best of seeds, dependency gap, trials or curves.
        form: table, json, csv, latex or markdown.

    Raises:
        InputError: the form is another.
    """
    writers: dict[str, Callable[[pd.DataFrame], str]] = {
        "table": _plain,
        "json": _json,
        "csv": _csv,
        "latex": _latex,
        "markdown": _markdown,
    }
    if form not in writers:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    return writers[form](frame)


def rich_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """Make a table for a terminal; what stands out does so in bold and not by colour alone."""
    shown = _shown(frame)
    table = Table(title=title, title_justify="left")
    for heading, numeric in zip(shown.headings, shown.numeric, strict=True):
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for i, row in enumerate(shown.rows):
        cells = [
            Text(text, style="bold" if (i, j) in shown.strong else "") for j, text in enumerate(row)
        ]
        table.add_row(*cells)
    return table


def _plain(frame: pd.DataFrame) -> str:
    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(rich_table(frame))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _json(frame: pd.DataFrame) -> str:
    rows = [{str(k): _plain_value(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def _plain_value(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n").removesuffix("\n")


def _markdown(frame: pd.DataFrame) -> str:
    shown = _shown(frame)

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def cell(i: int, j: int) -> str:
        text = shown.rows[i][j].replace("\\", "\\\\").replace("|", "\\|")
        return f"**{text}**" if (i, j) in shown.strong else text

    rows = [[cell(i, j) for j in range(len(row))] for i, row in enumerate(shown.rows)]
    rule = ["---:" if numeric else "---" for numeric in shown.numeric]
    return "\n".join(line(texts) for texts in (shown.headings, rule, *rows))


_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        **{char: "\\" + char for char in "&%$#_{}"},
    }
)


def _latex(frame: pd.DataFrame) -> str:
    """Give a tabular for booktabs and siunitx, which the document loads."""
    shown = _shown(frame)

    def escaped(text: str) -> str:
        return text.translate(_LATEX_ESCAPES)

    def cell(i: int, j: int) -> str:
        text = shown.rows[i][j]
        if not shown.numeric[j] or not _is_number(text):
            text = f"{{{escaped(text)}}}" if shown.numeric[j] else escaped(text)
        return rf"\bfseries {text}" if (i, j) in shown.strong else text

    def column(j: int) -> str:
        numbers = [row[j] for row in shown.rows if _is_number(row[j])]
        if not shown.numeric[j] or not numbers:
            return "r" if shown.numeric[j] else "l"
        whole = max(len(number.partition(".")[0]) for number in numbers)
        decimals = max(len(number.partition(".")[2]) for number in numbers)
        return f"S[table-format={whole}.{decimals}]"

    def line(texts: Sequence[str]) -> str:
        return "  " + " & ".join(texts) + r" \\"

    columns = "".join(column(j) for j in range(len(shown.headings)))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,siunitx} and \sisetup{detect-weight=true}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"  \toprule",
            line([f"{{{escaped(heading)}}}" for heading in shown.headings]),
            r"  \midrule",
            *(line([cell(i, j) for j in range(len(row))]) for i, row in enumerate(shown.rows)),
            r"  \bottomrule",
            r"\end{tabular}",
        ]
    )


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()


def _shown(frame: pd.DataFrame) -> _Shown:
    if "gap_pp" in frame:
        return _gap_shown(frame)
    if "best_seed" in frame:
        return _best_shown(frame)
    return _any_shown(frame)


def _best_shown(frame: pd.DataFrame) -> _Shown:
    axes = list(frame.columns[: frame.columns.get_loc("best")])
    headings = [*axes, "best %", "best seed", "mean %", "std", "95 % CI", "seeds", "note"]
    rows, notes = [], []
    for cell in frame.to_dict("records"):
        counts = [int(cell[n]) for n in ("n_seeds", "n_expected", "n_collapsed", "n_diverged")]
        notes.append(shortfall(*counts))
        interval = NO_NUMBER
        if not math.isnan(cell["ci_low"]):
            interval = f"{_percent(cell['ci_low'])} to {_percent(cell['ci_high'])}"
        rows.append(
            [
                *(_text(cell[axis]) for axis in axes),
                _percent(cell["best"]),
                _text(cell["best_seed"]),
                _percent(cell["mean"]),
                _percent(cell["std"]),
                interval,
                f"{counts[0]}/{counts[1]}",
                notes[-1],
            ]
        )
    strong = {(row, len(axes)) for row in _winners(frame, axes, notes)}
    if not any(notes):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    numeric = [*(_is_numeric(frame[axis]) for axis in axes), True, True, True, True, False, True]
    return _Shown(headings, rows, [*numeric, False][: len(headings)], strong)


def _winners(frame: pd.DataFrame, axes: list[str], notes: list[str]) -> list[int]:
    """The rows of the best norm in each setting. A cell that lacks something is never the best."""
    whole = frame.assign(row=range(len(frame)))[[not note for note in notes]]
    setting = [axis for axis in axes if axis != "norm"]
    if whole.empty or not setting:
        return []
    groups = whole.groupby(setting, dropna=False, sort=False)
    return whole["row"][whole["best"] == groups["best"].transform("max")].tolist()


def _gap_shown(frame: pd.DataFrame) -> _Shown:
    axes = list(frame.columns[: frame.columns.get_loc("none")])
    headings = [*axes, "no norm %", "standard %", "homeostatic %", "gap pp", "gap / ann's", "note"]
    rows = [
        [
            *(_text(row[axis]) for axis in axes),
            *(_percent(row[norm]) for norm in ("none", "standard", "homeostatic")),
            _decimal(row["gap_pp"]),
            _decimal(row["ratio"]),
            row["note"],
        ]
        for row in frame.to_dict("records")
    ]
    numeric = [*(_is_numeric(frame[axis]) for axis in axes), *[True] * 5, False]
    if not any(frame["note"]):
        headings, numeric, rows = headings[:-1], numeric[:-1], [row[:-1] for row in rows]
    return _Shown(headings, rows, numeric, set())


def _any_shown(frame: pd.DataFrame) -> _Shown:
    def text(name: str, value: Any) -> str:
        return _percent(value) if name.endswith("accuracy") else _text(value)

    names = [str(name) for name in frame]
    headings = [f"{name} %" if name.endswith("accuracy") else name for name in names]
    rows = [
        [text(k, v) for k, v in zip(names, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return _Shown(headings, rows, [_is_numeric(frame[name]) for name in names], set())


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _percent(fraction: float) -> str:
    return _decimal(100 * fraction)


def _decimal(number: float) -> str:
    return NO_NUMBER if math.isnan(number) else f"{number:.2f}"


def _text(value: Any) -> str:
    if pd.isna(value):
        return NO_NUMBER
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:g}" if isinstance(value, float) else str(value)
