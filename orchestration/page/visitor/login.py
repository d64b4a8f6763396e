"""The visitor of a page, and what he may see and do, by MLflow's own login.

Where MLflow has a login (its ``basic-auth`` app), it is asked in the same process, by its public
API and with the headers of whoever asks: users, passwords and permissions are its own, and no page
is given that it would not give. Without a login everybody may look, and this machine alone may act.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from orchestration.page.visitor.inner_mlflow import InnerMlflow, RefusedError

_MOST_EXPERIMENTS = 1000  # a page of MLflow's search
_MAY_ACT = ("EDIT", "MANAGE")


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

    def __init__(self, mlflow: InnerMlflow | None) -> None:
        self._mlflow = mlflow

    async def visitor(self, request: Request) -> Visitor:
        """Who asks.

        Raises:
            RefusedError: he has not logged in.
        """
        here = _is_loopback(request.client.host if request.client else "")
        if self._mlflow is None:
            return Visitor(None, is_admin=False, is_here=here)
        user = (await self._mlflow.ask(request, "/api/2.0/mlflow/users/current"))["user"]
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
            reply = await self._mlflow.ask(request, path, asked)
        except RefusedError:
            return False
        return reply.get("permission") in _MAY_ACT


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
