"""Checks the keys of a spec for the user's own training code. Pure.

train: my_lab.segmentation:Run               # in place of dataset, architecture and norm
grid: [{method: [baseline, ours], depth: [18, 34]}]      # any keys
metric: {name: val_miou, goal: maximize}
baseline: {method: baseline}                 # the values that paired tests compare with
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from orchestration.model import columns
from orchestration.model.config import Config, Section, own_key, text_of
from orchestration.model.metric import Goal, Metric
from orchestration.sweep.problems import Problems
from orchestration.sweep.stopping import UntilDecided
from snn_norm.wording import described, did_you_mean


class MetricRule(Section):
    """The metric that trials of the user's own code are judged by."""

    name: Annotated[str, AfterValidator(own_key)] = Field(
        description="one of the metrics that each epoch reports"
    )
    goal: Goal = Field(description="maximize or minimize")

    def metric(self) -> Metric:
        """The metric, shown as it is."""
        return Metric(self.name, self.goal)


_LONGEST_TEXT = 6000
"""MLflow's limit on the characters of a parameter's value."""

_NOT_WITH_TRAIN = {
    "dataset": "is for networks of this package; a key of that name for your own code belongs in "
    "training, or in an entry of the grid",
    "stop_when_collapsed": "is for networks of this package: training code of your own is done "
    "when it says so",
}


def note_own(given: Mapping[str, Any], problems: Problems) -> None:
    """Note keys that cannot be combined with ``train``, and keys that need it."""
    metric = given["metric"]
    if given["train"] is None:
        for key in ("metric", "baseline"):
            if given[key]:
                problems.add((key,), "needs the key train, which names your own training code")
        margin = getattr(given["seeds"], "practically_equal", None)
        if margin is not None and margin >= 1:
            problems.add(("seeds", "practically_equal"), f"must be less than 1, got {margin:g}")
        return
    if metric is None:
        problems.add(
            ("metric",),
            "is missing: what your own training is judged by, such as "
            "{name: val_loss, goal: minimize}",
        )
    else:
        _note_alike(metric.metric(), given, problems)
    _note_texts(given["grid"], problems)
    for key, message in _NOT_WITH_TRAIN.items():
        if given[key]:
            problems.add((key,), message)
    if isinstance(given["seeds"], UntilDecided):
        _note_undecidable(given, problems)
    if given["resources"].gpu == "auto":
        problems.add(
            ("resources", "gpu"),
            "auto measures networks of this package: with train, give a fraction of a GPU (such as "
            "0.25) or a whole number",
        )


def _note_undecidable(given: Mapping[str, Any], problems: Problems) -> None:
    """Note what cannot be combined with seeds until decided."""
    if given["seeds"].method == "spending":
        problems.add(
            ("seeds", "method"),
            "spending counts a trial that fails as an accuracy of 0, and other metrics have no "
            "such value: with train, remove it",
        )
    for number, entry in enumerate(given["grid"]):
        for key in sorted(set(columns.DECISION).intersection(entry)):
            problems.add(
                ("grid", number, key),
                "is a name that the table of decisions uses: with compare, rename your key",
            )


def _note_alike(metric: Metric, given: Mapping[str, Any], problems: Problems) -> None:
    """Note keys that have the name of one of the metric's columns, as each key is a column too."""
    columns = (metric.name, metric.best_name, metric.last_name)
    keys: Iterable[str] = {key for part in (given["training"], *given["grid"]) for key in part}
    for key in sorted(set(columns) & set(keys)):
        problems.add(
            ("metric", "name"),
            f"and the key {key} would have the same name in tables: rename one of them",
        )


def note_baseline(
    baseline: Mapping[str, Any], cells: Sequence[Config], axes: Sequence[str], problems: Problems
) -> None:
    """Note keys of ``baseline`` that are no axis, and values that the axis does not have."""
    rows = [cell.given() for cell in cells]
    for axis, value in baseline.items():
        values = {json.dumps(row[axis]): row[axis] for row in rows if axis in row}
        if axis not in axes or len(values) < 2:
            problems.add(
                ("baseline", axis),
                f"must name an axis of the grid, with several values ({', '.join(axes)})"
                f"{did_you_mean(axis, axes)}",
            )
        elif json.dumps(value) not in values:
            valid = list(map(str, values.values()))
            problems.add(
                ("baseline", axis),
                f"must be a value of {axis} in the grid ({', '.join(valid)}), "
                f"got {described(value)}{did_you_mean(value, valid)}",
            )


def _note_texts(grid: Sequence[Mapping[str, Sequence[Any]]], problems: Problems) -> None:
    """Note values that MLflow cannot store, and different values with the same text in MLflow."""
    seen: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for number, entry in enumerate(grid):
        for key, values in entry.items():
            for index, value in enumerate(values):
                path = ("grid", number, key, index)
                if (length := len(text_of(value))) > _LONGEST_TEXT:
                    problems.add(
                        path,
                        f"may have at most {_LONGEST_TEXT:,} characters, got {length:,}: give a "
                        "short name that your code looks up",
                    )
                if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text_of(value)):
                    problems.add(
                        path,
                        "may hold neither the character NUL nor a lone surrogate, which MLflow "
                        f"cannot store, got {described(value)}",
                    )
                for text in (text_of(value), str(value)):
                    first = seen[key].setdefault(text, value)
                    if json.dumps(first) != json.dumps(value):
                        problems.add(
                            path,
                            f"cannot be told apart from {described(first)} in tables and in "
                            f"MLflow, got {described(value)}: remove one of them",
                        )
                        break
