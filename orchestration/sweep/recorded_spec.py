"""Reads the specs that sweeps have recorded; nothing else decodes their JSON."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from orchestration.errors import SpecError
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
