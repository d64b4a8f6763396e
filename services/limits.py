"""The limits of each user of a cluster, in a file that its keeper writes.

    default: {running: 4, gpu_hours: 100}    # of everybody who is not named, or has no login
    alice: {gpu_hours: 1000}                 # everything else is as in default

``SNN_SWEEP_LIMITS`` names the file where drivers run.
"""

from __future__ import annotations

from typing import Annotated

import pydantic
import yaml
from pydantic import Field

from services.settings import Settings, SettingsError


class Limits(pydantic.BaseModel, extra="forbid", frozen=True):
    """The limits of one user; None is no limit."""

    running: Annotated[int, Field(ge=1)] | None = None
    """The trials that run at once, of all sweeps of this user."""
    gpu_hours: Annotated[float, Field(ge=0)] | None = None
    """The GPU hours of all sweeps of this user that are on record."""


_Users = pydantic.TypeAdapter(dict[str, Limits])


def limits_of(settings: Settings) -> Limits:
    """The limits of the user who has logged in.

    Raises:
        SettingsError: the file is missing or wrong.
    """
    if settings.limits is None:
        return Limits()
    try:
        users = _Users.validate_python(yaml.safe_load(settings.limits.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            f"SNN_SWEEP_LIMITS names {str(settings.limits)!r}, which cannot be used: {error}. "
            "Valid: a YAML file of users, such as `default: {running: 4, gpu_hours: 100}`"
        ) from None
    given = [users[name] for name in ("default", settings.user) if name in users]
    return Limits(
        **{k: v for limits in given for k, v in limits.model_dump(exclude_unset=True).items()}
    )
