"""Every number of a sweep's tables: its place, its text, and the cells it comes from. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.report.data import Answers
from orchestration.report.tables.energy import millions, nanojoules
from orchestration.report.tables.table import as_text, decimal, p_value, percent
from orchestration.results.columns import COUNTS, plain
from orchestration.results.effects.norm_effects import settings_of

__all__ = ["Number", "cell_words", "numbers_of"]


@dataclass(frozen=True)
class Number:
    """A number that a text may quote.

    Args:
        sweep: the sweep's name.
        where: what tells its row apart, a word or two each, such as ``snn``, ``threshold 0.3``.
        column: of the table.
        value: with all digits, accuracies as fractions of 1; a text where it is words.
        text: as tables show it.
        cells: the numbers of the cells, rows of best of seeds, whose runs it comes from.
    """

    sweep: str
    where: tuple[str, ...]
    column: str
    value: float | int | str
    text: str
    cells: tuple[int, ...]


_Form = Callable[[Any], str]


def _clipped(fraction: float) -> str:
    return percent(min(max(fraction, 0.0), 1.0))


def _spread(metric: Metric) -> dict[str, _Form]:
    end = _clipped if metric.is_fraction else metric.number
    return {"mean": metric.number, "std": metric.number, "ci_low": end, "ci_high": end}


def _best(metric: Metric) -> dict[str, _Form]:
    counts = dict.fromkeys(COUNTS, str)
    return {"best": metric.number, "best_seed": str, **_spread(metric), **counts}


_GAP: dict[str, _Form] = {"gap_pp": decimal, "ratio": decimal}
_NORM_GAP: dict[str, _Form] = {"gap_pp": decimal}


def _difference(metric: Metric) -> dict[str, _Form]:
    names = map(metric.difference, ("difference", "ci_low", "ci_high"))
    forms: dict[str, _Form] = dict.fromkeys(names, decimal if metric.is_fraction else metric.number)
    return {**forms, "n_pairs": str, "p_holm": p_value}


_TUNED: dict[str, _Form] = {
    f"{side}{part}": form
    for side in ("built", "tuned")
    for part, form in (
        ("_none", percent),
        ("", percent),
        ("_gap_pp", decimal),
        ("_ci_low_pp", decimal),
        ("_ci_high_pp", decimal),
    )
} | {"none_at": str, "norm_at": str}
_BASIN: dict[str, _Form] = {
    f"{of}{end}": percent for of in ("basin", "basin_of_all") for end in ("", "_low", "_high")
} | {"best_at": str, "n_settings": str}
_ENERGY: dict[str, _Form] = {
    **dict.fromkeys(("accumulates", "multiply_accumulates"), millions),
    **dict.fromkeys(("energy_nj", "energy_ci_low", "energy_ci_high"), nanojoules),
}
_RANKS: dict[str, _Form] = {"mean_rank": decimal, "groups": str, "friedman_p": p_value}


def numbers_of(answers: Answers) -> Iterator[Number]:
    """Give a sweep's numbers, in the order of its tables; what is missing has none."""
    cells = _Cells(answers)
    every = tuple(range(len(answers.best)))
    yield Number(answers.name, (), "n_trials", len(answers.trials), str(len(answers.trials)), every)
    axes, metric = answers.axes, answers.metric
    for number, row in enumerate(answers.best.to_dict("records")):
        yield from _row(answers, row, axes, _best(metric), (number,))
    for number, row in enumerate(answers.last.to_dict("records")):
        yield from _row(answers, row, axes, _spread(metric), (number,), prefix="last_")
    if answers.train is not None:
        yield from _decided(answers, cells)
        yield from _from_baseline(answers, cells)
        return
    assert answers.gap is not None
    assert answers.norm_gaps is not None
    assert answers.differences is not None
    setting = [axis for axis in axes if axis != "norm"]
    standard = [one.standard for one in settings_of(answers.best, axes)]
    for norm, row in zip(standard, answers.gap.to_dict("records"), strict=True):
        yield from _row(answers, row, setting, _GAP, cells.of(row, setting, ("none", norm)))
    for number, row in zip(
        answers.norm_gaps.index, answers.norm_gaps.to_dict("records"), strict=True
    ):
        found = cells.of(row, setting, ("none",))
        yield from _row(answers, row, axes, _NORM_GAP, (*found, number))
    if answers.tuned_gap is not None:
        kept = _until(answers.tuned_gap, "built_none")
        for row in answers.tuned_gap.to_dict("records"):
            found = cells.of(row, _without_norm(kept), ("none", row["norm"]))
            yield from _row(answers, row, kept, _TUNED, found)
    if answers.basin is not None:
        kept = _until(answers.basin, "basin")
        for row in answers.basin.to_dict("records"):
            yield from _row(answers, row, kept, _BASIN, cells.of(row, _without_norm(kept)))
    if answers.energy is not None:
        for number, row in zip(
            answers.energy.index, answers.energy.to_dict("records"), strict=True
        ):
            yield from _row(answers, row, axes, _ENERGY, (int(number),))
    for row in answers.differences.to_dict("records"):
        found = cells.of(row, setting, (row["norm"], row["against"]))
        where = {**row, "against": f"against {row['against']}"}
        yield from _row(answers, where, [*axes, "against"], _difference(metric), found)
    if answers.ranks is not None:
        for row in answers.ranks.to_dict("records"):
            yield from _row(answers, row, axes, _RANKS, cells.of(row, setting))
    yield from _decided(answers, cells)


