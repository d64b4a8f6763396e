"""What to say of a sweep that is asked for and not there: renamed in MLflow, or misspelt."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.errors import UnknownSweepError
from snn_norm.wording import did_you_mean


def renamed_sweep(name: str, known: Mapping[str, str]) -> str | None:
    """What to say of a sweep whose experiment was renamed in MLflow; None where it was not.

    Args:
        name: what was asked for.
        known: the sweeps' names, each with the one that it was recorded under.
    """
    now = [present for present, recorded in known.items() if recorded == name != present]
    if name in known or not now:
        return None
    return (
        f"sweep {name!r} was renamed to {now[0]!r} in MLflow: call it that, in its spec too, "
        "or rename the experiment back there"
    )


def unknown_sweep(name: str, known: Mapping[str, str]) -> UnknownSweepError:
    """The error for a sweep that is not there: what became of it, which ones are, the nearest.

    Args:
        name: what was asked for.
        known: the sweeps' names, each with the one that it was recorded under.
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
