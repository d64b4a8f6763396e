"""What a person does in a browser: find a sweep, see a trial collapse, follow it, copy, stop.

Screenshots go to the folder that SNN_TEST_SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import SECONDS, checked_page, needs_chromium
from contrast import contrast
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect
from recorded import RecordedTrial, Recorder
from whole_sweep import record_digits

from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec

NAME = "a person's digits"

pytestmark = needs_chromium


class Sweep:
    """A sweep of 18 trials, of which 9 have finished and the next runs."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri, self.url = tracking_uri, f"{tracking_uri}/sweeps/{quote(NAME)}"
        self.experiment, self.parent = record_digits(tracking_uri, NAME, 9)
        self.client = MlflowClient(tracking_uri)
        self.client.set_tag(self.parent, "snn_sweep.status", "running")
        spec = SweepSpec.from_json(self.client.get_run(self.parent).data.tags["snn_sweep.spec"])
        trial = spec.trials()[9]
        running = RecordedTrial(trial.config.given(), [0.11], None, trial.key, status=None)
        self.run = Recorder(tracking_uri).trial(self.experiment, self.parent, running)


@pytest.fixture(scope="module")
def sweep(tracking_uri: str) -> Sweep:
    return Sweep(tracking_uri)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with checked_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def screenshot(page: Page, name: str) -> None:
    if folder := os.environ.get("SNN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_find_a_sweep_see_a_trial_collapse_and_follow_it(sweep: Sweep, page: Page) -> None:
    page.goto(f"{sweep.uri}/sweeps")
    page.get_by_label("Find").fill("person")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=NAME).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    place = page.locator("#t3-0")
    expect(place).to_have_text("11.00 epoch 1/8")
    expect(page.locator("#connection")).to_have_text("live")
    link = place.get_by_role("link").element_handle()
    place.hover()
    sweep.client.log_metric(sweep.run, "test_accuracy", 0.12, step=2)
    expect(place).to_have_text("12.00 epoch 2/8", timeout=10 * SECONDS)
    # Under the pointer stands the very link that stood there before.
    assert page.evaluate("link => link.isConnected && link.matches(':hover')", link)
    sweep.client.log_metric(sweep.run, "best_test_accuracy", 0.12, step=2)
    sweep.client.set_tag(sweep.run, "snn_sweep.outcome", "collapsed")
    sweep.client.set_terminated(sweep.run)
    expect(place).to_have_text("12.00 collapsed", timeout=10 * SECONDS)
    expect(page.locator("#status")).to_contain_text("10 of 18 trials finished")
    expect(page.locator("#m3")).to_have_text("12.00")
    place.get_by_role("link").click()
    page.get_by_role("dialog").get_by_role("link", name="run in MLflow").click()
    expect(page).to_have_url(re.compile(f"/runs/{sweep.run}"))
    expect(page.get_by_text("best_test_accuracy").first).to_be_visible(timeout=60 * SECONDS)


def test_copy_the_table(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url)
    page.get_by_role("link", name="Markdown").first.click()
    expect(page.locator("#copied")).to_have_text("Copied as Markdown.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("| architecture | norm | best % |")
    best = Results(NAME, tracking_uri=sweep.uri).best_of_seeds()
    assert f"{100 * best['best'].max():.2f}" in copied


def test_what_somebody_reads_does_not_move(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url)
    expect(page.locator("#connection")).to_have_text("live")
    verdicts = page.locator("#verdicts")
    verdicts.locator("td").first.hover()
    before = verdicts.inner_html()
    page.evaluate("putInside('verdicts', '<h2>new</h2>')")
    assert verdicts.inner_html() == before
    page.get_by_role("heading", level=1).hover()
    expect(verdicts).to_have_text("new")


def test_by_keyboard_alone(sweep: Sweep, page: Page) -> None:
    page.goto(sweep.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    stop = page.get_by_text("Stop…")
    for _ in range(30):
        page.keyboard.press("Tab")
        if stop.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop it")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Stop it")).to_be_focused()
    page.keyboard.press("Enter")  # nobody drives it
    expect(page.get_by_role("main")).to_contain_text("nobody runs sweep")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_legible_at_every_width(browser: Browser, sweep: Sweep, scheme: str) -> None:
    for width in (360, 768, 1280, 1920):
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        page = context.new_page()
        page.goto(sweep.url)
        # Wide tables scroll in their own boxes, the page never does.
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for place in ("td.g0, td.g1, td.g2", "td.g8, td.g9", ".state", ".waiting", ".note", "dt"):
            element = page.locator(place).first
            colours = element.evaluate(COLOURS)
            assert contrast(*colours) > 4.5, (place, scheme, colours)
        screenshot(page, f"sweep-{scheme}-{width}")
        page.goto(f"{sweep.uri}/sweeps")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        screenshot(page, f"sweeps-{scheme}-{width}")
        context.close()


COLOURS = """element => {
  let behind = element;
  const paper = () => getComputedStyle(behind).backgroundColor;
  while (paper() === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  return [getComputedStyle(element).color, paper()];
}"""
