"""The machine's own Chromium, for tests that look at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["SECONDS", "checked_page", "chromium", "needs_chromium"]

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


@contextmanager
def checked_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A new page; no script on it may fail or do what the page's policy forbids.

    Args:
        options: of the browser's context.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    context.set_default_timeout(60 * SECONDS)
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    yield page
    context.close()
    assert [text for text in said if "Content Security Policy" in text or "Error" in text] == []
