"""Which recorded trial belongs to which cell of the grid. Pure.

A cell is a configuration without its seed. Recorded trials are matched to the spec by their
configuration, never by importing the user's modules, so a spec can be answered on a machine that
lacks them. An experiment without a spec gets the cells that its trials have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestration.sources import Records
from snn_norm.config import RunConfig

if TYPE_CHECKING:
    from orchestration.spec import SweepSpec

__all__ = ["Cells", "assign_cells", "param_text", "typed", "without_doubles"]

Text = tuple[str | None, ...]


@dataclass(frozen=True)
class Cells:
    """The cells of a sweep, and the trials in them.

    Args:
        axes: names of the columns that tell cells apart.
        table: a cell a row, index its number: a column an axis, and ``n_expected`` (seeds).
        of_trial: the number of each trial's cell by run id; missing where it is in none.
    """

    axes: list[str]
    table: pd.DataFrame
    of_trial: pd.Series


def param_text(value: Any) -> str:
    """Give a parameter's value as MLflow holds it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    """Read a parameter back: a number or a truth value where it is one, else its text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float):
        return value if math.isfinite(value) else text
    return value if isinstance(value, int) and abs(value) < 2**63 else text


def typed(texts: pd.Series) -> pd.Series:
    """Give a column of parameters the type that all its values have; text where they differ.

    Integers and truth values with some missing get pandas' nullable types.
    """
    present = texts.dropna()
    values = {text: _value(text) for text in present.unique()}
    kinds = {type(value) for value in values.values()}
    missing = len(present) < len(texts)
    if kinds == {bool}:
        return texts.map(values).astype("boolean" if missing else "bool")
    if kinds == {int}:
        return texts.map(values).astype("Int64" if missing else "int64")
    if kinds and kinds <= {int, float}:
        return texts.map(values).astype("float64")
    return texts.astype("str")


def without_doubles(records: Records) -> Records:
    """Keep one run a trial, the one that finished first: an old client may have run one twice.

    A run without a key is the trial that has its configuration.
    """
    runs, params = records.runs, records.params
    config = pd.Series(0, runs.index)
    if len(params.columns):
        config = params.groupby(list(params.columns), dropna=False).ngroup()
    known = runs["trial_key"].groupby(config).transform("first")
    key = runs["trial_key"].fillna(known).fillna("configuration " + config.astype("str"))
    # The index is sorted by run id, which thus decides between equal times.
    order = runs.assign(trial=key).sort_values(
        ["finished", "started"], na_position="last", kind="stable"
    )
    kept = order.drop_duplicates("trial").index.sort_values()
    return replace(
        records,
        runs=runs.assign(trial_key=runs["trial_key"].fillna(known)).loc[kept],
        params=params.loc[kept],
        metrics=records.metrics.loc[kept],
    )


def assign_cells(records: Records, spec: SweepSpec | None) -> Cells:
    """Put each recorded trial in its cell.

    Of several trials of one configuration only those of the newest key are in a cell: the code of
    a user's module changed between them, and the newest is what the spec now means.
    """
    cells = _from_trials(records) if spec is None else _from_spec(records, spec)
    return Cells(cells.axes, cells.table, _without_outdated(records, cells.of_trial))


def _from_spec(records: Records, spec: SweepSpec) -> Cells:
    names = sorted(set(RunConfig.model_fields) - {"seed"})
    axes = list(spec.axes())
    wanted = [cell.given() for cell in spec.cells()]
    numbers = {
        tuple(param_text(cell[name]) if name in cell else None for name in names): number
        for number, cell in enumerate(wanted)
    }
    seeds = {param_text(seed) for seed in spec.seeds}
    recorded = zip(_texts(records, "seed"), _configs(records, names), strict=True)
    found = [numbers.get(config) if seed in seeds else None for seed, config in recorded]
    table = pd.DataFrame(
        {axis: _axis_column([cell.get(axis) for cell in wanted]) for axis in axes},
        index=pd.RangeIndex(len(wanted)),
    )
    table["n_expected"] = len(seeds)
    return Cells(axes, table, pd.Series(found, records.runs.index, dtype="Int64"))


def _axis_column(values: Sequence[Any]) -> pd.Series:
    texts = [None if value is None else param_text(value) for value in values]
    return typed(pd.Series(texts, dtype="str"))


def _from_trials(records: Records) -> Cells:
    """Cells of an experiment without a spec: as many as differ, each expecting every seed."""
    params = records.params.drop(columns="seed", errors="ignore")
    varying = [str(name) for name in params if params[name].nunique(dropna=False) > 1]
    # Architecture and norm tell a cell what it is, also where they do not vary.
    leading = [name for name in ("architecture", "norm") if name in params]
    axes = leading + [name for name in varying if name not in leading]
    values = pd.DataFrame({name: typed(params[name]) for name in axes}, index=params.index)
    if not axes:
        number = pd.Series(0, records.runs.index, dtype="Int64")
        table = pd.DataFrame(index=pd.RangeIndex(min(len(params), 1)))
    else:
        number = values.groupby(axes, dropna=False, sort=True).ngroup().astype("Int64")
        first = number.drop_duplicates().sort_values()
        table = values.loc[first.index].set_axis(pd.RangeIndex(len(first)))
    table["n_expected"] = len(set(_texts(records, "seed")))
    return Cells(axes, table, number)


def _without_outdated(records: Records, of_trial: pd.Series) -> pd.Series:
    trials = records.runs.assign(cell=of_trial)
    trials["seed"] = _texts(records, "seed")
    trials = trials[trials["cell"].notna() & trials["trial_key"].notna()]
    trials = trials.sort_values(["finished", "trial_key"], na_position="first")
    newest = trials.groupby(["cell", "seed"], dropna=False)["trial_key"].transform("last")
    outdated = trials.index[trials["trial_key"] != newest]
    return of_trial.mask(of_trial.index.isin(outdated))


def _configs(records: Records, names: Sequence[str]) -> list[Text]:
    """Each trial's configuration without its seed, in the order of ``names``."""
    columns = [_texts(records, name) for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * len(records.runs)


def _texts(records: Records, name: str) -> list[str | None]:
    if name not in records.params:
        return [None] * len(records.runs)
    column = records.params[name]
    return column.astype(object).where(column.notna(), None).tolist()
