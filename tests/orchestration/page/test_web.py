"""What the server answers to whom: pages, tables, refusals. On a real tracking server."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import requests
from click.testing import CliRunner
from commands import wait_until
from driving import driving
from mlflow import MlflowClient
from recorded import RecordedTrial, Recorder
from served import served
from test_acting import ask
from whole_sweep import record_digits

from orchestration.cli.main import cli
from orchestration.execution.command_note import note_command
from orchestration.progress.events import Planned
from orchestration.reading.sql import SqlSource
from orchestration.results.results import Results
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec
from orchestration.tables import best_of_seeds, norm_differences
from services.settings import Settings

NAME = "digits on a page"
GIVEN = {
    "name": "given",
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1],
    "grid": [{"architecture": "ann", "norm": "none"}],
}


@pytest.fixture(scope="module")
def sweep(tracking_uri: str) -> str:
    record_digits(tracking_uri, NAME, 17)
    return f"{tracking_uri}/sweeps/{quote(NAME)}"


def get(url: str, code: int = 200, **more: object) -> str:
    reply = requests.get(url, timeout=60, **more)  # type: ignore[arg-type]
    assert reply.status_code == code, reply.text
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in reply.text
    assert reply.headers["x-content-type-options"] == "nosniff"
    return reply.text


def test_the_page_is_whole_without_scripts(sweep: str) -> None:
    page = get(sweep)
    assert "<strong>17 of 18</strong> trials finished" in page
    best = Results(NAME, tracking_uri=sweep.partition("/sweeps")[0]).best_of_seeds()
    for mean in best["mean"].dropna():
        assert f"{100 * mean:.2f}" in page
    assert page.count("<small>collapsed</small>") == 3
    assert page.count("<polyline") == 6
    assert "seed 456" in page


@pytest.mark.parametrize(("form", "name"), [("tex", "latex"), ("md", "markdown"), ("csv", "csv")])
def test_tables_to_copy_are_those_of_the_commands(sweep: str, form: str, name: str) -> None:
    results = Results(NAME, tracking_uri=sweep.partition("/sweeps")[0])
    best = best_of_seeds.TABLE.write(results.best_of_seeds(), name)
    assert get(f"{sweep}/table.{form}") == best + "\n"
    verdicts = norm_differences.TABLE.write(results.norm_differences(), name)
    assert get(f"{sweep}/verdicts.{form}") == verdicts + "\n"


@pytest.mark.usefixtures("sweep")
def test_the_list_can_be_searched_and_sorted(tracking_uri: str) -> None:
    assert NAME in get(f"{tracking_uri}/sweeps?find=ON+digits+page&sort=best")
    assert f">{NAME}<" not in get(f"{tracking_uri}/sweeps?find=no-such-word")
    reply = requests.get(f"{tracking_uri}/sweeps", timeout=60)
    known = {"if-none-match": reply.headers["etag"]}
    assert requests.get(f"{tracking_uri}/sweeps", headers=known, timeout=60).status_code == 304
    record_digits(tracking_uri, "one more on a page", 1)
    assert (
        "one more on a page"
        in requests.get(f"{tracking_uri}/sweeps", headers=known, timeout=60).text
    )


def test_the_list_is_sorted_by_a_heading_and_the_other_way_round(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    uri = sqlite_database()
    for name, trials in (("b", 6), ("a", 3), ("c", 18)):
        record_digits(uri, name, trials)
    with served(SqlSource(uri), tmp_path) as address:

        def order(sort: str) -> list[str]:
            return re.findall('<th scope="row"><a [^>]*>(.*?)</a>', get(f"{address}?sort={sort}"))

        assert order("name") == ["a", "b", "c"]
        assert order("-name") == ["c", "b", "a"]
        assert order("progress") == ["c", "b", "a"]
        assert order("started") == ["c", "a", "b"]
        assert order("no such column") == ["c", "a", "b"]
        page = get(f"{address}?sort=name&find=+")
        assert 'aria-sort="ascending"><a href="?find=+&amp;sort=-name">sweep</a>' in page


def test_the_curves_of_another_metric(sweep: str) -> None:
    page = get(f"{sweep}/curves?metric=train_loss&axis=logarithmic")
    assert "train_loss by epoch" in page
    assert page.count("<polyline") == 6
    assert '<option value="train_loss" selected>' in page
    assert "metric must be one of test_accuracy, train_loss," in get(
        f"{sweep}/curves?metric=nope", 404
    )
    assert "axis must be one of automatic, linear, logarithmic" in get(
        f"{sweep}/curves?axis=nope", 404
    )


def test_a_trial_has_a_page_of_its_own(sweep: str, tracking_uri: str) -> None:
    (url,) = re.findall('id="t1-0"[^>]*><a href="(.*?)"', get(sweep))
    page = get(f"{tracking_uri}{url}")
    assert "<h1>ann, BatchNorm, seed 42</h1>" in page
    assert '<th scope="row">learning_rate</th>' in page
    titles = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert titles[:3] == ["Test accuracy", "train_loss", "Train accuracy"]
    assert "has no trial with the run" in get(f"{sweep}/trials/nope", 404)


def test_norms_have_one_name_on_a_page(sweep: str) -> None:
    for page in ("", "/compare?with=headline-published"):
        text = re.sub("<[^>]*>", " ", get(sweep + page))
        assert "BatchNorm" in text
        assert "batchnorm" not in text


def test_two_sweeps_side_by_side(sweep: str) -> None:
    page = get(f"{sweep}/compare?with=headline-published")
    assert "best A %" in page
    assert "92.27" in page  # as published
    assert get(f"{sweep}/compare.csv?with={quote(NAME)}").count("\n") == 7
    get(f"{sweep}/compare?with=no+such", 404)


ABSENT = ["no-such-sweep", f"{quote(NAME)}/no-such-page", "%2e%2e", "a/../b", "%00"]


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize("page", ABSENT)
def test_what_is_not_there(tracking_uri: str, page: str) -> None:
    url = f"{tracking_uri}/sweeps/{page}"
    request = requests.Request("GET", url).prepare()
    request.url = url  # as it is, dots and all
    with requests.Session() as session:
        reply = session.send(request, timeout=60)
    assert reply.status_code == 404
    assert "<h1>" in reply.text


def test_nothing_that_others_wrote_is_more_than_text(tracking_uri: str) -> None:
    name = 'a/b <script>alert("x")</script> \u202e&'
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(name, "{}")
    nasty = "<img src=x onerror=alert(1)>\x1b[31m\u202e" + "y" * 5000
    config = {"architecture": nasty, "norm": nasty, "seed": 1, "epochs": 1, "dataset": nasty}
    recorder.trial(experiment, parent, RecordedTrial(config, [0.5], key=None))
    tags = {"snn_sweep.reason": nasty, "mlflow.runName": nasty, "snn_sweep.outcome": nasty}
    recorder.trial(experiment, parent, RecordedTrial(config, [], key=None, tags=tags))
    failed = RecordedTrial(config, [], None, None, "FAILED", tags=tags)
    recorder.trial(experiment, parent, failed)
    recorder.client.set_tag(parent, "snn_sweep.status", nasty)
    own = f"/{quote(name, safe='')}"
    for page in ("", own, f"{own}/compare?with={quote(name)}"):
        html = get(f"{tracking_uri}/sweeps{page}")
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "\u202e" not in html
        assert "\x1b" not in html


NO_SPECS = {
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "no JSON": "{",
    "nested too deeply": 40_000 * "[",
    "too many epochs": json.dumps({**GIVEN, "epochs": 10**30}),
    "too large a number": json.dumps(GIVEN)[:-1] + ', "gpu_hours": ' + 5000 * "9" + "}",
    "another GPU": json.dumps({**GIVEN, "resources": {"gpu": [10**400]}}),
    "GPUs without end": json.dumps({**GIVEN, "resources": {"gpu": math.inf}}),
    "other sections": json.dumps({**GIVEN, "resources": [1], "metric": [2], "grid": {"norm": 1}}),
}
"""What somebody may have put on record in place of a spec."""


@pytest.mark.filterwarnings("ignore:the spec recorded with sweep")
@pytest.mark.parametrize("why", NO_SPECS)
def test_what_is_no_spec_hinders_neither_its_page_nor_the_list(
    sqlite_database: Callable[[], str], tmp_path: Path, why: str
) -> None:
    uri, name = sqlite_database(), f"no spec {why}"
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(name, NO_SPECS[why], 10)
    config = {"architecture": "ann", "norm": "none", "seed": 1, "epochs": 10**30, "dataset": "x"}
    recorder.trial(experiment, parent, RecordedTrial(config, [0.5], key=None))
    recorder.trial(experiment, parent, RecordedTrial(config, [0.5], None, None, status=None))
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    note = SweepSpec.from_dict({**GIVEN, "name": name})
    note_command(settings, note)(Planned(Plan((), (), (), (), (), (), (), ())))
    with served(SqlSource(uri), tmp_path) as address:
        url = f"{address}/{quote(name)}"
        assert name in get(address)
        for page in ("", "/layers", "/table.md", "/compare?with=headline-published"):
            get(url + page)
        assert ask(url).status_code == 409
        recorder.client.set_tag(parent, "snn_sweep.status", "running")
        get(url)


def test_another_host_is_refused_as_by_mlflow(sweep: str) -> None:
    reply = requests.get(sweep, headers={"host": "evil.example"}, timeout=60)
    assert reply.status_code == 403
    assert NAME not in reply.text


def changes(url: str, have: str) -> Iterator[dict[str, dict[str, str]] | None]:
    with requests.get(f"{url}/changes?have={have}", stream=True, timeout=60) as reply:
        for line in reply.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("data: "):
                yield json.loads(line[6:])


def test_a_new_epoch_is_told_alone(tracking_uri: str) -> None:
    name = "moves on a page"
    experiment, parent = record_digits(tracking_uri, name, 5)
    client, recorder = MlflowClient(tracking_uri), Recorder(tracking_uri)
    client.set_tag(parent, "snn_sweep.status", "running")
    spec = SweepSpec.from_json(client.get_run(parent).data.tags["snn_sweep.spec"])
    trial = spec.trials()[5]
    config = trial.config.given()
    run = recorder.trial(
        experiment, parent, RecordedTrial(config, [0.25], None, trial.key, status=None)
    )
    url = f"{tracking_uri}/sweeps/{quote(name)}"
    have = get(url).partition('data-version="')[2].partition('"')[0]
    stream = changes(url, have)
    client.log_metric(run, "test_accuracy", 0.75, step=2)
    told = next(stream)
    assert told is not None
    assert list(told["whole"]) == ["t1-2"]
    assert "75.00 <small>epoch 2/8</small>" in told["whole"]["t1-2"]
    assert "grid" not in told["inside"]
    assert next(changes(url, "a version of another server")) is None


@pytest.fixture
def driver(
    tracking_uri: str, tracking_home: Path, tmp_path: Path
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The page of a running sweep, and the process that drives it from the server's home."""
    name = f"driven {tmp_path.name}"
    _, parent = record_digits(tracking_uri, name, 5)
    MlflowClient(tracking_uri).set_tag(parent, "snn_sweep.status", "running")
    with driving(tracking_home, name) as process:
        yield f"{tracking_uri}/sweeps/{quote(name)}", process


