"""The error of a service; wrong settings raise ``services.settings.SettingsError``."""

from __future__ import annotations


class ServiceError(Exception):
    """A service cannot be reached or started; the message says what to do."""
