"""Homes of the project's own files, for tests."""

from __future__ import annotations

from pathlib import Path

from services.settings import Settings


def settings_in(home: Path, **variables: str) -> Settings:
    """Settings of a home, whatever the environment of the tests says."""
    return Settings.from_environment({"SNN_SWEEP_HOME": str(home), **variables})
