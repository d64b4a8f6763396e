from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from recorded import RecordedTrial, Recorder
from specs import spec

from orchestration.model.run import TrialRun
from orchestration.record.client import connect
from orchestration.record.names import REASON_TAG, spec_tags
from orchestration.record.spool import Spool
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.open import open_storage
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError


def test_books_are_closed_for_a_spec_whatever_the_order_of_its_keys(
    tracking_uri: str, tmp_path: Path
) -> None:
    name = f"closed {uuid.uuid4()}"
    entry = {"norm": ["none", "batchnorm"], "architecture": "ann"}
    wanted = SweepSpec.from_dict(spec(name=name, grid=[entry]))
    client = connect(tracking_uri)
    books = SweepRecorder(client, name, open_storage(str(tmp_path)))
    assert not books.are_closed_for(wanted)
    books.open(wanted)
    assert not books.are_closed_for(wanted)
    books.close("completed")
    assert books.are_closed_for(wanted)
    assert not books.are_closed_for(wanted.model_copy(update={"retries": 7}))

    turned = SweepSpec.from_dict(spec(name=name, grid=[dict(reversed(entry.items()))]))
    assert turned.to_json() != wanted.to_json()
    assert books.are_closed_for(turned)

    assert books.parent_run_id is not None
    earlier = json.dumps(json.loads(wanted.to_json()), sort_keys=True, separators=(",", ":"))
    for key, text in spec_tags(earlier).items():
        client.set_tag(books.parent_run_id, key, text)
    assert books.are_closed_for(wanted)


def test_a_run_whose_records_mlflow_refuses_is_closed_and_says_so(
    tracking_uri: str, tmp_path: Path
) -> None:
    client, name = connect(tracking_uri), f"refused {uuid.uuid4()}"
    storage = open_storage(str(tmp_path))
    run_id = client.create_run(client.create_experiment(name)).info.run_id
    spool = Spool(storage.folder("k"))
    spool.append({"run_id": run_id})
    spool.append({"step": 1, "metrics": {"val//loss": 1.0}, "time": 1})
    spool.close()
    left = TrialRun(run_id, "k", "RUNNING", None, 1, None, None, resumable=True)
    SweepRecorder(client, name, storage).close_trial(left, "KILLED", "stopped")
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert "MLflow refuses what the trial recorded: " in run.data.tags[REASON_TAG]
    assert "val//loss" in run.data.tags[REASON_TAG]


def test_where_no_files_can_be_put_no_trial_is_begun(tracking_uri: str, tmp_path: Path) -> None:
    client = connect(tracking_uri)
    good, bad = (SweepSpec.from_dict(spec(name=f"files {uuid.uuid4()}")) for _ in range(2))
    client.create_experiment(bad.name, "file:///proc/there/is/none")
    for wanted in (good, bad):
        books = SweepRecorder(client, wanted.name, open_storage(str(tmp_path)).folder(wanted.name))
        books.open(wanted)
        if wanted is bad:
            with pytest.raises(ServiceError, match=r"no artifacts .* or set keep: none"):
                books.check_artifacts(wanted)
            continue
        books.check_artifacts(wanted)
        assert books.parent_run_id is not None
        (put,) = client.list_artifacts(books.parent_run_id)
        assert put.path == "spec.json"


def test_a_finished_run_has_its_last_epoch(tracking_uri: str, tmp_path: Path) -> None:
    wanted = SweepSpec.from_dict(spec(name=f"epochs {uuid.uuid4()}"))
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(wanted.name, wanted.to_json())
    (first, second, *_) = wanted.trials()
    seconds = {"epoch_seconds": (1.0, 2.0, 3.0)}
    recorder.trial(experiment, parent, RecordedTrial(first.config.given(), (0.5,), metrics=seconds))
    recorder.trial(experiment, parent, RecordedTrial(second.config.given()))
    books = SweepRecorder(connect(tracking_uri), wanted.name, open_storage(str(tmp_path)))
    runs = {run.trial_key: (run.epochs_done, run.epoch_seconds) for run in books.recorded()}
    assert runs == {first.key: (3, 3.0), second.key: (0, None)}
    client = connect(tracking_uri)
    (at_work,) = (run for run in books.recorded() if run.trial_key == first.key)
    assert books.running() == []
    client.update_run(at_work.run_id, status="RUNNING")
    assert [run.run_id for run in books.running()] == [at_work.run_id]
