"""A finished sweep in a real browser: MLflow's own pages, and the report without a network.

Screenshots go to the folder that SNN_TEST_SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import SECONDS, needs_chromium
from contrast import contrast
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect
from whole_sweep import record_digits

from orchestration.report.write import log_report

pytestmark = [pytest.mark.slow, needs_chromium]


class Sweep:
    """A sweep on a tracking server, with its report among its artifacts."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri
        self.experiment, self.parent = record_digits(tracking_uri, "digits in a browser", 17)
        self.client = MlflowClient(tracking_uri)
        log_report(self.client, "digits in a browser", self.parent)
        condition = "tags.`snn_sweep.role` = 'trial' AND params.norm = 'bntt'"
        self.trial = self.client.search_runs([self.experiment], condition)[0].info.run_id

    def url(self, page: str) -> str:
        return f"{self.uri}/#/experiments/{self.experiment}/{page}"


@pytest.fixture(scope="module")
def sweep(tracking_uri: str) -> Sweep:
    return Sweep(tracking_uri)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60 * SECONDS)
    yield context.new_page()
    context.close()


def screenshot(page: Page, name: str) -> None:
    if folder := os.environ.get("SNN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_the_sweep_and_its_trials(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url("runs"))
    expect(page.get_by_text("18 matching runs")).to_be_visible(timeout=60 * SECONDS)
    screenshot(page, "mlflow-runs")
    page.goto(sweep.url(f"runs/{sweep.parent}"))
    expect(page.get_by_text("Child runs", exact=True)).to_be_visible(timeout=60 * SECONDS)
    children = page.locator(f'a[href*="/experiments/{sweep.experiment}/runs/"]')
    expect(children.nth(8)).to_be_visible()
    expect(page.get_by_text("snn_sweep.status")).to_be_visible()
    screenshot(page, "mlflow-sweep")


def test_a_trials_curves(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url(f"runs/{sweep.trial}/model-metrics"))
    page.get_by_placeholder("Search metric charts").fill("test_accuracy|spike_rate.conv1")
    for metric in ("test_accuracy", "spike_rate.conv1"):
        card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text=metric)
        expect(card.locator("svg.main-svg").first).to_be_visible(timeout=60 * SECONDS)
    screenshot(page, "mlflow-curves")


def test_the_report_among_the_artifacts(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url(f"runs/{sweep.parent}/artifacts/report/report.html"))
    report = page.frame_locator("iframe#html")
    expect(report.get_by_role("heading", level=1)).to_have_text(
        "digits in a browser", timeout=60 * SECONDS
    )
    expect(report.locator("#headline table")).to_contain_text("artificial CNN")
    expect(report.get_by_text("Download this page")).to_be_visible()
    screenshot(page, "mlflow-report")


@pytest.fixture(scope="module")
def report(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloaded")
    sweep.client.download_artifacts(sweep.parent, "report", str(folder))
    return folder / "report" / "report.html"


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)]
)
def test_the_page_without_a_network(
    browser: Browser, report: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        offline=True,
    )
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert said == []
    expect(page.get_by_text("Download this page")).to_be_hidden()
    # Wide tables and figures scroll in their own boxes, the page never does.
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("figure svg[role=img]").count() == 6
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box is not None
        assert box["width"] > 500
        assert box["height"] > 100
    background, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert contrast(background, ink) > 12
    for place in ("figcaption", ".lead", "thead th", "td a", "sup"):
        colour = page.locator(place).first.evaluate("element => getComputedStyle(element).color")
        assert contrast(background, colour) > 4.5, place
    card = "element => getComputedStyle(element).backgroundColor"
    assert page.locator("figure .scroll").first.evaluate(card) == "rgb(255, 255, 255)"
    screenshot(page, f"report-{scheme}-{width}")
    context.close()


def test_a_number_leads_to_its_runs(report: Path, page: Page) -> None:
    page.goto(report.as_uri())
    link = page.locator("#cells tr", has_text="bntt").get_by_role("link")
    with page.context.expect_page() as opened:
        link.nth(0).click()
    expect(opened.value.get_by_text("best_test_accuracy").first).to_be_visible(timeout=60 * SECONDS)
    with page.context.expect_page() as opened:
        link.nth(1).click()
    heading = opened.value.get_by_text("Comparing 3 Runs from 1 Experiment")
    expect(heading).to_be_visible(timeout=60 * SECONDS)
    screenshot(opened.value, "mlflow-compare")
