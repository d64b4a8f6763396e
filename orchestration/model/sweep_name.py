"""The rule for the name of a sweep, which is also a folder's and an MLflow experiment's."""

from __future__ import annotations

from orchestration.errors import InputError
from snn_norm.wording import described


def sweep_name(name: str) -> str:
    """Check a name, and give it back: a folder of this name lies directly below its parent.

    Raises:
        ValueError: it breaks the rule; the message begins with "must".
    """
    if broken := _broken(name):
        raise ValueError(broken)
    return name


def check_sweep_name(name: str) -> None:
    """Raise InputError where no sweep can have this name, although an experiment may."""
    if broken := _broken(name):
        raise InputError(f"the name of a sweep {broken}")


def is_sweep_name(name: str) -> bool:
    """Whether a sweep can have this name."""
    return not _broken(name)


def _broken(name: str) -> str:
    """What is wrong with a name; empty where nothing is."""
    rules = {
        "be 1 to 128 characters long": 1 <= len(name) <= 128,
        "hold printable characters alone": name.isprintable(),
        "not hold / or \\": not set(name) & set("/\\"),
        "not be . or hold ..": name != "." and ".." not in name,
        "not begin or end with a space": name == name.strip(),
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    return f"must {broken[0]}, got {described(name)}" if broken else ""
