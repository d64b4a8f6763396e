"""Numbers as LaTeX macros. Pure.

A macro's name is made of words: the sweep's name, then what tells the number's row apart, then its
column. Letters keep, a word begins with a capital, digits are spelled out, a decimal point is
``Point``, a sign before a digit ``Minus``: of the sweep digits, ``\\DigitsSnnBnttBest`` or
``\\DigitsSnnNoneThresholdZeroPointThreeMean``. Whatever else there is separates words. Should two
numbers get one name, each of them ends in eight letters of a hash of its place.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from orchestration.render.latex import escape_latex
from orchestration.tables.numbers import Number

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_TOKEN = re.compile(r"[A-Za-z]+|[0-9]|\.(?=[0-9])|(?<![A-Za-z0-9])-(?=[0-9])")
_SIGNS = {".": "Point", "-": "Minus"}
_MACRO = re.compile(r"^\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}$", re.MULTILINE)


def macro_names(numbers: Sequence[Number]) -> list[str]:
    """Give each number a name that no other has, of letters alone, without the backslash."""
    names = [
        "".join([_word(one.sweep) or "Sweep", *map(_word, one.where), _word(one.column)])
        for one in numbers
    ]
    count = Counter(names)
    return [
        name if count[name] == 1 else name + _letters(one)
        for name, one in zip(names, numbers, strict=True)
    ]


def macros_tex(
    numbers: Sequence[Number], names: Sequence[str], origin: Callable[[Number], str]
) -> str:
    """Write the numbers, a macro a line; above those of a row its place and its origin.

    Args:
        numbers: in order.
        names: theirs.
        origin: what a number comes from, in words.
    """
    lines = []
    named = zip(names, numbers, strict=True)
    for (sweep, where, _), group in itertools.groupby(
        named, lambda pair: (pair[1].sweep, pair[1].where, pair[1].cells)
    ):
        members = list(group)
        lines.append(f"\n% {' '.join([sweep, *where])}: {origin(members[0][1])}")
        lines += [rf"\newcommand{{\{name}}}{{{escape_latex(one.text)}}}" for name, one in members]
    return "\n".join(lines)


def read_macros(text: str) -> dict[str, str]:
    """The macros of a file, by name; what stands in it besides is passed over."""
    return dict(_MACRO.findall(text))


def _word(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(
        _DIGITS[int(token)] if token.isdigit() else _SIGNS.get(token, token[0].upper() + token[1:])
        for token in _TOKEN.findall(plain)
    )


def _letters(number: Number) -> str:
    """Eight letters that stand for a number's place."""
    place = json.dumps([number.sweep, *number.where, number.column])
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digest)
