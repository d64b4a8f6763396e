"""Whose a sweep is on a tracking server with a login, and calls that it may refuse to others."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import stamina
from mlflow.exceptions import MlflowException

from orchestration.errors import InputError
from orchestration.record.client import is_refusal
from orchestration.record.names import OWNER_TAG
from services.settings import Settings

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _Owned(Protocol):
    def not_yours(self) -> InputError:
        """The error for what the tracking server does not let this user have."""


_Sweep = TypeVar("_Sweep", bound=_Owned)


def insist(
    call: Callable[Concatenate[_Sweep, _P], _T],
) -> Callable[Concatenate[_Sweep, _P], _T]:
    """Repeat a method that fails, which checks what exists before it creates anything.

    Raises:
        InputError: the tracking server does not let this user have the sweep.
    """
    insisting = stamina.retry(on=_may_pass, attempts=10, timeout=60.0, wait_max=10.0)(call)

    @functools.wraps(call)
    def repeat(owned: _Sweep, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return insisting(owned, *args, **kwargs)
        except MlflowException as error:
            if error.error_code == "PERMISSION_DENIED":
                raise owned.not_yours() from error
            raise

    return repeat


def _may_pass(error: Exception) -> bool:
    return isinstance(error, MlflowException) and not is_refusal(error)


def owner_tag() -> dict[str, str]:
    """The tag with this user's name on the tracking server; empty without a login."""
    user = Settings.from_environment().user
    return {OWNER_TAG: user} if user else {}


def not_yours(sweep: str, owner: str) -> InputError:
    """The error for a sweep that the tracking server does not let this user have.

    Args:
        owner: the user who has begun it; empty if that is not known.
    """
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "this user")
    return InputError(
        f"sweep {sweep!r} belongs to {owner or 'another user'}, and the tracking server does not "
        f"let {user} have it: give your sweep another name, or ask {owner or 'its owner'} or the "
        "server's admin for the permission EDIT on the experiment of this name"
    )
