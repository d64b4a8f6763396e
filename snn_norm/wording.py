"""Messages about wrong values: the rule, the value that was given, and the valid ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def did_you_mean(got: object, valid: Iterable[str]) -> str:
    """The end of a message about an invalid name: the most similar valid one, if there is any."""
    near = difflib.get_close_matches(str(got)[:80].lower(), list(valid), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def not_among(known: Iterable[str], got: object) -> str:
    """The message about an unknown name: the known ones, and the most similar of them."""
    names = list(known)
    return f"must be one of {', '.join(names)}, got {got!r}{did_you_mean(got, names)}"


def described(value: object) -> str:
    """Describe a given value in the terms of YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python converts to text
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def in_words(error: ErrorDetails, description: str | None = None) -> str:
    """Rewrite pydantic's error about one value in this project's words.

    Args:
        error: one of ``ValidationError.errors()``.
        description: a description of the field, for the message that it is missing.
    """
    context = error.get("ctx", {})
    got = described(error["input"])
    match error["type"]:
        case "missing":
            return f"is missing: {description}" if description else "is missing"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            valid = _literals(context["expected"])
            hint = did_you_mean(error["input"], valid)
            return f"must be one of {', '.join(valid)}, got {got}{hint}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal" as kind:
            symbol = {"greater_than": "gt", "less_than": "lt"}.get(kind, kind[0] + "e")
            bound = context[symbol]
            bound = f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
            return f"must be {BOUNDS_IN_WORDS[symbol]} {bound}, got {got}"
        case "too_short":
            return f"must hold at least one value, got {got}"
        case kind:
            return f"must be {_KINDS.get(kind, 'valid: ' + error['msg'])}, got {got}"


def all_in_words(error: ValidationError) -> str:
    """Rewrite all of pydantic's errors, each with the place of its value."""
    problems = []
    for problem in error.errors(include_url=False):
        place = ".".join(map(str, problem["loc"]))
        problems.append(f"{place} {in_words(problem)}".strip())
    return "; ".join(problems)


BOUNDS_IN_WORDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
"""The words for bounds, by pydantic's names."""

_KINDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping of keys to values",
    "string_type": "text",
    "tuple_type": "a list",
}


def _literals(expected: str) -> list[str]:
    """Split a text such as ``'adam', 'adamw' or 'sgd'``, in which pydantic lists a Literal."""
    return [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
