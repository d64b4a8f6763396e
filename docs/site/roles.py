"""Shows the roles of Sphinx in docstrings, such as :class:`LIF`, as code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":\w+:`([^`]+)`")


class Roles(Extension):
    """What mkdocstrings calls for each object that it has read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Take the roles out of a docstring."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