def test_a_sweep_is_stopped_from_its_own_page_alone(
    driver: tuple[str, subprocess.Popen[str]], tracking_uri: str
) -> None:
    url, process = driver
    with requests.Session() as browser:
        page = browser.get(url, timeout=60).text
        assert f"process {process.pid} on" in page
        token = page.partition('name="token" value="')[2].partition('"')[0]
        here = {"origin": tracking_uri}
        for form, headers in (
            ({}, here),
            ({"token": "guessed"}, here),
            ({"token": token}, {}),
            ({"token": token}, {"origin": "http://evil.example"}),
            ({"token": token}, {**here, "cookie": "snn-sweep-token=another"}),
        ):
            refused = requests.Request("POST", f"{url}/stop", data=form, headers=headers)
            if "cookie" not in headers:
                refused.cookies = browser.cookies
            with requests.Session() as other:
                assert other.send(refused.prepare(), timeout=60).status_code == 403
        assert requests.get(f"{url}/stop", timeout=60).status_code == 404
        assert process.poll() is None
        reply = browser.post(f"{url}/stop", data={"token": token}, headers=here, timeout=60)
    assert reply.url == url
    assert process.wait(60) == 0
    assert process.stdout is not None
    assert process.stdout.read() == "stopped\n"


def test_a_sweep_whose_driver_has_died_is_told_as_in_the_terminal_and_can_go_on(
    driver: tuple[str, subprocess.Popen[str]],
    tracking_uri: str,
    tracking_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, process = driver
    name = unquote(url.rpartition("/")[2])
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tracking_home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    stop, seeds = (f'<details class="act{act}" data-when=' for act in ("", " grow"))

    def shown(page: str) -> list[str]:
        return [act for act in (stop, seeds) if "hidden" not in page.split(act)[1].split(">")[0]]

    def told() -> str:
        return " ".join(CliRunner().invoke(cli, ["status", name]).stdout.split())

    page = get(url)
    assert shown(page) == [stop]
    assert f"driven by process {process.pid} on" in told()
    process.kill()
    process.wait()
    said = "nobody is running it; to continue: snn-sweep run its spec"
    assert said in told()
    wait_until(lambda: said in get(url))
    page = get(url)
    assert shown(page) == [seeds]
    assert "<dt>run by</dt><dd>nobody</dd>" in page
    listed = get(f"{tracking_uri}/sweeps?find={quote(name)}")
    assert "<td>nobody</td>" in listed
    numbers = get(f"{tracking_uri}/sweeps?format=prometheus")
    assert f'snn_sweep_abandoned{{sweep="{name}"}} 1.0' in numbers
    assert re.search(f"{name} +running .* nobody", CliRunner().invoke(cli, ["list"]).stdout)


def test_whom_a_proxy_on_this_machine_forwards_does_not_count_as_local(sweep: str) -> None:
    assert 'class="act' not in get(sweep, headers={"x-forwarded-for": "203.0.113.7"})
    claimed = {"x-forwarded-for": "127.0.0.1, 203.0.113.7"}  # the first by the visitor himself
    assert 'class="act' not in get(sweep, headers=claimed)
    assert 'class="act' in get(sweep)


def test_a_sweep_that_nobody_drives_cannot_be_stopped(tracking_uri: str) -> None:
    name = "not driven from here"
    _, parent = record_digits(tracking_uri, name, 1)
    MlflowClient(tracking_uri).set_tag(parent, "snn_sweep.status", "running")
    url = f"{tracking_uri}/sweeps/{quote(name)}"
    with requests.Session() as browser:
        page = browser.get(url, timeout=60).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        headers = {"origin": tracking_uri}
        reply = browser.post(f"{url}/stop", data={"token": token}, headers=headers, timeout=60)
    assert reply.status_code == 409
    assert "nobody runs sweep" in reply.text


def test_the_files_of_its_report(tracking_uri: str) -> None:
    name = "reported on a page"
    _, parent = record_digits(tracking_uri, name, 1)
    url = f"{tracking_uri}/sweeps/{quote(name)}/report"
    assert "This sweep has no report yet" in get(url)
    client = MlflowClient(tracking_uri)
    client.log_text(parent, "<p>whole</p>", "report/report.html")
    client.log_text(parent, "<svg/>", "report/figures/learning-curves.svg")
    page = get(url)
    assert "learning curves: <a href=" in page
    assert f"/runs/{parent}/artifacts/report/figures/learning-curves.svg?" in page
    assert f"{quote(name)}/report" in get(url.removesuffix("/report"))
