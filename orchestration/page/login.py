"""Who asks, and what he may see and do, as MLflow itself has it.

Where MLflow has a login (its ``basic-auth`` app), it is asked in the same process, by its public
API and with the headers of whoever asks: users, passwords and permissions are its own, and no page
is given that it would not give. Without a login everybody may look, and this machine alone may act.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

__all__ = ["Login", "RefusedError", "Visitor"]

_KEPT_HEADERS = (b"authorization", b"cookie", b"host")
_MOST_EXPERIMENTS = 1000  # a page of MLflow's search
_MAY_ACT = ("EDIT", "MANAGE")


class RefusedError(Exception):
    """MLflow does not let this request pass; ``response`` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Args:
        name: None without a login.
        is_admin: whether MLflow lets him do everything.
        is_here: whether he sits at this machine.
    """

    name: str | None
    is_admin: bool
    is_here: bool


class Login:
    """Asks MLflow.

    Args:
        mlflow: its app, if it has a login; None without.
    """

    def __init__(self, mlflow: ASGIApp | None) -> None:
        self._mlflow = mlflow

    async def visitor(self, request: Request) -> Visitor:
        """Who asks.

        Raises:
            RefusedError: he has not logged in.
        """
        here = _is_loopback(request.client.host if request.client else "")
        if self._mlflow is None:
            return Visitor(None, is_admin=False, is_here=here)
        user = (await self._ask(request, "GET", "/api/2.0/mlflow/users/current"))["user"]
        return Visitor(user["username"], is_admin=bool(user["is_admin"]), is_here=here)

    async def readable(self, request: Request) -> set[str] | None:
        """The names of the experiments that he may see; None if all."""
        if self._mlflow is None:
            return None
        names: set[str] = set()
        token = ""
        while True:
            asked: dict[str, Any] = {"max_results": _MOST_EXPERIMENTS}
            if token:
                asked["page_token"] = token
            path = "/api/2.0/mlflow/experiments/search"
            reply = await self._ask(request, "GET", path, asked)
            names |= {one["name"] for one in reply.get("experiments", ())}
            token = reply.get("next_page_token", "")
            if not token:
                return names

    async def may_read(self, request: Request, name: str) -> bool:
        """Whether he may see this experiment; it need not be there."""
        if self._mlflow is None:
            return True
        try:
            path = "/api/2.0/mlflow/experiments/get-by-name"
            await self._ask(request, "GET", path, {"experiment_name": name})
        except RefusedError:
            return False
        return True

    async def may_act(self, request: Request, visitor: Visitor, experiment_id: str) -> bool:
        """Whether he may stop this experiment's sweep: who may write to it, or sits here."""
        if self._mlflow is None:
            return visitor.is_here
        if visitor.is_admin:
            return True
        asked = {
            "username": visitor.name,
            "resource_type": "experiment",
            "resource_id": experiment_id,
        }
        try:
            path = "/api/3.0/mlflow/users/permissions/get"
            reply = await self._ask(request, "GET", path, asked)
        except RefusedError:
            return False
        return reply.get("permission") in _MAY_ACT

    async def _ask(
        self, request: Request, method: str, path: str, query: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        assert self._mlflow is not None
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": request.url.scheme,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(query or {}).encode(),
            "headers": [one for one in request.headers.raw if one[0] in _KEPT_HEADERS],
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
        }
        status, headers, body = await _call(self._mlflow, scope)
        if status != 200:
            kept = {k: v for k, v in headers.items() if k in ("content-type", "www-authenticate")}
            raise RefusedError(Response(body, status, kept))
        found: dict[str, Any] = json.loads(body)
        return found


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
