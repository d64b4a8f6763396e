"""Protects forms that act: they must return the token that a page gave to the browser.

Another site can make a browser send a form here, but neither knows the token nor is the origin.
"""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

_TOKEN = "snn-sweep-token"
_LONGEST_FORM = 10_000


def token_of(request: Request) -> str:
    """The browser's token, or a new one."""
    return request.cookies.get(_TOKEN) or secrets.token_urlsafe(32)


def give_token(response: Response, token: str, path: str) -> None:
    """Let the browser keep its token, for addresses below this path."""
    response.set_cookie(_TOKEN, token, path=path, httponly=True, samesite="strict")


async def own_form(request: Request) -> dict[str, str] | None:
    """The fields of a form of our own page; None for any other form."""
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:  # it is no address
        return None
    if not origin or origin != request.headers.get("host"):
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            return None
    fields = parse_qs(body.decode("latin-1"))
    form = {name: values[0] for name, values in fields.items()}
    kept = request.cookies.get(_TOKEN, "")
    is_equal = secrets.compare_digest(form.get("token", "").encode(), kept.encode())
    return form if kept and is_equal else None
