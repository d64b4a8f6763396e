from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import USERS_FOLDER
from mlflow import MlflowClient
from webhook import Webhook, webhook

from orchestration import SweepSpec, run_sweep
from orchestration.errors import InputError
from orchestration.execution.driver import Driver
from orchestration.execution.end_notice import notify_of_end
from orchestration.execution.tally import SweepOutcome
from orchestration.progress.events import Event, Note
from orchestration.record.client import connect
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.open import sweep_storage
from services.cluster import local_ray
from services.errors import ServiceError
from services.settings import Settings, SettingsError

SPEC: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 1,
    "seeds": [1],
    "training": {"batch_size": 16},
    "grid": [{"architecture": "ann", "norm": "none", "width": 2}],
}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def settings(
    tracking_uri: str, tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.chdir(USERS_FOLDER)
    monkeypatch.syspath_prepend(USERS_FOLDER)
    return Settings.from_environment(
        {
            "SNN_SWEEP_HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": tracking_uri,
            "SNN_SWEEP_NOTIFY": hook.address,
        }
    )


def sweep_run(uri: str, name: str) -> tuple[MlflowClient, str]:
    client = connect(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`snn_sweep.role` = 'sweep'")
    return client, run.info.run_id


def test_of_each_end_there_is_one_message(
    settings: Settings, hook: Webhook, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SweepSpec.from_dict({"name": "end-notice", **SPEC})
    silent = dataclasses.replace(settings, notify=())
    seen: list[Event] = []
    with local_ray(settings):
        run_sweep(spec, settings=settings, watch=seen.append)
        assert hook.messages == [
            ("Sweep end-notice: completed", "Its table: snn-sweep results end-notice")
        ]
        run_sweep(spec, settings=settings, watch=seen.append)
        assert len(hook.messages) == 1

        # A driver that is killed once the sweep is closed leaves it to the next one.
        client, run_id = sweep_run(tracking_uri, "end-notice")
        client.set_tag(run_id, "snn_sweep.notify", "due")
        run_sweep(spec, settings=silent, watch=seen.append)
        assert len(hook.messages) == 1
        run_sweep(spec, settings=settings, watch=seen.append)
        run_sweep(spec, settings=settings, watch=seen.append)
        assert len(hook.messages) == 2

        def gone(*_: object) -> None:
            raise ServiceError("The cluster has ended.")

        monkeypatch.setattr(Driver, "_train", gone)
        grown = SweepSpec.from_dict({"name": "end-notice", **SPEC, "seeds": [1, 2]})
        with pytest.raises(ServiceError):
            run_sweep(grown, settings=settings, watch=seen.append)

        def refuse(*_: object) -> None:
            raise InputError("The spec is wrong.")

        monkeypatch.setattr(Driver, "_train", refuse)
        with pytest.raises(InputError):
            run_sweep(grown, settings=settings, watch=seen.append)
    assert len(hook.messages) == 3
    title, body = hook.messages[-1]
    assert title == "Sweep end-notice: stopped by an error"
    assert body.startswith("The cluster has ended.")


def test_failures_a_stop_and_a_message_that_is_not_accepted(
    settings: Settings, hook: Webhook, tracking_uri: str
) -> None:
    storage = sweep_storage(settings, "end-failures")
    recorder = SweepRecorder(connect(tracking_uri), "end-failures", storage)
    recorder.open(SweepSpec.from_dict({"name": "end-failures", **SPEC}))
    failures = {f"cell seed {seed}": "ValueError: no" for seed in range(7)}
    ended = SweepOutcome("end-failures", 0, failures, interrupted=False, tracking_uri=tracking_uri)
    seen: list[Event] = []
    notify_of_end(ended, recorder, settings, seen.append)
    assert hook.messages == [], "nobody had asked for it when the sweep was run"
    recorder.mark_notice("due")
    stopped = dataclasses.replace(ended, interrupted=True)
    notify_of_end(stopped, recorder, settings, seen.append)
    assert hook.messages == []
    hook.code = 500
    notify_of_end(ended, recorder, settings, seen.append)
    ((title, body),) = hook.messages
    assert title == "Sweep end-failures: 7 trials failed"
    assert body.splitlines()[4:6] == ["cell seed 4: ValueError: no", "and 2 more"]
    (warning,) = [event.text for event in seen if isinstance(event, Note)]
    assert "was not accepted" in warning
    assert "secret" not in warning


def test_an_invalid_address_starts_nothing(settings: Settings) -> None:
    spec = SweepSpec.from_dict({"name": "end-notice-invalid", **SPEC})
    with pytest.raises(SettingsError, match="SNN_SWEEP_NOTIFY"):
        run_sweep(spec, settings=dataclasses.replace(settings, notify=("nobody://x",)))
    assert connect(str(settings.tracking_uri)).get_experiment_by_name("end-notice-invalid") is None
