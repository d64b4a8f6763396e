"""``snn-sweep models`` on a real server: lists, and fetches what it has not fetched yet."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec
from orchestration.cli.main import cli
from orchestration.record.client import connect
from orchestration.record.kept_model import KeptModel
from orchestration.record.model_artifact import put_model, remove_model
from snn_norm import load_model
from snn_norm.data.dataset import load_dataset
from snn_norm.evaluate import main as evaluate
from snn_norm.training.run import TrainingRun

SPEC = {
    "dataset": "digits",
    "epochs": 1,
    "seeds": [1, 2],
    "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"], "width": 1, "image_size": 8}],
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def sweep(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Its name, and the one of its runs that has a model and the one that has none."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.delenv("SNN_SWEEP_DATABASE_URL", raising=False)
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    spec = SweepSpec.from_dict({"name": f"models {uuid.uuid4()}", **SPEC})
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    first, second, *_ = spec.trials()
    trained = TrainingRun(first.config, load_dataset("digits", Path(), 8))
    result = trained.run_epoch()
    told = KeptModel(1, result.test_accuracy, len(trained.saved())).to_tag()
    one = RecordedTrial(
        first.config.given(), [result.test_accuracy], tags={"snn_sweep.model": told}
    )
    kept = recorder.trial(experiment, parent, one)
    client = connect(tracking_uri)
    put_model(client, client.get_run(kept).info, trained.saved())
    none = recorder.trial(experiment, parent, RecordedTrial(second.config.given(), [0.5]))
    return {"name": spec.name, "kept": kept, "none": none}


def test_it_lists_and_fetches(
    sweep: dict[str, str], tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = run("models", sweep["name"])
    assert listed.exit_code == 0, listed.output
    assert sweep["kept"] in listed.stdout
    assert "1 without: the sweep kept none" in listed.stdout
    assert "fetch them: --download DIR" in listed.stdout

    fetched = run("models", sweep["name"], "--download", "got é", "--json")
    first, second = json.loads(fetched.stdout)
    assert (first["run_id"], first["epoch"], first["seed"]) == (sweep["kept"], 1, 1)
    assert first["path"] == f"got é/ann-none-seed1-{sweep['kept'][:8]}"
    assert (second["run_id"], second["epoch"], "path" in second) == (sweep["none"], None, False)
    assert load_model(first["path"]).description.config.seed == 1
    assert evaluate([first["path"]]) == 0
    assert "to the last digit" in capsys.readouterr().out
    assert [path.name for path in Path("got é").iterdir()] == [Path(first["path"]).name]

    # What is there is not fetched again, nor asked for.
    remove_model(connect(tracking_uri), sweep["kept"])
    again = run("models", sweep["name"], "--download", "got é")
    assert again.exit_code == 0
    assert "1 model" in again.stdout
    assert "in got é" in again.stdout
    lost = run("models", sweep["name"], "--download", "other")
    assert lost.exit_code == 3
    assert f"the model of run {sweep['kept']} cannot be fetched" in lost.stderr
    assert list(Path("other").iterdir()) == []


@pytest.mark.usefixtures("sweep")
def test_of_own_training_code_the_spec_s_metric_is_listed(tracking_uri: str) -> None:
    content = {
        "name": f"own models {uuid.uuid4()}", "train": "nowhere_at_all:Run", "seeds": [1, 2],
        "grid": [{"hidden": [[64, 64], [8]]}], "metric": {"name": "val_loss", "goal": "minimize"},
    }  # fmt: skip
    spec = SweepSpec.from_json(json.dumps(content))
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    tags = (KeptModel(2, None, 10), KeptModel(missing="its state holds a set"))
    for told, seed in zip(tags, (1, 2), strict=True):
        one = RecordedTrial(
            {**spec.cells()[0].given(), "seed": seed},
            key=f"key of {seed}",
            metrics={"val_loss": [3.0, 0.25, 1.0]},
            tags={"snn_sweep.model": told.to_tag()},
        )
        recorder.trial(experiment, parent, one)
    listed = run("models", spec.name)
    assert listed.exit_code == 0, listed.output
    head, first, *_ = listed.stdout.splitlines()
    assert head.split() == ["hidden", "seed", "run", "epoch", "val_loss", "size"]
    assert first.startswith("[64, 64]")
    assert first.split()[-3] == "0.2500"
    assert "1 without: its state holds a set" in listed.stdout
    rows = json.loads(run("models", spec.name, "--json").stdout)
    assert [row["val_loss"] for row in rows] == [0.25, None]


def test_of_one_run_or_of_none(sweep: dict[str, str]) -> None:
    one = run("models", sweep["name"], "--run", sweep["kept"], "--json")
    assert [row["run_id"] for row in json.loads(one.stdout)] == [sweep["kept"]]
    for run_id, message in (
        (sweep["none"], "has no model"),
        ("absent", "no finished trial is {'run_id': 'absent'}"),
    ):
        refused = run("models", sweep["name"], "--run", run_id, "--download", "got")
        assert refused.exit_code == 2
        assert message in refused.stderr
    assert not Path("got").exists()
