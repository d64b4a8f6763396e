"""A sweep whose models find no room beside their runs says so at once, and goes on by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from commands import USERS_FOLDER, models_of

from orchestration import SweepSpec, run_sweep
from orchestration.progress.events import Event, Note, Started
from orchestration.record.client import connect
from orchestration.record.spool import read_spool
from orchestration.store.open import sweep_storage
from services.settings import Settings
from services.tracking import tracking_server

SPEC = {
    "name": "full store",
    "dataset": "own_code:blobs",
    "epochs": 2,
    "seeds": [1],
    "training": {"batch_size": 16},
    "grid": [{"architecture": "ann", "norm": "none", "width": 2}],
}


class Store:
    """The artifact store of a tracking server on this machine, which tests can make unusable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name("aside")

    def block(self) -> None:
        self._folder.rename(self._aside)
        self._folder.touch()  # no folder can be made below a file

    def unblock(self) -> None:
        self._folder.unlink()
        self._aside.rename(self._folder)


def test_a_store_that_takes_nothing_is_named_within_10_s_and_the_sweep_goes_on_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(USERS_FOLDER)
    monkeypatch.syspath_prepend(USERS_FOLDER)
    spec = SweepSpec.from_dict(SPEC)
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path / "home")})
    store = Store(settings.home / "tracking" / "artifacts")
    (trial,) = spec.trials()
    spool = sweep_storage(settings, spec.name).folder(trial.key)
    notes: list[str] = []
    waited, room_since = 0.0, 0.0

    def watch(event: Event) -> None:
        nonlocal waited, room_since
        if isinstance(event, Started):
            store.block()
        if isinstance(event, Note) and "waits to be recorded" in event.text:
            notes.append(event.text)
            (ending,) = (entry for entry in read_spool(spool) if "outcome" in entry)
            waited = time.time() - ending["time"] / 1000
            store.unblock()
            room_since = time.monotonic()

    with tracking_server(settings) as uri:
        outcome = run_sweep(spec, settings=settings, watch=watch)
        ended = time.monotonic()
        assert outcome.failures == {}
        assert len(models_of(connect(uri), spec.name)) == 1
    (note,) = notes
    assert note.startswith("ann none seed 1 is trained and waits to be recorded: ")
    assert "the artifact store mlflow-artifacts:/" in note
    assert f"of the tracking server {uri} did not take the model" in note
    assert "Not a directory" in note
    assert waited < 10
    assert ended - room_since < 60
