"""An archive from somebody else is read as one, or refused with what is wrong: never believed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from whole_sweep import record_digits

from orchestration.cli.main import cli
from orchestration.errors import InputError
from orchestration.record.archive import SweepArchive, read_archive, write_archive
from orchestration.record.client import connect
from orchestration.record.exchange import Imported, export_sweep, import_sweep
from orchestration.results.results import Results
from orchestration.store.base import Storage
from orchestration.store.open import open_storage

SWEEP: dict[str, Any] = {"snn_sweep_archive": 1, "name": "a", "status": "stopped", "spec": None}
TAGS = {
    "snn_sweep.role": "trial",
    "snn_sweep.trial_key": "0123456789abcdef",
    "snn_sweep.outcome": "completed",
}
TRIAL: dict[str, Any] = {
    "run_id": "r1",
    "label": "ann none seed 1",
    "started": 1000,
    "ended": 2000,
    "params": {"architecture": "ann", "norm": "none", "seed": "1"},
    "tags": TAGS,
    "metrics": [[1, 1500, {"test_accuracy": 0.5}], [1, 2000, {"best_test_accuracy": 0.5}]],
}


def written(path: Path, *trials: dict[str, Any] | str) -> Path:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in (SWEEP, *trials)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tagged(**tags: str) -> dict[str, Any]:
    return {**TRIAL, "tags": {**TAGS, **{f"snn_sweep.{name}": text for name, text in tags.items()}}}


def without(name: str) -> dict[str, Any]:
    return {**TRIAL, "tags": {key: text for key, text in TAGS.items() if key != name}}


def with_metrics(*metrics: Any) -> dict[str, Any]:
    return {**TRIAL, "metrics": list(metrics)}


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        (tagged(role="sweep"), "tags snn_sweep.role must be one of trial, got 'sweep'"),
        (tagged(status="running"), "tags must be those of a trial, got 'snn_sweep.status'"),
        (tagged(name="b"), "tags must be those of a trial"),
        (tagged(**{"spec.1": "{}"}), "tags must be those of a trial"),
        ({**TRIAL, "tags": {**TAGS, "mlflow.parentRunId": "x"}}, "tags must be those of a trial"),
        (without("snn_sweep.role"), "tags must have snn_sweep.role"),
        (without("snn_sweep.outcome"), "tags must have snn_sweep.outcome"),
        (tagged(outcome="fine"), "snn_sweep.outcome must be one of completed"),
        (tagged(trial_key=""), "snn_sweep.trial_key must be 1 to 250"),
        (tagged(layers="[1"), "snn_sweep.layers must be a list of layers"),
        (tagged(sample="[]"), "snn_sweep.sample must be channels"),
        ({**TRIAL, "tags": {**TAGS, "snn_sweep.reason": 5}}, "tags must be text"),
        ({**TRIAL, "tags": {**TAGS, "snn_sweep.reason": "x" * 8001}}, "tags must be text of"),
        ({**TRIAL, "tags": {**TAGS, **{f"snn_sweep.{n}": "" for n in range(98)}}}, "at most 100"),
        ({**TRIAL, "params": {"a": "nul \0"}}, "params must be text of at most 6,000 char"),
        ({**TRIAL, "params": {"a": {"b": "c"}}}, "params must be text.*got a mapping"),
        ({**TRIAL, "params": {"../a": "1"}}, "params must have names that MLflow accepts"),
        ({**TRIAL, "params": []}, "params must be a mapping"),
        ({**TRIAL, "run_id": "x' or 'a' = 'a"}, "run_id must be valid"),
        ({**TRIAL, "label": 7}, "label must be text"),
        ({**TRIAL, "started": "1000"}, "started must be a whole number"),
        ({**TRIAL, "ended": 10**15}, "ended must be less than"),
        ({**TRIAL, "more": 1}, "must have the keys .*, got 'more'"),
        (with_metrics([2**70, 1, {}]), "a step must be a whole number"),
        (with_metrics([True, 1, {}]), "a step must be a whole number"),
        (with_metrics([1, -1, {}]), "a time must be a whole number"),
        (with_metrics([1, 1, {"a": "1"}]), "a must be a number, got '1'"),
        (with_metrics([1, 1, {"a": 10**400}]), "a must be a number"),
        (with_metrics([1, 1, {"a": None}]), "a must be a number, got nothing"),
        (with_metrics([1, 1, {"a//b": 1.0}]), "names that MLflow accepts"),
        (with_metrics([1, 1]), "metrics must be lists of step, time"),
        ({**TRIAL, "metrics": {}}, "metrics must be a list"),
        (json.dumps(TRIAL).replace("[[1,", "[" * 5000 + "[[1,"), "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("null", "must be"),
        ("", "not readable as JSON"),
        (json.dumps(TRIAL).replace("ann none", r"\ud800"), "not readable as JSON"),
    ],
)  # fmt: skip
def test_a_line_that_no_export_writes_is_refused(
    trial: dict[str, Any] | str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.jsonl", trial)
    with pytest.raises(InputError, match=rf"damaged: line 2: .*{message}"):
        read_archive(path)
    with pytest.raises(InputError, match=message):
        Results(str(path))


def test_a_trial_stands_in_one_line_alone(tmp_path: Path) -> None:
    assert len(read_archive(written(tmp_path / "a.jsonl", TRIAL)).trials) == 1
    again = {**TRIAL, "run_id": "r2"}
    with pytest.raises(InputError, match="line 3: it is trial 0123456789abcdef, as line 2 is"):
        read_archive(written(tmp_path / "b.jsonl", TRIAL, again))
    other = tagged(trial_key="b" * 16)
    with pytest.raises(InputError, match="line 3: it is run r1, as line 2 is"):
        read_archive(written(tmp_path / "c.jsonl", TRIAL, other))


def test_what_an_earlier_export_says_of_a_model_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", tagged(model="[1"))
    assert dict(read_archive(path).trials[0].tags) == TAGS
    found = CliRunner().invoke(cli, ["models", str(path)])
    assert found.exit_code == 0, found.output
    assert "1 without: the sweep kept none" in found.output


def test_what_cannot_be_read_is_not_exported(tmp_path: Path) -> None:
    archive = read_archive(written(tmp_path / "a.jsonl", TRIAL))
    odd = dataclasses.replace(archive.trials[0], points=[("loss", -1, 5, 1.0)])
    with pytest.raises(InputError, match="run r1 of 'a' cannot be exported: metrics a step must"):
        write_archive(dataclasses.replace(archive, trials=(odd,)), tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


def packed(path: Path, line: str, times: int) -> Path:
    """An archive whose second line holds a text as often as this."""
    head, _, rest = json.dumps({**TRIAL, "metrics": []}).partition("[]")
    with gzip.open(path, "wt") as file:
        file.write(json.dumps(SWEEP) + "\n" + head + "[")
        for _ in range(times // 10_000):
            file.write(line * 10_000)
        file.write('[1, 1, {"a": 1}]]' + rest + "\n")
    return path


@pytest.mark.parametrize(
    ("line", "times", "message"),
    [
        ("[],", 20_000_000, "holds more than 6.25 MB in a line once it is unpacked"),
        ("[],", 2_000_000, "must be lists of step, time"),
    ],
)
def test_a_small_file_does_not_fill_the_memory(
    line: str, times: int, message: str, tmp_path: Path
) -> None:
    path = packed(tmp_path / "a.jsonl.gz", line, times)
    assert path.stat().st_size < 10**6
    program = "import sys; from orchestration.cli.main import cli; cli()"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))

    found = subprocess.run(
        [sys.executable, "-c", program, "results", str(path)],
        capture_output=True,
        text=True,
        preexec_fn=limited,
        check=False,
    )
    assert found.returncode == 2, found.stderr
    assert message in found.stderr


def test_a_flag_raises_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_SWEEP_ARCHIVE_MB", "1")
    metrics = [[n, 1500, {f"loss{k}": 0.123456789 for k in range(100)}] for n in range(200)]
    long = with_metrics(*metrics, *TRIAL["metrics"])
    path = written(tmp_path / "a.jsonl", long)
    for command in (["results"], ["report"], ["compare", str(path)], ["import"], ["models"]):
        found = CliRunner().invoke(cli, [*command, str(path)])
        assert found.exit_code == 2
        assert "snn-sweep --archive-mb N …" in found.stderr
    found = CliRunner().invoke(cli, ["--archive-mb", "16", "results", str(path)])
    assert found.exit_code == 0, found.output
    assert "50.00" in found.output


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "store")).folder("digits")


def damaged(archive: SweepArchive, number: int) -> SweepArchive:
    """With a trial that MLflow refuses; no file can hold it."""
    trials = list(archive.trials)
    trials[number] = dataclasses.replace(trials[number], params={"a//b": "1"})
    return dataclasses.replace(archive, trials=tuple(trials))


def test_a_refused_trial_leaves_nothing_behind(
    sqlite_database: Callable[[], str], store: Storage
) -> None:
    source, uri = sqlite_database(), sqlite_database()
    record_digits(source, trials=6)
    archive, client = export_sweep(connect(source), "digits"), connect(uri)
    with pytest.raises(InputError, match=r"nothing of 'digits' was imported: MLflow refuses run"):
        import_sweep(client, damaged(archive, 3), store)
    with pytest.raises(InputError, match="no sweep is named 'digits'"):
        Results("digits", tracking_uri=uri).trials()
    assert client.search_runs(["1"]) == []

    assert import_sweep(client, archive, store) == Imported(new=6, known=0)
    more = dataclasses.replace(
        archive,
        trials=tuple(
            dataclasses.replace(
                one,
                run_id=f"x{one.run_id}",
                tags={**one.tags, "snn_sweep.trial_key": f"{number:016}"},
            )
            for number, one in enumerate(archive.trials)
        ),
    )
    with pytest.raises(InputError, match=r"nothing of 'digits' was imported"):
        import_sweep(client, damaged(more, 3), store)
    assert len(client.search_runs(["1"])) == 7
    assert import_sweep(client, archive, store) == Imported(new=0, known=6)
