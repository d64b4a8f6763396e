"""What axe finds on the pages and in a report, by the rules of WCAG 2.1, levels A and AA."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import SECONDS, needs_chromium
from playwright.sync_api import Browser, Page
from whole_sweep import record_digits

from orchestration.report.write import write_report

NAME = "an accessible sweep"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def sweep(tracking_uri: str) -> str:
    """The address of a finished sweep's page."""
    record_digits(tracking_uri, NAME, 18)
    return f"{tracking_uri}/sweeps/{quote(NAME)}"


@pytest.fixture(scope="module")
def report(sweep: str, tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of its report."""
    assert sweep
    folder = tmp_path_factory.mktemp("report")
    return write_report(NAME, folder, tracking_uri=tracking_uri).as_uri()


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(
        color_scheme=request.param, viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(60 * SECONDS)
    yield context.new_page()
    context.close()


def violations(page: Page) -> list[str]:
    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    results = Axe().run(page, options={"resultTypes": ["violations"], "runOnly": rules})
    return [
        f"{violation['id']}: {node['target']}"
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("path", ["", "/curves", "/layers", "/compare?with=headline-published"])
def test_pages_of_a_sweep(page: Page, sweep: str, path: str) -> None:
    page.goto(sweep + path)
    assert violations(page) == []


def test_the_list_of_sweeps(page: Page, sweep: str) -> None:
    page.goto(sweep.rpartition("/")[0])
    assert violations(page) == []


def test_the_details_of_a_trial(page: Page, sweep: str) -> None:
    page.goto(sweep)
    page.locator("table.grid td a").first.click()
    page.locator("dialog[open]").wait_for()
    assert violations(page) == []


def test_a_report(page: Page, report: str) -> None:
    page.goto(report)
    assert violations(page) == []


def test_a_page_that_breaks_a_rule_is_noticed(page: Page) -> None:
    page.set_content("<html lang=en><title>x</title><main><img src=x><p>text</main>")
    assert violations(page) == ["image-alt: ['img']"]
