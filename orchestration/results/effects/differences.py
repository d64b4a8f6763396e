"""Compares cells with each other, paired by seed. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from orchestration.model.columns import PAIR
from orchestration.model.metric import Metric
from orchestration.record.names import params_of
from orchestration.results.columns import SELECTED_ON
from orchestration.results.statistics import Floats, holm, paired_differences


def paired_rows(
    seeds: pd.DataFrame,
    axes: Sequence[str],
    axis: str,
    column: str,
    metric: Metric,
    baseline: Any = None,
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Compare values of an axis in each setting of the others, paired by seed.

    Args:
        seeds: one row per trial, from ``Results.by_seed``, in the order of the cells.
        axes: the columns that distinguish cells.
        baseline: the value with which every other one is compared; None compares every pair.

    Yields:
        The two values, and a row with the other axes, ``difference``, ``ci_low``, ``ci_high``
        (with the metric's names and units for differences), ``n_pairs``, ``t``, ``p``,
        ``selected_on``.
    """
    setting = [name for name in axes if name != axis]
    groups = seeds.groupby(setting, dropna=False, sort=False) if setting else [((), seeds)]
    for values, group in groups:
        known = group[group[column].notna()]
        by_value = {
            value: known[known[axis] == value].set_index("seed")[column].sort_index()
            for value in group[axis].dropna().unique()
        }
        pairs = itertools.combinations(by_value, 2)
        for against, value in pairs if baseline is None else _with(baseline, by_value):
            common = by_value[value].index.intersection(by_value[against].index)
            first, second = (
                by_value[side].loc[common].to_numpy(float) for side in (value, against)
            )
            row = dict(zip(setting, values, strict=True)) | paired_test(first, second, metric)
            yield value, against, {**row, SELECTED_ON: group[SELECTED_ON].iloc[0]}


def paired_test(first: Floats, second: Floats, metric: Metric) -> dict[str, Any]:
    """A row with a test of paired values: the difference, its interval, ``n_pairs``, ``t``, ``p``.

    Args:
        first, second: values of the metric, of the same seeds in the same order.
    """
    test = paired_differences(first, second)
    names = ("difference", "ci_low", "ci_high")
    scaled = {metric.difference(name): metric.scale * test.pop(name) for name in names}
    return {**scaled, "n_pairs": len(first), **test}


def _with(baseline: Any, values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return [(baseline, value) for value in values if value != baseline and baseline in values]


def differences_from(
    baseline: Mapping[str, Any],
    seeds: pd.DataFrame,
    axes: Sequence[str],
    column: str,
    metric: Metric,
) -> pd.DataFrame:
    """Compare each value of an axis with the value that a spec's ``baseline`` gives for it.

    Args:
        seeds, axes: see :func:`paired_rows`.

    Returns:
        One row per pair. ``docs/results.md`` has the columns.
    """
    rows: list[dict[str, Any]] = []
    for axis, value in baseline.items():
        # A column whose values differ in type holds MLflow's texts.
        is_text = pd.api.types.is_string_dtype(seeds[axis])
        standard = params_of({axis: value})[axis] if is_text else value
        for first, _, row in paired_rows(seeds, axes, axis, column, metric, standard):
            against = params_of({axis: value})[axis]
            rows.append({axis: first, "compared": axis, "against": against, **row})
    table = pd.DataFrame(rows, columns=[*axes, *PAIR])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    return table
