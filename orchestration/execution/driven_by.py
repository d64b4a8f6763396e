"""What is said of who drives a sweep, in the terminal and on its page."""

from __future__ import annotations

NOBODY = "nobody"
"""Drives a sweep whose driver has ended or died."""


def is_abandoned(status: str, driver: str | None) -> bool:
    """Whether a sweep was begun and is not over, but nobody drives it any more.

    Args:
        status: as its last driver wrote it.
        driver: who drives it; None where that is not known.
    """
    return status == "running" and driver == NOBODY


def driver_in_short(status: str, driver: str | None) -> str:
    """Who drives a sweep, for a table; empty of one that is over."""
    if status == "running":
        return driver or "not known here"
    return "" if driver is None or driver == NOBODY else driver


def driver_in_words(status: str, driver: str | None, how_to_run: str) -> str:
    """Who drives a sweep, and what to do if nobody does; empty of one that is over."""
    if is_abandoned(status, driver):
        return f"nobody is running it; to continue: snn-sweep {how_to_run} its spec"
    short = driver_in_short(status, driver)
    if not short:
        return ""
    return f"driven by {short}" if driver else f"who is running it is {short}"
