"""Answers a failed artifact upload with the cause of the failure; MLflow answers only "500"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_INSUFFICIENT_STORAGE = 507
"""MLflow's client does not retry an upload after this HTTP status, so it shows the error's text."""


class ArtifactErrors:
    """ASGI middleware that answers a failed upload with the system's error, without paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if the artifact store cannot be written to."""
        if scope["type"] != "http" or scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        has_more = True

        async def receive_part() -> Message:
            nonlocal has_more
            message = await receive()
            has_more = message.get("more_body", False)
            return message

        try:
            await self._app(scope, receive_part, send)
        except OSError as error:
            from starlette.responses import PlainTextResponse

            if error.strerror is None or "/mlflow-artifacts/" not in scope["path"]:
                raise
            while has_more:  # a client that is still sending would miss the answer
                await receive_part()
            answer = PlainTextResponse(error.strerror, _INSUFFICIENT_STORAGE)
            await answer(scope, receive, send)
