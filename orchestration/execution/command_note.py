"""Notes how a sweep was run on this machine, beside its log, so that its page can run it again.

A note holds no secrets: passwords and tokens stay in the environment of the command.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from orchestration.execution.local_sweeps import log_path
from orchestration.progress.events import Event, EventHandler, Planned
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings


@dataclass(frozen=True)
class CommandNote:
    """How ``snn-sweep run`` was called.

    Args:
        spec: the whole spec, as canonical JSON.
        folder: the current folder, which holds the user's own modules.
        environment: the settings, as environment variables.
    """

    spec: str
    folder: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings, name: str) -> Self | None:
        """The note of the last run of a sweep from this machine; None if there is none."""
        try:
            return cls(**json.loads(_path(settings, name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def note_command(settings: Settings, spec: SweepSpec) -> EventHandler:
    """A handler that writes the note once the sweep is planned: a refused sweep leaves none."""

    def handle(event: Event) -> None:
        if isinstance(event, Planned):
            _write(settings, spec)

    return handle


def _write(settings: Settings, spec: SweepSpec) -> None:
    environment = {
        "SNN_SWEEP_STORAGE": settings.storage,
        "SNN_SWEEP_DATA": str(settings.data),
        "RAY_ADDRESS": settings.ray_address,
        "MLFLOW_TRACKING_URI": _without_user(settings.tracking_uri),
    }
    given = {name: value for name, value in environment.items() if value is not None}
    note = CommandNote(spec.to_json(), str(Path.cwd()), given)
    path = _path(settings, spec.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(note)), encoding="utf-8")
    except OSError as error:
        warnings.warn(f"the command of the sweep could not be noted: {error}", stacklevel=2)


def _path(settings: Settings, name: str) -> Path:
    return log_path(settings, name).with_name("command.json")


def _without_user(uri: str | None) -> str | None:
    if uri is None:
        return None
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
