"""MLflow's own app, asked in this process by its public API, with the headers of whoever asks.

It gives what it would give to him, and no more.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

_KEPT_HEADERS = (b"authorization", b"cookie", b"host")


class RefusedError(Exception):
    """MLflow does not let this request pass; ``response`` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class InnerMlflow:
    """Asks MLflow.

    Args:
        app: its.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(
        self, request: Request, path: str, query: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What MLflow answers to a GET of this path.

        Raises:
            RefusedError: it does not let this visitor have it.
        """
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": request.url.scheme,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(query or {}).encode(),
            "headers": [one for one in request.headers.raw if one[0] in _KEPT_HEADERS],
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
        }
        status, headers, body = await _call(self._app, scope)
        if status != 200:
            kept = {k: v for k, v in headers.items() if k in ("content-type", "www-authenticate")}
            raise RefusedError(Response(body, status, kept))
        reply: dict[str, Any] = json.loads(body)
        return reply


async def _call(app: ASGIApp, scope: Scope) -> tuple[int, dict[str, str], bytes]:
    """Make a request of an app in this process."""
    status, headers, body = 500, {}, bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update({k.decode().lower(): v.decode() for k, v in message["headers"]})
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, bytes(body)
