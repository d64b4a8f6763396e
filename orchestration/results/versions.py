"""Compares trials of one sweep by two versions of the code, paired by seed.

A sweep that was run again with ``--fresh`` has both: the runs that count, and the replaced ones.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY
from orchestration.reading.records import Records
from orchestration.record.machine import COMMIT_TAG
from orchestration.record.names import BEST_TEST_ACCURACY, VERSION_TAG
from orchestration.results.cells import assign_cells, without_doubles
from orchestration.results.columns import SELECTED_ON
from orchestration.results.effects.differences import paired_test
from orchestration.results.frames import seeds_of
from orchestration.results.spec_cells import SpecCells
from orchestration.results.statistics import holm

_SHORTEST_COMMIT = 7
"""The fewest characters of a commit that identify it."""


def compare_versions(
    records: Records, spec: SpecCells | None, first: str, second: str
) -> pd.DataFrame:
    """Compare the trials of two versions, paired by seed.

    Args:
        records: the sweep's finished runs, including those that were replaced.
        first, second: versions of this package, or beginnings of commits, from the runs' tags.

    Returns:
        One row per cell that both have. ``docs/publishing.md`` has the columns.

    Raises:
        InputError: a version has no runs, or a run belongs to both.
    """
    runs = [_runs_of(records, version) for version in (first, second)]
    if both := sorted(runs[0] & runs[1]):
        raise InputError(
            f"{len(both)} runs are of {first!r} and of {second!r}, such as {both[0]}: a commit and "
            "its version are no two; name both by their commits"
        )
    sides = [_side(records, spec, side) for side in runs]
    axes = sides[0][0]
    a, b = (table[table[BEST_TEST_ACCURACY].notna()] for _, table in sides)
    paired = a.merge(b, on=["cell", "seed"], suffixes=("", "_b"))
    cells = sides[0][1].drop_duplicates("cell").set_index("cell")[axes]
    rows: list[dict[str, Any]] = []
    for cell, pairs in paired.groupby("cell"):
        first_values = pairs[BEST_TEST_ACCURACY].to_numpy(float)
        second_values = pairs[f"{BEST_TEST_ACCURACY}_b"].to_numpy(float)
        rows.append(
            {
                **{str(axis): value for axis, value in cells.loc[cell].items()},
                "mean_a": first_values.mean(),
                "mean_b": second_values.mean(),
                **paired_test(first_values, second_values, TEST_ACCURACY),
                "n_equal": int((first_values == second_values).sum()),
                SELECTED_ON: pairs[SELECTED_ON].iloc[0],
            }
        )
    columns = ["mean_a", "mean_b", "difference_pp", "ci_low_pp", "ci_high_pp", "n_pairs", "n_equal"]
    table = pd.DataFrame(rows, columns=[*axes, *columns, "t", "p", SELECTED_ON])
    table.insert(len(table.columns) - 1, "p_holm", holm(table["p"].to_numpy(float)))
    return table


def _runs_of(records: Records, version: str) -> set[str]:
    tags_of: dict[str, dict[str, str]] = defaultdict(dict)
    known = set(records.runs.index)
    for run_id, tag, value in records.tag_rows([VERSION_TAG, COMMIT_TAG]):
        if run_id in known:
            tags_of[run_id][tag] = value
    of_version = {
        run_id
        for run_id, tags in tags_of.items()
        if tags.get(VERSION_TAG) == version
        or (len(version) >= _SHORTEST_COMMIT and tags.get(COMMIT_TAG, "").startswith(version))
    }
    if of_version:
        return of_version
    counts = Counter(
        f"{tags.get(VERSION_TAG, 'unknown')}, commit {tags.get(COMMIT_TAG, 'unknown')[:12]}"
        for tags in tags_of.values()
    )
    there = "; ".join(f"{what} ({count} runs)" for what, count in sorted(counts.items()))
    raise InputError(
        f"no finished run is of version {version!r}; there are: {there or 'none'}. Trials are run "
        "by this version beside those of an earlier one with: snn-sweep run SPEC --fresh"
    )


def _side(
    records: Records, spec: SpecCells | None, run_ids: set[str]
) -> tuple[list[str], pd.DataFrame]:
    """The axes, and one row per trial that is in a cell."""
    kept = [run_id for run_id in records.runs.index if run_id in run_ids]
    part = dataclasses.replace(
        records, runs=records.runs.loc[kept], metrics=records.metrics.loc[kept]
    )
    part = without_doubles(part)
    cells = assign_cells(part, spec)
    return cells.axes, seeds_of(part, cells)
