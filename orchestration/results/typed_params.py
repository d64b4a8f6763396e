"""Recorded parameters, which are texts, as columns in the types of their values. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from orchestration.model.sweep_kind import sweep_kind
from orchestration.reading.records import Records
from orchestration.record.names import params_of


def value_of(text: str) -> Any:
    """The value of a recorded parameter: a number or a truth value if it is one, else its text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float):
        return value if math.isfinite(value) else text
    return value if isinstance(value, int) and abs(value) < 2**63 else text


def typed(texts: pd.Series) -> pd.Series:
    """A column of parameters in the type of its values, or as text if they have several types.

    Integers and truth values of which some are missing get pandas' nullable types.
    """
    values = {text: value_of(text) for text in texts.dropna().unique()}
    dtype = _dtype([*values.values(), *([None] if texts.isna().any() else [])])
    return texts.astype("str") if dtype == "str" else texts.map(values).astype(dtype)


def _dtype(values: Iterable[Any]) -> Any:
    """The type of a column with these values; None is a missing one."""
    kinds = {type(value) for value in values}
    missing = type(None) in kinds
    kinds -= {type(None)}
    if kinds == {bool}:
        return "boolean" if missing else "bool"
    if kinds == {int}:
        return "Int64" if missing else "int64"
    return "float64" if kinds and kinds <= {int, float} else "str"


def typed_columns(rows: Sequence[dict[str, Any]], names: Iterable[str]) -> pd.DataFrame:
    """A spec's values, one column each, in their type, or as MLflow's text if types differ."""
    texts = [params_of(row) for row in rows]
    columns = {}
    for name in names:
        dtype = _dtype(values := [row.get(name) for row in rows])
        if dtype == "str":
            values = [text.get(name) for text in texts]
        columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def params_of_runs(records: Records, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The parameters of runs; a key that was added after a run has the value that the run had."""
    params = records.params(run_ids)
    kinds = params.reindex(columns=["train", "architecture"]).astype(object).fillna("")
    for train, architecture in kinds.drop_duplicates().itertuples(index=False):
        of_it = (kinds["train"] == train) & (kinds["architecture"] == architecture)
        given = {"train": train} if train else {"architecture": architecture}
        for name, text in params_of(sweep_kind(train or None).later_keys(given)).items():
            known = params[name] if name in params else pd.Series(None, params.index, dtype=object)
            params[name] = known.where(known.notna() | ~of_it, text)
    return params.sort_index(axis="columns")
