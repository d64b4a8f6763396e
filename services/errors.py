"""The errors of services; wrong settings raise ``services.settings.SettingsError``."""

from __future__ import annotations


class ServiceError(Exception):
    """A service cannot be reached or started; the message says what to do."""


class BackupError(Exception):
    """A backup cannot be made or restored as it was asked for; nothing has changed."""


class DiffersError(Exception):
    """What was restored from a backup differs from what was backed up."""
