"""Who a visitor is, and what visitors may see and do, by MLflow's own login.

If MLflow has a login (its ``basic-auth`` app), it is asked in this process, by its public API and
with the visitor's headers: users, passwords and permissions are MLflow's, and a visitor gets no
page that MLflow would refuse them. Without a login every visitor may see everything, and only those
on this machine may act.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

_MOST_EXPERIMENTS = 1000  # a page of MLflow's search
_MAY_ACT = ("EDIT", "MANAGE")
_KEPT_HEADERS = (b"authorization", b"cookie", b"host")


class RefusedError(Exception):
    """MLflow does not let this request pass; ``response`` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class InnerMlflow:
    """Makes requests of MLflow's own app in this process, with the headers of a visitor."""

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
            "headers": [pair for pair in request.headers.raw if pair[0] in _KEPT_HEADERS],
            "client": request.scope.get("client"),
            "server": request.scope.get("server"),
        }
        status, headers, body = 500, dict[str, str](), bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.update({k.decode().lower(): v.decode() for k, v in message["headers"]})
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))

        await self._app(scope, receive, send)
        if status != 200:
            kept = {k: v for k, v in headers.items() if k in ("content-type", "www-authenticate")}
            raise RefusedError(Response(bytes(body), status, kept))
        reply: dict[str, Any] = json.loads(bytes(body))
        return reply


@dataclass(frozen=True)
class Visitor:
    """Who makes a request.

    Args:
        name: the name of the user; None without a login.
        is_admin: whether MLflow lets the visitor do everything.
        is_here: whether the request comes from this machine.
    """

    name: str | None
    is_admin: bool
    is_here: bool


class Login:
    """Asks MLflow who a visitor is, and what visitors may see and do.

    Args:
        mlflow: its app, if it has a login; None without.
    """

    def __init__(self, mlflow: InnerMlflow | None) -> None:
        self._mlflow = mlflow

    async def visitor(self, request: Request) -> Visitor:
        """The visitor who makes this request.

        Raises:
            RefusedError: the visitor has not logged in.
        """
        here = _is_loopback(request.client.host if request.client else "")
        if self._mlflow is None:
            return Visitor(None, is_admin=False, is_here=here)
        user = (await self._mlflow.ask(request, "/api/2.0/mlflow/users/current"))["user"]
        return Visitor(user["username"], is_admin=bool(user["is_admin"]), is_here=here)

    async def readable(self, request: Request) -> set[str] | None:
        """The names of the experiments that the visitor may see; None if all."""
        if self._mlflow is None:
            return None
        names: set[str] = set()
        token = ""
        while True:
            asked: dict[str, Any] = {"max_results": _MOST_EXPERIMENTS}
            if token:
                asked["page_token"] = token
            path = "/api/2.0/mlflow/experiments/search"
            reply = await self._mlflow.ask(request, path, asked)
            names |= {experiment["name"] for experiment in reply.get("experiments", ())}
            token = reply.get("next_page_token", "")
            if not token:
                return names

    async def may_read(self, request: Request, name: str) -> bool:
        """Whether the visitor may see this experiment, which need not exist."""
        if self._mlflow is None:
            return True
        try:
            path = "/api/2.0/mlflow/experiments/get-by-name"
            await self._mlflow.ask(request, path, {"experiment_name": name})
        except RefusedError:
            return False
        return True

    def variables(self, request: Request) -> dict[str, str]:
        """The visitor's name and password, as variables of MLflow's client; empty without a login.

        Commands that the visitor starts from the page have the rights of the visitor.
        """
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if self._mlflow is None or scheme.lower() != "basic":
            return {}
        name, _, password = base64.b64decode(encoded).decode().partition(":")
        return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}

    async def may_act(self, request: Request, visitor: Visitor, experiment_id: str) -> bool:
        """Whether the visitor may write to this experiment; or without a login is local."""
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
            reply = await self._mlflow.ask(request, path, asked)
        except RefusedError:
            return False
        return reply.get("permission") in _MAY_ACT


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
