"""Names the driver of a sweep, for the terminal and the sweep's page."""

from __future__ import annotations

NOBODY = "nobody"
"""The driver of a sweep whose driver has ended or died."""


def is_abandoned(status: str, driver: str | None) -> bool:
    """Whether a sweep is unfinished, but has no driver any more.

    Args:
        status: the sweep's status, as its last driver wrote it.
        driver: the sweep's driver; None if it is unknown.
    """
    return status == "running" and driver == NOBODY


def driver_in_short(status: str, driver: str | None) -> str:
    """The driver of a sweep, for a table; empty if the sweep has ended."""
    if status == "running":
        return driver or "not known here"
    return "" if driver is None or driver == NOBODY else driver


def driver_in_words(status: str, driver: str | None, how_to_run: str) -> str:
    """The driver of a sweep, or how to continue without one; empty if the sweep has ended."""
    if is_abandoned(status, driver):
        return f"nobody is running it; to continue: snn-sweep {how_to_run} its spec"
    short = driver_in_short(status, driver)
    if not short:
        return ""
    return f"driven by {short}" if driver else f"its driver is {short}"
