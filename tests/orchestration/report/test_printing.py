"""A report on paper, and its parts' names for people who do not see it. In Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import needs_chromium
from playwright.sync_api import Browser, Page

from benchmarks.evidence.__main__ import FOLDER
from orchestration.report import write

pytestmark = needs_chromium

_PAPER = 700
"""The width of A4 between margins of 12 mm, in CSS pixels."""


@pytest.fixture(scope="module")
def report(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """That of a sweep with many axes, whose tables are wide; without its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw", lambda _: iter(()))
        folder = tmp_path_factory.mktemp("report")
        path = write.write_report(str(FOLDER / "control-fashion.jsonl.gz"), folder)
    page = browser.new_page(viewport={"width": _PAPER, "height": 1000})
    page.goto(path.as_uri())
    yield page
    page.close()


def test_no_column_is_cut_off_on_paper(report: Page) -> None:
    ends = "[...document.querySelectorAll('table')].map(one => one.getBoundingClientRect().right)"
    assert max(report.evaluate(ends)) > _PAPER  # on a screen they scroll
    report.emulate_media(media="print")
    assert max(report.evaluate(ends)) <= _PAPER
    report.emulate_media(media="screen")


def test_no_two_parts_have_the_same_name(report: Page) -> None:
    names = report.evaluate(
        "[...document.querySelectorAll('section, [role=region]')].map("
        "one => one.ariaLabel ?? document.getElementById(one.getAttribute('aria-labelledby'))"
        ".textContent)"
    )
    assert len(names) > 10
    assert len(set(names)) == len(names)
