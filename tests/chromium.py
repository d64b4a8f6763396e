"""The machine's own Chromium, for tests that look at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

__all__ = ["SECONDS", "chromium", "needs_chromium"]

SECONDS = 1000
"""In the milliseconds that Playwright counts in."""

_PATH = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

needs_chromium = pytest.mark.skipif(_PATH is None, reason="chromium is not installed")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that asks for nothing of its own accord."""
    arguments = ["--no-sandbox", "--disable-gpu", *_QUIET]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PATH, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
