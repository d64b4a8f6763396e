"""The rule for names of sweeps, which also name a folder and an MLflow experiment."""

from __future__ import annotations

from orchestration.errors import InputError
from snn_norm.wording import described


def sweep_name(name: str) -> str:
    """Check a name, and return it: a folder of this name lies directly below its parent.

    Raises:
        ValueError: it breaks the rule; the message begins with "must".
    """
    if problem := _problem(name):
        raise ValueError(problem)
    return name


def check_sweep_name(name: str) -> None:
    """Raise InputError if no sweep can have this name, although an experiment may."""
    if problem := _problem(name):
        raise InputError(f"the name of a sweep {problem}")


def is_sweep_name(name: str) -> bool:
    """Whether a sweep can have this name."""
    return not _problem(name)


def _problem(name: str) -> str:
    """What is wrong with a name; empty if it is valid."""
    rules = {
        "be 1 to 128 characters long": 1 <= len(name) <= 128,
        "hold only printable characters": name.isprintable(),
        "not hold / or \\": not set(name) & set("/\\"),
        "not be . or hold ..": name != "." and ".." not in name,
        "not begin or end with a space": name == name.strip(),
    }
    broken = [rule for rule, is_kept in rules.items() if not is_kept]
    return f"must {broken[0]}, got {described(name)}" if broken else ""
