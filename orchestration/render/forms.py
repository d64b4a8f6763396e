"""The forms that answers can be written in; light, for commands that only name them."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["table", "json", "csv", "latex", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)
