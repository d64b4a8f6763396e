"""Messages about a sweep that does not exist: renamed in MLflow, or misspelt."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.errors import UnknownSweepError
from snn_norm.wording import did_you_mean


def renamed_sweep(name: str, known: Mapping[str, str]) -> str | None:
    """The message about a sweep whose experiment was renamed in MLflow; None if it was not.

    Args:
        name: the name that was given.
        known: the current names of all sweeps, each with the one under which it was recorded.
    """
    now = [present for present, recorded in known.items() if recorded == name != present]
    if name in known or not now:
        return None
    return (
        f"sweep {name!r} was renamed to {now[0]!r} in MLflow: call it that, in its spec too, "
        "or rename the experiment back there"
    )


def unknown_sweep(name: str, known: Mapping[str, str]) -> UnknownSweepError:
    """The error for a sweep that does not exist: it was renamed, or these are the valid names.

    Args:
        name: the name that was given.
        known: the current names of all sweeps, each with the one under which it was recorded.
    """
    if renamed := renamed_sweep(name, known):
        return UnknownSweepError(renamed)
    if not known:
        return UnknownSweepError(
            f"no sweep is named {name!r}: nothing has been recorded here yet. "
            "Start one with `snn-sweep run SPEC`, or name another tracking server with "
            "MLFLOW_TRACKING_URI"
        )
    names = sorted(known)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    nearest = did_you_mean(name, names)
    return UnknownSweepError(f"no sweep is named {name!r}; known are {listed}{nearest}")
