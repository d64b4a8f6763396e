"""Checks of a spec's single values; each error states the rule and the value. Pure."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationInfo

from orchestration.model.sweep_kind import NETWORKS, SweepKind
from snn_norm.wording import described


def single(value: Any, info: ValidationInfo) -> Any:
    """Check a value of the grid or of training; with the user's own code it may be a list."""
    if isinstance(value, int) and abs(value) >= 2**63:  # tables have columns of 64 bits
        raise ValueError(f"must be a whole number of at most 64 bits, got {described(value)}")
    return _plain(value, own=kind_of(info).has_list_values)


def _plain(value: Any, *, own: bool) -> Any:
    if own and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be a finite number, or a text such as {str(value)!r}")  # JSON's
    if isinstance(value, str | int | float | bool):
        return value
    if own and isinstance(value, list | tuple):
        return tuple(_plain(item, own=own) for item in value)
    a_list = ", or a list of such" if own else ""
    raise ValueError(f"must be a single value{a_list}, got {described(value)}")


def kind_of(info: ValidationInfo) -> SweepKind:
    """The kind of the sweep whose spec is checked."""
    kind: SweepKind = info.context["kind"] if info.context else NETWORKS
    return kind


def listed(value: Any) -> tuple[Any, ...]:
    """A list as a tuple; a single value as a tuple of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def seed_list(value: Any) -> tuple[Any, ...]:
    """Check that seeds are a list, or one number."""
    if isinstance(value, str):
        raise ValueError(
            f"must be a list of whole numbers, or {{until: decided, …}}, got {described(value)}"
        )
    return listed(value)


def gpus(gpu: Any) -> float | str:
    """Check how many GPUs a trial reserves: a fraction of one, a whole number, or auto."""
    if gpu == "auto":
        return "auto"
    is_number = isinstance(gpu, int | float) and not isinstance(gpu, bool) and math.isfinite(gpu)
    if is_number and (0 <= gpu < 1 or gpu == int(gpu) > 0):
        return float(gpu)
    raise ValueError(
        f"must be a fraction of a GPU (such as 0.25), a whole number, or auto, got {described(gpu)}"
    )
