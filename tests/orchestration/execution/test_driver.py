"""Whole sweeps with a real local Ray and a real tracking server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import USERS_FOLDER, numbers, undisturbed_numbers
from ledger import Ledger, audit
from mlflow import MlflowClient
from mlflow.entities import Run
from own_training_page import SPECS, save_programs
from ray.cluster_utils import Cluster

from orchestration import Results, SweepSpec, run_sweep
from orchestration.errors import InputError
from orchestration.execution.trials.planning import plan_sweep
from orchestration.progress.events import EpochDone, Event, Note
from orchestration.record.client import connect
from orchestration.record.names import params_of
from services.cluster import local_ray
from services.settings import Settings
from snn_norm.data.dataset import load_dataset
from snn_norm.training.evaluation import evaluate

SPEC = {
    "name": "driver",
    "dataset": "own_code:blobs",
    "epochs": 2,
    "seeds": [1, 2],
    "training": {"batch_size": 16},
    "grid": [
        {"architecture": "ann", "norm": ["none", "homeostatic"], "width": 2},
        {
            "architecture": "snn",
            "norm": "bntt",
            "num_steps": 2,
            "width": 2,
            "validation_fraction": 0.25,
        },
    ],
}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """One for all sweeps here; that a sweep starts its own is for tests of commands."""
    with local_ray(Settings.from_environment({})):
        yield


@pytest.fixture
def settings(tracking_uri: str, tmp_path: Path) -> Settings:
    home = tmp_path / "a home é"
    return Settings.from_environment(
        {"SNN_SWEEP_HOME": str(home), "MLFLOW_TRACKING_URI": tracking_uri}
    )


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return connect(tracking_uri)


@pytest.fixture(autouse=True)
def _own_code_is_in_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(USERS_FOLDER)
    monkeypatch.syspath_prepend(USERS_FOLDER)


def runs_of(client: MlflowClient, name: str, role: str) -> list[Run]:
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`snn_sweep.role` = '{role}'"))


def test_a_sweep_runs_once_and_grows(settings: Settings, client: MlflowClient) -> None:
    spec = SweepSpec.from_dict(SPEC)
    assert len(plan_sweep(spec, settings=settings).run) == 6

    events: list[Event | None] = []
    metrics = settings.home / "metrics" / "driver.prom"
    has_metrics: set[bool] = set()

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone) and event.report.get("checkpoint_seconds"):
            has_metrics.add(metrics.exists())

    outcome = run_sweep(spec, settings=settings, watch=watch, at_end=lambda: events.append(None))
    assert (has_metrics, metrics.exists()) == ({True}, False)
    assert (outcome.failures, outcome.interrupted, outcome.reused) == ({}, False, 0)
    assert events[-2:] == [None, Note("the report is being written")]
    assert isinstance(events[0], Note), "something is said before anything is imported"
    assert audit(client, spec) == Ledger()
    (parent,) = runs_of(client, "driver", "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["snn_sweep.status"] == "completed"
    first = {run.info.run_id: run for run in runs_of(client, "driver", "trial")}
    assert {run.data.tags["mlflow.parentRunId"] for run in first.values()} == {parent.info.run_id}
    spiking = next(run for run in first.values() if run.data.params["architecture"] == "snn")
    assert 0 <= spiking.data.metrics["spike_rate.conv1"] <= 1
    assert spiking.data.params["num_steps"] == "2"
    assert spiking.data.params["validation_fraction"] == "0.25"
    engines = {run.data.tags.get("snn_sweep.engine") for run in first.values()}
    assert (spiking.data.tags["snn_sweep.engine"], engines) == ("numba", {"numba", None})
    by_epoch = {
        name: {
            point.step: point.value
            for point in client.get_metric_history(spiking.info.run_id, name)
        }
        for name in ("validation_accuracy", "validation_loss", "test_accuracy")
    }
    assert [list(points) for points in by_epoch.values()] == [[1, 2]] * 3
    for run in first.values():
        gradients = client.get_metric_history(run.info.run_id, "gradient.conv2")
        assert [point.step for point in gradients] == [0, 1, 2]
    layers = json.loads(spiking.data.tags["snn_sweep.layers"])
    assert layers == [*(f"conv{number}" for number in range(1, 7)), "hidden"]
    best = max(by_epoch["validation_accuracy"], key=lambda e: by_epoch["validation_accuracy"][e])
    assert spiking.data.metrics["best_epoch"] == best
    assert spiking.data.metrics["best_test_accuracy"] == by_epoch["test_accuracy"][best]
    folder = Path(settings.storage) / "driver"
    assert [path.name for path in folder.iterdir()] == ["driver.lock"], "work in progress is left"

    again = run_sweep(spec, settings=settings)
    assert again.reused == 6
    assert {run.info.run_id for run in runs_of(client, "driver", "trial")} == set(first)

    grown = SweepSpec.from_dict({**SPEC, "seeds": [1, 2, 3]})
    assert run_sweep(grown, settings=settings).reused == 6
    assert audit(client, grown) == Ledger()
    new = [run for run in runs_of(client, "driver", "trial") if run.info.run_id not in first]
    assert {run.data.params["seed"] for run in new} == {"3"}
    assert len(new) == 3

    results = Results("driver", tracking_uri=settings.tracking_uri)
    table = results.best_of_seeds()
    assert table["n_seeds"].tolist() == table["n_expected"].tolist() == [3, 3, 3]
    model = results.model(norm="bntt", seed=1)
    told = model.description.config
    assert (told.architecture, told.norm, told.seed) == ("snn", "bntt", 1)
    data = load_dataset("own_code:blobs", Path())
    _, accuracy = evaluate(model, data.test_images, data.test_labels, told.batch_size)
    (same,) = (run for run in first.values() if run.data.params == params_of(told.given()))
    assert accuracy == same.data.metrics["best_test_accuracy"]
    assert table["selected_on"].tolist()[1:] == ["the test set", "25 % held-out training images"]


@pytest.mark.slow
@pytest.mark.release
def test_fresh_runs_anew_beside_what_there_is(settings: Settings, client: MlflowClient) -> None:
    spec = SweepSpec.from_dict({**SPEC, "name": "fresh", "grid": [SPEC["grid"][1]]})
    run_sweep(spec, settings=settings)
    before = {run.info.run_id for run in runs_of(client, "fresh", "trial")}
    assert run_sweep(spec, fresh=True, settings=settings).reused == 0
    assert audit(client, spec) == Ledger()
    after = {run.info.run_id for run in runs_of(client, "fresh", "trial")}
    assert len(after) == 2
    assert not after & before
    replaced = runs_of(client, "fresh", "replaced")
    assert {run.info.run_id for run in replaced} == before
    assert all("--fresh" in run.data.tags["snn_sweep.reason"] for run in replaced)
    assert all("snn_sweep.model" not in run.data.tags for run in replaced)
    assert [client.list_artifacts(run.info.run_id) for run in replaced] == [[], []]
    assert all(run.info.status == "FINISHED" for run in replaced)
    assert len(Results("fresh", tracking_uri=settings.tracking_uri).trials()) == 2


@pytest.mark.slow
@pytest.mark.release
def test_a_trial_of_another_sweep_counts_if_the_spec_says_so(
    settings: Settings, client: MlflowClient
) -> None:
    # Seeds that no other test's sweep has on this server.
    content = {**SPEC, "name": "lender", "seeds": [91, 92], "grid": [SPEC["grid"][1]]}
    run_sweep(SweepSpec.from_dict(content), settings=settings)
    content |= {"name": "borrower", "seeds": [91, 92, 93]}
    assert len(plan_sweep(SweepSpec.from_dict(content), settings=settings).run) == 3

    spec = SweepSpec.from_dict({**content, "reuse": "any"})
    assert len(plan_sweep(spec, settings=settings).copy) == 2
    assert run_sweep(spec, settings=settings).reused == 2
    assert audit(client, spec) == Ledger()
    own, copies = [], []
    for run in runs_of(client, "borrower", "trial"):
        (copies if "snn_sweep.copied_from" in run.data.tags else own).append(run)
    assert {run.data.params["seed"] for run in own} == {"93"}
    (parent,) = runs_of(client, "borrower", "sweep")
    for copy in copies:
        source = client.get_run(copy.data.tags["snn_sweep.copied_from"])
        assert copy.data.params == source.data.params
        assert copy.data.metrics == source.data.metrics
        assert copy.info.start_time == source.info.start_time
        assert copy.info.end_time == source.info.end_time
        assert copy.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert copy.data.tags["snn_sweep.machine"] == source.data.tags["snn_sweep.machine"]
        histories = [
            client.get_metric_history(one.info.run_id, "train_loss") for one in (copy, source)
        ]
        assert [vars(m) for m in histories[0]] == [vars(m) for m in histories[1]]
    results = Results("borrower", tracking_uri=settings.tracking_uri)
    assert results.best_of_seeds()["n_seeds"].tolist() == [3]
    assert run_sweep(spec, settings=settings).reused == 3


def test_a_mistake_in_the_users_norm_fails_that_trial_at_once_and_no_other(
    settings: Settings, client: MlflowClient
) -> None:
    reasons = {
        "own_code:BrokenNorm": "RuntimeError: The size of tensor a",
        "own_code:ExitingNorm": "SystemExit: 3",
        "own_code:ForgetfulNorm": "TypeError: own_code:ForgetfulNorm returned None",
    }
    spec = SweepSpec.from_dict(
        {
            **SPEC,
            "name": "broken",
            "seeds": [1],
            "grid": [{"architecture": "ann", "norm": [*reasons, "none"], "width": 2}],
        }
    )
    outcome = run_sweep(spec, settings=settings)
    assert set(outcome.failures) == {f"ann {norm} seed 1" for norm in reasons}
    for norm, reason in reasons.items():
        assert outcome.failures[f"ann {norm} seed 1"].startswith(reason)
    runs = {run.data.params["norm"]: run for run in runs_of(client, "broken", "trial")}
    assert runs["none"].info.status == "FINISHED"
    assert runs["own_code:BrokenNorm"].info.status == "FAILED"
    trace = runs["own_code:BrokenNorm"].data.tags["snn_sweep.reason"]
    assert "Traceback" in trace
    assert "own_code.py" in trace
    (parent,) = runs_of(client, "broken", "sweep")
    assert parent.info.status == "FAILED"


def test_training_code_of_the_users_own(settings: Settings, client: MlflowClient) -> None:
    content = {
        "name": "own training",
        "train": "own_runs:Fit",
        "epochs": 2,
        "seeds": [1, 2],
        "grid": [{"rate": 0.05, "method": ["baseline", "ours"]}],
        "metric": {"name": "val_error", "goal": "minimize"},
        "baseline": {"method": "baseline"},
    }
    spec = SweepSpec.from_dict(content)
    assert run_sweep(spec, settings=settings).failures == {}
    assert audit(client, spec) == Ledger()
    assert numbers(client, spec.name) == undisturbed_numbers(
        SweepSpec.from_dict({**content, "grid": [{"rate": 0.05}], "baseline": None})
    )
    for run in runs_of(client, spec.name, "trial"):
        assert run.data.params.keys() == {"train", "rate", "method", "epochs", "seed"}
        history = client.get_metric_history(run.info.run_id, "val_error")
        values = [point.value for point in sorted(history, key=lambda point: point.step)]
        assert run.data.metrics["best_val_error"] == min(values)
        assert values[int(run.data.metrics["best_epoch"]) - 1] == min(values)
        assert run.data.tags["snn_sweep.outcome"] == "completed"
    (parent,) = runs_of(client, spec.name, "sweep")
    assert "report.html" in {
        Path(file.path).name for file in client.list_artifacts(parent.info.run_id, "report")
    }
    results = Results(spec.name, tracking_uri=settings.tracking_uri)
    assert results.best_of_seeds()["n_seeds"].tolist() == [2, 2]
    assert results.differences()["n_pairs"].tolist() == [2]


def test_the_page_s_script_that_became_a_sweep(
    settings: Settings, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_programs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mlp.yaml").write_text(SPECS[1].replace("seeds: [1, 2, 3]", "seeds: [1]"))
    spec = SweepSpec.load(tmp_path / "mlp.yaml")
    assert run_sweep(spec, settings=settings).failures == {}
    assert audit(client, spec) == Ledger()
    table = Results(spec.name, tracking_uri=settings.tracking_uri).best_of_seeds()
    assert table["hidden"].tolist() == [16, 16, 64, 64]
    assert (table["best"] > 0.3).all(), "they have not learned"


def test_mistakes_in_training_code_of_the_users_own_are_told_and_nan_is_a_divergence(
    settings: Settings, client: MlflowClient
) -> None:
    reasons = {
        "raises": "ZeroDivisionError: a mistake of its author's",
        "appears": "ValueError: epoch 3 of 'own_runs:mistaken' differs from the first in 'val_iou'",
        "missing": "ValueError: epoch 1 of 'own_runs:mistaken' gave no 'val_error'",
        "latin_1": "FileNotFoundError: caf\\udce9.png",
        "interrupts": "KeyboardInterrupt",
        "long": "ValueError: " + 400 * "x",
    }
    spec = SweepSpec.from_dict(
        {
            "name": "own mistakes",
            "train": "own_runs:mistaken",
            "seeds": [1],
            "grid": [{"mistake": [*reasons, "nan", "none"]}],
            "metric": {"name": "val_error", "goal": "maximize"},
        }
    )
    started = time.monotonic()
    outcome = run_sweep(spec, settings=settings)
    assert time.monotonic() - started < 240, "a trial waited for MLflow to take what it never will"
    for mistake, reason in reasons.items():
        told = outcome.failures.pop(f"mistake={mistake} seed 1")
        assert told.startswith(reason)
        assert len(told) <= 500
    assert outcome.failures == {}
    runs = {run.data.params["mistake"]: run for run in runs_of(client, spec.name, "trial")}
    assert runs["raises"].info.status == "FAILED"
    assert "own_runs.py" in runs["raises"].data.tags["snn_sweep.reason"]
    assert r"FileNotFoundError: caf\udce9.png" in runs["latin_1"].data.tags["snn_sweep.reason"]
    assert runs["nan"].data.tags["snn_sweep.outcome"] == "diverged"
    assert len(client.get_metric_history(runs["nan"].info.run_id, "val_loss")) == 3
    assert runs["none"].data.tags["snn_sweep.outcome"] == "completed"
    table = Results(spec.name, tracking_uri=settings.tracking_uri).best_of_seeds()
    assert dict(zip(table["mistake"], table["n_diverged"], strict=True)) == {
        **dict.fromkeys(reasons, 0), "nan": 1, "none": 0,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.release
def test_a_cluster_that_the_user_names_runs_the_sweep_and_is_left_running(
    settings: Settings, client: MlflowClient, tmp_path: Path
) -> None:
    spec = SweepSpec.from_dict({**SPEC, "name": "on a cluster", "seeds": [1]})
    path = tmp_path / "cluster.yaml"
    path.write_text(spec.to_json())
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        # In a process of its own: Ray keeps the way of signing in of a process's first session.
        subprocess.run(
            [sys.executable, "-c", "from orchestration import main; main()", "run", str(path)],
            env={
                **os.environ,
                "RAY_ADDRESS": cluster.address,
                "SNN_SWEEP_HOME": str(settings.home),
                "MLFLOW_TRACKING_URI": str(settings.tracking_uri),
            },
            check=True,
        )
        assert audit(client, spec) == Ledger()
        assert "raylet" in {name for name, _ in cluster.head_node.live_processes()}
    finally:
        cluster.shutdown()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resources": {"gpu": 64}}, r"resources\.gpu: a trial asks for 64, this machine has \d+"),
        ({"dataset": "own_code:no_files"}, r"no_files' raised FileNotFoundError: .*absent"),
    ],
)
def test_what_is_not_there_is_refused_and_creates_nothing(
    change: dict[str, object], message: str, settings: Settings, client: MlflowClient
) -> None:
    spec = SweepSpec.from_dict({**SPEC, "name": "refused", **change})
    with pytest.raises(InputError, match=message):
        run_sweep(spec, settings=settings)
    assert client.get_experiment_by_name("refused") is None
    assert not settings.home.exists()


def test_a_deleted_experiment_is_not_written_to(settings: Settings, client: MlflowClient) -> None:
    client.delete_experiment(client.create_experiment("deleted"))
    spec = SweepSpec.from_dict({**SPEC, "name": "deleted"})
    with pytest.raises(InputError, match="has been deleted in MLflow: restore it"):
        plan_sweep(spec, settings=settings)
