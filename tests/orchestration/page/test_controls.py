"""What a person does on a sweep's page: sort, hide, choose a metric, and open a trial."""

from __future__ import annotations

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

import orchestration.page
from orchestration.render.series_style import COLORS
from orchestration.sweep.spec import SweepSpec

NAME = "digits to look at"
STYLE = Path(orchestration.page.__file__).with_name("static") / "sweeps.css"


class Sweep:
    """A sweep of 18 trials, of which 12 have finished, one has failed and one is running."""

    def __init__(self, tracking_uri: str) -> None:
        self.url = f"{tracking_uri}/sweeps/{quote(NAME)}"
        experiment, parent = record_digits(tracking_uri, NAME, 12)
        self.client = MlflowClient(tracking_uri)
        self.client.set_tag(parent, "snn_sweep.status", "running")
        spec = SweepSpec.from_json(self.client.get_run(parent).data.tags["snn_sweep.spec"])
        recorder = Recorder(tracking_uri)
        failed, running = spec.trials()[12:14]
        tags = {"snn_sweep.reason": "Traceback:\nCUDA out of memory"}
        recorder.trial(
            experiment,
            parent,
            RecordedTrial(failed.config.given(), [0.3], None, failed.key, "FAILED", tags=tags),
        )
        self.run = recorder.trial(
            experiment,
            parent,
            RecordedTrial(running.config.given(), [0.2], None, running.key, status=None),
        )


@pytest.fixture(scope="module")
def sweep(tracking_uri: str) -> Sweep:
    return Sweep(tracking_uri)


@pytest.fixture
def page(browser: Browser, sweep: Sweep) -> Iterator[Page]:
    with checked_page(browser) as page:
        page.goto(sweep.url)
        expect(page.locator("#connection")).to_have_text("live")
        yield page


def means(page: Page) -> list[str]:
    return [text.partition(" ")[0] for text in page.locator("#grid td.mean").all_inner_texts()]


@needs_chromium
def test_the_grid_is_sorted_by_a_heading_with_the_keyboard(page: Page) -> None:
    before = means(page)
    head = page.locator("#grid th", has_text="mean")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    known = sorted((mean for mean in before if mean != "–"), key=float)
    missing = ["–"] * before.count("–")
    assert means(page) == known + missing
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Enter")
    assert means(page) == known[::-1] + missing
    expect(head).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    assert means(page) == before
    assert head.get_attribute("aria-sort") is None


@needs_chromium
def test_columns_and_cells_can_be_hidden_with_their_curves(page: Page) -> None:
    chosen = page.locator("#choose-grid")
    chosen.get_by_text("Rows and columns").click()
    chosen.get_by_label("seed 123").uncheck()
    expect(page.locator("#t0-1")).to_be_hidden()
    expect(page.locator("#t0-0")).to_be_visible()
    lines = page.locator('#curves g[data-series="BatchNorm"]')
    expect(lines).to_be_visible()
    chosen.get_by_label("BatchNorm").uncheck()
    expect(page.locator("#t1-0")).to_be_hidden()
    expect(lines).to_be_hidden()
    html = page.locator("#grid").inner_html()
    page.evaluate("html => putInside('grid', html)", html)  # it changes while the sweep runs
    expect(page.locator("#t1-0")).to_be_hidden()
    chosen.get_by_label("BatchNorm").check()
    expect(page.locator("#t1-0")).to_be_visible()
    expect(lines).to_be_visible()


@needs_chromium
def test_a_chosen_metric_stays_while_the_sweep_runs(page: Page, sweep: Sweep) -> None:
    curves = page.locator("#curves")
    expect(curves).to_contain_text("Test accuracy by epoch")
    page.get_by_label("Curves of").select_option("train_loss")
    expect(curves).to_contain_text("train_loss by epoch")
    page.get_by_label("Axis").select_option("logarithmic")
    expect(curves.get_by_text("0.01", exact=True)).to_be_visible()
    page.get_by_role("heading", level=1).hover()
    sweep.client.log_metric(sweep.run, "train_loss", 1.5, step=1)
    sweep.client.log_metric(sweep.run, "test_accuracy", 0.25, step=2)
    expect(page.locator("#t4-1")).to_have_text("25.00 epoch 2/8", timeout=20 * SECONDS)
    expect(curves.locator("title", has_text="BNTT, epoch 1: 1.5")).to_have_count(1)
    expect(curves).to_contain_text("train_loss by epoch")


@needs_chromium
def test_a_trial_opens_on_the_page_and_gives_the_focus_back(page: Page) -> None:
    link = page.locator("#t4-0 a")
    link.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", level=1)).to_have_text("snn, BNTT, seed 42")
    expect(dialog).to_contain_text("CUDA out of memory")
    expect(dialog.get_by_role("row", name="learning_rate")).to_be_visible()
    expect(dialog.locator("figure", has_text="Test accuracy")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()


@needs_chromium
def test_a_table_that_goes_on_beyond_the_edge_fades_there(page: Page) -> None:
    box = page.locator("#grid .scroll")
    expect(box).not_to_have_class(re.compile("more"))
    page.set_viewport_size({"width": 500, "height": 900})
    expect(box).to_have_class(re.compile("more"))
    box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
    expect(box).not_to_have_class(re.compile("more"))


@needs_chromium
def test_the_list_fits_where_there_is_room_for_it(page: Page, sweep: Sweep) -> None:
    page.set_viewport_size({"width": 1000, "height": 900})
    page.goto(sweep.url.rpartition("/")[0])
    box = page.locator("#sweeps .scroll")
    assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0
    page.get_by_role("link", name="sweep", exact=True).click()
    head = page.get_by_role("columnheader", name="sweep")
    expect(head).to_have_attribute("aria-sort", "ascending")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")


def test_curves_have_the_colours_of_the_figures_and_are_legible_in_the_dark() -> None:
    style = STYLE.read_text(encoding="utf-8")
    found = re.findall(r"^\.c(\d+) \{ color: light-dark\((#\w+), (#\w+)\); \}", style, re.MULTILINE)
    assert [light for _, light, _ in found] == list(COLORS)
    (card,) = re.findall(r"--card: light-dark\(#\w+, (#\w+)\)", style)

    def rgb(colour: str) -> str:
        return ", ".join(str(part) for part in bytes.fromhex(colour.removeprefix("#")))

    for number, _, dark in found:
        assert contrast(rgb(dark), rgb(card)) > 4.5, number
