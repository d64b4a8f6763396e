"""Numbers as LaTeX macros. Pure.

A macro's name consists of words: the sweep's name, then the words that identify the number's row,
then its column. A word begins with a capital, digits are spelled out, a decimal point is ``Point``,
a sign before a digit is ``Minus``: ``\\DigitsSnnBnttBest`` and
``\\DigitsSnnNoneThresholdZeroPointThreeMean`` are macros of the sweep digits. All other characters
separate words. If two numbers would have the same name, eight letters of a hash of their place
follow.
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
    """A unique name for each number, which consists of letters only, without the backslash."""
    names = [
        "".join([_word(number.sweep) or "Sweep", *map(_word, number.where), _word(number.column)])
        for number in numbers
    ]
    count = Counter(names)
    return [
        name if count[name] == 1 else name + _letters(number)
        for name, number in zip(names, numbers, strict=True)
    ]


def macros_tex(
    numbers: Sequence[Number], names: Sequence[str], origin: Callable[[Number], str]
) -> str:
    """Write one macro per line; a comment above each row names its place and its origin."""
    lines = []
    named = zip(names, numbers, strict=True)
    for (sweep, where, _), group in itertools.groupby(
        named, lambda pair: (pair[1].sweep, pair[1].where, pair[1].cells)
    ):
        members = list(group)
        lines.append(f"\n% {' '.join([sweep, *where])}: {origin(members[0][1])}")
        lines += [rf"\newcommand{{\{name}}}{{{escape_latex(of.text)}}}" for name, of in members]
    return "\n".join(lines)


def read_macros(text: str) -> dict[str, str]:
    """The macros of a file, by name; the rest of the file is ignored."""
    return dict(_MACRO.findall(text))


def _word(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(
        _DIGITS[int(token)] if token.isdigit() else _SIGNS.get(token, token[0].upper() + token[1:])
        for token in _TOKEN.findall(plain)
    )


def _letters(number: Number) -> str:
    """Eight letters that identify a number's place."""
    place = json.dumps([number.sweep, *number.where, number.column])
    digest = hashlib.sha256(place.encode()).hexdigest()[:8]
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digest)
