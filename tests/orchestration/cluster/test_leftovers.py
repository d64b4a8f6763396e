"""Only what no sweep needs is deleted from the checkpoint store."""

from __future__ import annotations

import re
import signal
import uuid
from collections import Counter
from pathlib import Path

import pytest
from commands import (
    SLOW,
    USERS_FOLDER,
    commands_in,
    epochs_of,
    finish,
    numbers,
    trials_of,
    undisturbed_numbers,
    wait_until,
)
from ledger import Ledger, audit
from mlflow import MlflowClient
from specs import SLOW_SPEC

from orchestration.cluster.leftovers import (
    RUN_DELETED,
    RUN_FINISHED,
    SWEEP_COMPLETED,
    SWEEP_DELETED,
    SweepFolder,
    deleted_runs,
    look_through,
)
from orchestration.record.spool import Spool
from orchestration.store.base import Storage
from orchestration.store.lease import sweep_lease, writing_report
from orchestration.store.open import sweep_storage
from services.settings import Settings


class Sweep:
    """A sweep of runs without numbers, with work in progress of their trials."""

    def __init__(self, client: MlflowClient, settings: Settings, status: str = "stopped") -> None:
        self.client = client
        self.name = f"leftovers {uuid.uuid4().hex}"
        self.experiment = client.create_experiment(self.name)
        self.storage = sweep_storage(settings, self.name)
        self.storage.write("driver.lock", b"")
        tags = {"snn_sweep.role": "sweep", "snn_sweep.status": status}
        client.create_run(self.experiment, tags=tags)

    def trial(self, key: str, status: str | None) -> str:
        """Make work of a trial whose run has this status; None is work without a run."""
        storage = self.storage.folder(key)
        storage.write("checkpoint.pt", b"1234")
        spool = Spool(storage)
        run_id = ""
        if status is not None:
            run_id = self.client.create_run(self.experiment).info.run_id
            self.client.set_terminated(run_id, status)
            spool.append({"run_id": run_id})
        spool.close()
        return run_id

    def kept(self) -> set[str]:
        return {folder.name for folder in self.storage.folders()}


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path / "home")})


def look(client: MlflowClient, settings: Settings, *, delete: bool = True) -> SweepFolder:
    (found,) = look_through(client, settings, delete=delete)
    return found


def test_work_of_finished_and_deleted_runs_is_deleted_and_of_no_others(
    client: MlflowClient, settings: Settings
) -> None:
    sweep = Sweep(client, settings)
    for key, status in {
        "finished": "FINISHED", "killed": "KILLED", "failed": "FAILED", "running": "RUNNING",
        "without": None, "deleted": "KILLED",
    }.items():  # fmt: skip
        run_id = sweep.trial(key, status)
    before = deleted_runs(client)
    client.delete_run(run_id)
    assert deleted_runs(client) == before + 1
    sweep.storage.write("submission.zip", b"a bundle")
    of_another_server = Spool(sweep.storage.folder("elsewhere"))
    of_another_server.append({"run_id": uuid.uuid4().hex})
    of_another_server.close()

    listed = look(client, settings, delete=False)
    assert listed.trials == Counter({RUN_FINISHED: 1, RUN_DELETED: 1})
    assert all(4 < size < 400 for size in listed.sizes.values())
    assert len(sweep.kept()) == 7
    assert look(client, settings) == listed
    assert sweep.kept() == {"killed", "failed", "running", "without", "elsewhere"}
    assert sweep.storage.read("submission.zip") == b"a bundle"
    assert look(client, settings).trials == Counter()


def test_a_completed_sweep_needs_no_work(client: MlflowClient, settings: Settings) -> None:
    sweep = Sweep(client, settings, status="completed")
    sweep.trial("pruned", "KILLED")
    sweep.trial("without", None)
    assert look(client, settings).trials == Counter({SWEEP_COMPLETED: 1})
    assert sweep.kept() == {"without"}


def test_a_deleted_sweep_needs_neither_work_nor_its_submission(
    client: MlflowClient, settings: Settings
) -> None:
    sweep = Sweep(client, settings)
    sweep.trial("killed", "KILLED")
    sweep.storage.write("submission.zip", b"a bundle")
    client.delete_experiment(sweep.experiment)
    found = look(client, settings)
    assert found.trials == Counter({RUN_DELETED: 1})
    assert found.sizes[SWEEP_DELETED] == len(b"a bundle")
    assert sweep.kept() == set()
    assert sweep.storage.read("submission.zip") is None


def test_a_sweep_that_runs_or_writes_its_report_is_left_alone(
    client: MlflowClient, settings: Settings
) -> None:
    sweep = Sweep(client, settings)
    sweep.trial("finished", "FINISHED")
    for using in (sweep_lease(sweep.storage, sweep.name), writing_report(sweep.storage)):
        with using:
            found = look(client, settings)
        assert found.busy is not None
        assert found.busy.startswith("process ")
        assert sweep.kept() == {"finished"}
    assert look(client, settings).trials == Counter({RUN_FINISHED: 1})


def test_a_sweep_of_another_server_is_left_alone(client: MlflowClient, settings: Settings) -> None:
    storage: Storage = sweep_storage(settings, "of another server")
    storage.folder("trial").write("checkpoint.pt", b"1234")
    found = look(client, settings)
    assert (found.name, found.size, found.is_known) == ("of another server", 4, False)
    assert storage.folder("trial").read("checkpoint.pt") == b"1234"


@pytest.mark.release
@pytest.mark.slow
def test_tables_stay_and_a_stopped_sweep_goes_on_to_the_numbers_of_an_undisturbed_one(
    client: MlflowClient, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    with commands_in(tmp_path, tracking_uri) as commands:
        _, finished = commands.spec("kept whole", {**SLOW_SPEC, "epochs": 1, "seeds": [1]})
        commands.run("run", finished)
        # Its quick trials end while the slow ones are trained.
        grid = [{"architecture": "ann", "norm": ["none", SLOW], "width": 2}]
        spec, path = commands.spec("kept open", {**SLOW_SPEC, "grid": grid})
        process = commands.start("run", path)

        def n_finished() -> int:
            runs = map(client.get_run, trials_of(client, "kept open", "none"))
            return sum(run.info.status == "FINISHED" for run in runs)

        wait_until(lambda: n_finished() == 2 and epochs_of(client, "kept open") > 0)
        process.send_signal(signal.SIGINT)
        finish(process, 130)

        def said(*arguments: str) -> str:
            return commands.start(*arguments).communicate(timeout=500)[0]

        def tables() -> list[str]:
            return [
                said("results", name, "--format", "json") for name in ("kept whole", "kept open")
            ]

        before_it = tables()
        assert re.search(r"kept open +2 +.* their runs are finished", said("gc", "--delete"))
        assert "there is nothing to delete" in said("gc")
        assert tables() == before_it
        commands.run("run", path)
        assert len(trials_of(client, "kept open", SLOW)) == 2, "a trial began anew"
    assert audit(client, spec) == Ledger()
    assert numbers(client, "kept open") == undisturbed_numbers(spec)
