"""The page of a sweep of training code of the user's own: any axes, any metric, either goal.

Over SQL, and over MLflow's store, which is the way where a database's schema is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from own_sweep import CONTENT, record
from recorded import RecordedTrial, Recorder
from served import served

from orchestration import Results, SweepSpec
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource
from orchestration.tables import best_of_seeds, differences


@pytest.fixture(scope="module")
def uri(sqlite_database: Callable[[], str]) -> str:
    uri = sqlite_database()
    record(uri, "own")
    return uri


@pytest.fixture(scope="module", params=[SqlSource, RestSource])
def page(
    request: pytest.FixtureRequest, uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with served(request.param(uri), tmp_path_factory.mktemp("home")) as address:
        yield address


def get(url: str, code: int = 200) -> str:
    reply = requests.get(url, timeout=60)
    assert reply.status_code == code, reply.text
    return reply.text


def words(html: str, name: str) -> list[str]:
    """What stands in the place of this id."""
    found = re.findall(f'id="{name}"[^>]*>(.*?)</td>', html)
    return [re.sub("<[^>]+>", "", one) for one in found]


def test_cells_are_of_any_axes_and_colours_go_the_way_of_the_goal(page: str) -> None:
    html = get(f"{page}/own")
    assert "<strong>12 of 12</strong> trials finished, 1 diverged" in html
    heads = re.findall('<th scope="col"[^>]*>(.*?)</th>', html.partition("</thead>")[0])
    assert heads[:4] == ["method", "depth", "mean ± 95 %", "done"]
    assert words(html, "t2-0") == ["1.100"]
    assert words(html, "t3-2") == ["diverged"]
    assert words(html, "m0") == ["2.200 ± 0.2484"]
    kinds = [re.search(f'id="t{cell}-0" class="(.*?)"', html) for cell in (2, 3)]
    assert [kind and kind[1] for kind in kinds] == ["g9", "g0"]  # smaller is better
    assert "val_loss of the best epoch; smaller is better" in html
    assert "depth 18, method ours: 1.100" in html
    assert "Differences from the baseline" in html
    assert html.count("<figure>") == 2  # a panel a depth
    assert "method ours, epoch 2: 1.200 (1.100 to 1.300, 3 seeds)" in html
    assert "<h2>Spike rates" not in html
    assert "test set" not in html


def test_tables_are_those_of_the_commands(page: str, uri: str) -> None:
    results = Results("own", tracking_uri=uri)
    metric = results.snapshot().metric
    best = best_of_seeds.TABLE.write(results.best_of_seeds(), "markdown", metric=metric)
    assert get(f"{page}/own/table.md") == best + "\n"
    written = differences.TABLE.write(results.differences(), "latex", metric=metric)
    assert get(f"{page}/own/verdicts.tex") == written + "\n"
    told = get(f"{page}/own/compare?with=headline-published", 404)
    assert "there is nothing to compare" in told


def test_a_running_trial_has_its_best_by_the_goal_and_no_end_that_nobody_knows(uri: str) -> None:
    name = "runs"
    spec = SweepSpec.from_json(json.dumps({**CONTENT, "name": name}))
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    assert parent is not None
    recorder.client.set_tag(parent, "snn_sweep.status", "running")
    given = {**spec.cells()[0].given(), "seed": 1}
    metrics = {"val_loss": [3.0, 2.0, 2.5], "epoch_seconds": [1.0] * 3}
    running = RecordedTrial(given, (), None, "k", status=None, metrics=metrics)
    recorder.trial(experiment, parent, running)
    with served(SqlSource(uri), Path("/nowhere")) as address:
        html = get(f"{address}/{name}")
    assert words(html, "t0-0") == ["2.000 epoch 3"]
    assert words(html, "t0-1") == ["waiting"]
    assert "not known yet" in html


def test_declared_comparisons_stand_with_their_null_hypothesis(uri: str, tmp_path: Path) -> None:
    seeds = {"until": "decided", "at_least": 3, "at_most": 8, "assume": "exchangeable"}
    content = {
        **{key: value for key, value in CONTENT.items() if key != "baseline"},
        "name": "declared",
        "seeds": seeds,
        "grid": [{"method": ["base", "ours"]}],
        "compare": [{"method": ["base", "ours"]}],
    }
    spec = SweepSpec.from_json(json.dumps(content))
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    for cell in spec.cells():
        for number, seed in enumerate(spec.seed_order()[:7]):
            given = {**cell.given(), "seed": seed}
            fails = given["method"] == "base" and number > 0
            outcome = "diverged" if fails else "completed"
            metrics = {"val_loss": [1.0], "epoch_seconds": [1.0], "best_val_loss": [1.0]}
            key = f"{given['method']} {seed}"
            trial = RecordedTrial(given, (), outcome, key, metrics=metrics)
            recorder.trial(experiment, parent, trial)
    with served(SqlSource(uri), tmp_path) as address:
        html = " ".join(get(f"{address}/declared").split())
    assert "may be told apart" in html.partition("<h2>Decisions</h2>")[2]
    assert "worse by failures: 6 of 7 seeds failed, against 0" in html
    assert "Null hypothesis (exchangeable): the two values of a seed are exchangeable" in html
    assert words(html, "v0") == ["worse than ours"]
    assert "the verdicts as" in html  # links to copy them


STRANGE: list[tuple[str, dict[str, Any]]] = [
    ("one cell", {"grid": [{"method": "a", "depth": 18}], "baseline": None}),
    ("one seed", {"seeds": [7]}),
    ("no baseline", {"baseline": None}),
    ("a metric that nothing recorded", {"metric": {"name": "nope", "goal": "maximize"}}),
]


@pytest.mark.parametrize(("name", "changes"), STRANGE)
def test_strange_sweeps_have_a_page_too(
    name: str, changes: dict[str, Any], uri: str, tmp_path: Path
) -> None:
    content = {key: value for key, value in {**CONTENT, "name": name, **changes}.items() if value}
    spec = SweepSpec.from_json(json.dumps(content))
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    given = {**spec.cells()[0].given(), "seed": spec.seed_order()[0]}
    metrics = {"val_loss": [0.5, 1e5], "epoch_seconds": [1.0, 1.0], "best_val_loss": [0.5, 0.5]}
    recorder.trial(experiment, parent, RecordedTrial(given, key="k", metrics=metrics))
    with served(SqlSource(uri), tmp_path) as address:
        if name.startswith("a metric"):
            assert "has recorded &#39;nope&#39;" in get(f"{address}/{name}", 404)
            return
        html, in_list = get(f"{address}/{name}"), get(f"{address}?find={name}")
    assert words(html, "t0-0") == ["0.5000"]
    assert ("the verdicts as" in html) == ("baseline" in content)
    assert "100000</text>" in html  # a logarithmic axis
    assert "0.5000 <small>val_loss</small>" in in_list


def test_over_mlflows_store_the_pages_are_the_same(uri: str, tmp_path: Path) -> None:
    told = []
    for source in (SqlSource, RestSource):
        with served(source(uri), tmp_path) as address:
            pages = ("", "/own", "/own/table.csv", "/own/verdicts.md", "/own/compare?with=own")
            found = [get(f"{address}{page}") for page in pages]
        told.append(
            [re.sub(r'(data-version|name="token" value)="[^"]*"', "", one) for one in found]
        )
    assert told[0] == told[1]
