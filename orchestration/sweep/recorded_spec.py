"""Reads the specs that sweeps have recorded; nothing else decodes their JSON."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from orchestration.errors import SpecError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.sweep.search import MOST_SEEDS
from orchestration.sweep.spec import SweepSpec


@lru_cache(maxsize=64)  # reading and checking a large spec takes seconds
def read_spec(spec_json: str) -> SweepSpec:
    """A recorded spec, without importing the user's own code.

    Raises:
        SpecError: this version cannot read it.
    """
    return SweepSpec.from_json(spec_json)


def readable_spec(spec_json: str | None) -> SweepSpec | None:
    """A recorded spec; None if there is none that this version can read."""
    try:
        return read_spec(spec_json) if spec_json else None
    except SpecError:
        return None


def spec_fields(spec_json: str | None) -> dict[str, Any]:
    """The fields of a recorded spec as plain data, even if this version cannot read the spec.

    Empty if it is not a mapping: anybody who can write to an experiment may have recorded anything.
    """
    try:
        fields = json.loads(spec_json or "{}")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def recorded_metric(spec_json: str | None) -> Metric:
    """The metric by which a recorded spec judges trials, even if this version cannot read it."""
    try:
        rule = spec_fields(spec_json)["metric"]
        return Metric(str(rule["name"]), "minimize" if rule["goal"] == "minimize" else "maximize")
    except (KeyError, TypeError):
        return TEST_ACCURACY


def gpus_of_a_trial(spec_json: str | None) -> float:
    """How many GPUs a trial of a recorded spec takes; 0 where that is not known."""
    try:
        gpu = spec_fields(spec_json)["resources"]["gpu"]
        gpus = 1.0 if gpu == "auto" else float(gpu)
    except (KeyError, TypeError, ValueError, OverflowError):  # of another version
        return 0.0
    return gpus if math.isfinite(gpus) else 0.0


def search_seeds(spec_json: str | None) -> range:
    """The seeds of the trials that a recorded spec's search tries; it looks at no test set."""
    try:
        return range(min(int(spec_fields(spec_json)["search"]["seeds"]), MOST_SEEDS))
    except (KeyError, TypeError, ValueError, OverflowError):  # no search, or of another version
        return range(0)