def _decided(answers: Answers, cells: _Cells) -> Iterator[Number]:
    """Of declared comparisons, if there are any."""
    if answers.decisions is None:
        return
    axes = answers.axes
    forms: dict[str, _Form] = {**_difference(answers.metric), "verdict": str}
    for row in answers.decisions.to_dict("records"):
        others = [axis for axis in axes if axis != row["compared"]]
        first, second = cells.of(row, axes), cells.of(row, others, against=row)
        where = {**row, "against": f"decided against {row['compared']} {row['against']}"}
        yield from _row(answers, where, [*axes, "against"], forms, (*first, *second))


def _from_baseline(answers: Answers, cells: _Cells) -> Iterator[Number]:
    """Of training code of the user's own: differences from the spec's baseline."""
    if answers.differences is None:
        return
    forms = _difference(answers.metric)
    for row in answers.differences.to_dict("records"):
        others = [axis for axis in answers.axes if axis != row["compared"]]
        first = cells.of(row, answers.axes)
        second = [
            cell
            for cell in cells.of(row, others)
            if as_text(answers.best[row["compared"]].iloc[cell]) == row["against"]
        ]
        where = {**row, "against": f"against {row['compared']} {row['against']}"}
        yield from _row(answers, where, [*answers.axes, "against"], forms, (*first, *second))


def cell_words(answers: Answers, cell: int) -> str:
    """A cell as the spec has it, such as ``snn bntt threshold 0.3``."""
    return " ".join(_where(answers.best.iloc[cell].to_dict(), answers.axes))


class _Cells:
    """Finds cells by the values of some axes."""

    def __init__(self, answers: Answers) -> None:
        self._rows = [
            {axis: plain(row[axis]) for axis in answers.axes}
            for row in answers.best.to_dict("records")
        ]

    def of(
        self,
        row: Mapping[Any, Any],
        axes: Sequence[str],
        norms: Iterable[str | None] | None = None,
        against: Mapping[Any, Any] | None = None,
    ) -> tuple[int, ...]:
        """The cells that agree with a row in these axes, and have one of these norms."""
        wanted = {axis: plain(row[axis]) for axis in axes}
        if against is not None:
            wanted[against["compared"]] = plain(against["against"])
        among = None if norms is None else set(norms)
        return tuple(
            number
            for number, cell in enumerate(self._rows)
            if all(cell[axis] == value for axis, value in wanted.items())
            and (among is None or cell["norm"] in among)
        )


def _row(
    answers: Answers,
    row: Mapping[Any, Any],
    keys: Sequence[str],
    forms: Mapping[str, _Form],
    cells: tuple[int, ...],
    prefix: str = "",
) -> Iterator[Number]:
    where = _where(row, keys)
    for column, form in forms.items():
        value = plain(row[column])
        if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
            continue
        yield Number(answers.name, where, prefix + column, value, form(value), cells)


def _where(row: Mapping[Any, Any], keys: Sequence[str]) -> tuple[str, ...]:
    named = ("architecture", "norm", "against")
    return tuple(
        as_text(row[key]) if key in named else f"{key} {as_text(row[key])}"
        for key in keys
        if not pd.isna(row[key])
    )


def _until(frame: pd.DataFrame, column: str) -> list[str]:
    return [str(name) for name in frame.columns[: frame.columns.get_loc(column)]]


def _without_norm(keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key != "norm"]
