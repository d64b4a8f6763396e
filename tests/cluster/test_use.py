"""The composed cluster as its users meet it: from outside, by command, browser, REST and SQL."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from chromium import SECONDS, chromium, needs_chromium
from commands import USERS_FOLDER, undisturbed_models, wait_until
from conftest import Stack, finish
from ledger import Ledger, audit
from playwright.sync_api import Page, expect

from orchestration import Results, SweepSpec, run_sweep
from services.settings import Settings
from snn_norm.training.models.model_file import WEIGHTS_FILE


@pytest.fixture(scope="module")
def digits(stack: Stack) -> SweepSpec:
    """The digits sweep, submitted from outside and over."""
    following = stack.start("submit", "digits", "--wait")
    wait_until(lambda: "digits" in stack.sweep("list")[0])
    out, told = finish(following)
    assert "21 of 21 done" in told
    assert "dependency gap" in out
    return SweepSpec.load("digits")


def test_the_digits_sweep_from_outside(stack: Stack, digits: SweepSpec) -> None:
    assert audit(stack.client, digits) == Ledger()
    best = Results("digits", tracking_uri=stack.tracking_uri).best_of_seeds()
    assert best["n_seeds"].tolist() == [3] * 7
    accuracy = {(row.norm, row.threshold): row.best for row in best.itertuples()}
    assert accuracy["none", 1.0] < 0.2
    assert accuracy["bntt", 1.0] > 0.95
    assert accuracy["none", 0.3] > 0.95
    status, _ = stack.sweep("status", "digits")
    assert "digits: completed, 21 of 21 finished" in status
    log, _ = stack.sweep("logs", "digits")
    assert "snn bntt threshold=1.0 seed 42: epoch 1 of 8, test accuracy" in log


def test_rest_and_sql_give_the_same_answers(stack: Stack, digits: SweepSpec) -> None:
    over_rest, _ = stack.sweep("results", digits.name, "--format", "json")
    over_sql = stack.compose(
        "run", "--rm", "--no-deps", "answers", "results", digits.name, "--format", "json"
    )
    assert json.loads(over_sql) == json.loads(over_rest)


def test_a_cluster_and_one_machine_give_the_same_numbers(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(USERS_FOLDER)
    spec, path = stack.spec("there", epochs=3)
    stack.sweep("submit", str(path), "--wait")
    here, _ = stack.spec("here", epochs=3)
    settings = Settings.from_environment(
        {"SNN_SWEEP_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": stack.tracking_uri}
    )
    run_sweep(here, settings=settings)
    curves = {}
    for name in ("there", "here"):
        table = Results(name, tracking_uri=stack.tracking_uri).curves()
        table = table.sort_values(["norm", "seed", "epoch"])
        curves[name] = table[["train_loss", "test_accuracy"]].to_numpy().tolist()
    assert curves["there"] == curves["here"]
    assert audit(stack.client, spec) == Ledger()


def test_training_code_of_the_users_own_and_its_models(stack: Stack, tmp_path: Path) -> None:
    content = {
        "name": "own",
        "train": "own_runs:Fit",
        "epochs": 3,
        "seeds": {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 3},
        "grid": [{"rate": [0.05, 0.2], "hidden": [[8, 8]]}],
        "compare": [{"rate": [0.05, 0.2]}],
        "metric": {"name": "val_error", "goal": "minimize"},
    }
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    spec = SweepSpec.load(path)
    stack.sweep("submit", str(path), "--wait")
    assert audit(stack.client, spec) == Ledger()
    results = Results("own", tracking_uri=stack.tracking_uri)
    (decision,) = results.decisions().to_dict("records")
    assert decision["verdict"] in ("better", "worse") or decision["n_pairs"] == 3
    stack.sweep("models", "own", "--download", str(tmp_path / "models"))
    found = {file.read_bytes() for file in (tmp_path / "models").rglob(WEIGHTS_FILE)}
    # Not decided sooner than after its two seeds, so these two are there.
    for rate in (0.05, 0.2):
        one = {
            **{key: value for key, value in content.items() if key != "compare"},
            "seeds": list(spec.seed_order()[:2]),
            "grid": [{"rate": rate, "hidden": [[8, 8]]}],
        }
        assert set(undisturbed_models(SweepSpec.from_dict(one)).values()) <= found


@needs_chromium
def test_the_pages_in_a_browser(stack: Stack, digits: SweepSpec) -> None:
    experiment = stack.client.get_experiment_by_name(digits.name)
    assert experiment is not None
    where = [experiment.experiment_id]
    (parent,) = stack.client.search_runs(where, "tags.`snn_sweep.role` = 'sweep'")
    trial, *_ = stack.client.search_runs(where, "params.norm = 'bntt'")
    pages = f"{stack.tracking_uri}/#/experiments/{experiment.experiment_id}"
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60 * SECONDS)
        page.goto(f"{pages}/runs")
        expect(page.get_by_text("22 matching runs")).to_be_visible(timeout=60 * SECONDS)
        screenshot(page, "cluster-runs")
        page.goto(f"{pages}/runs/{parent.info.run_id}")
        expect(page.get_by_text("Child runs", exact=True)).to_be_visible(timeout=60 * SECONDS)
        page.goto(f"{pages}/runs/{trial.info.run_id}/model-metrics")
        page.get_by_placeholder("Search metric charts").fill("test_accuracy")
        card = page.get_by_test_id("experiment-view-compare-runs-card").first
        expect(card.locator("svg.main-svg").first).to_be_visible(timeout=60 * SECONDS)
        screenshot(page, "cluster-curves")
        page.goto(f"{pages}/runs/{parent.info.run_id}/artifacts/report/report.html")
        heading = page.frame_locator("iframe#html").get_by_role("heading", level=1)
        expect(heading).to_have_text("digits", timeout=60 * SECONDS)
        screenshot(page, "cluster-report")


def screenshot(page: Page, name: str) -> None:
    if folder := os.environ.get("SNN_TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
