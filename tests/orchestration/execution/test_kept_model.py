"""The network that a trial keeps, whatever happens to its process on the way."""

from __future__ import annotations

import dataclasses
import math
import random
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from orchestration.execution.worker.kept_model import ModelKeeper
from orchestration.record.client import connect
from orchestration.record.kept_model import KeptModel
from orchestration.store.base import Storage
from orchestration.store.checkpoints import CheckpointStore
from orchestration.store.open import open_storage
from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, channel_statistics
from snn_norm.training.epoch import EpochResult
from snn_norm.training.models.model_file import UnsavableError
from snn_norm.training.run import TrainingRun

ACCURACIES = (0.2, 0.5, 0.5, 0.4, 0.6, 0.7, 0.3, 0.6, 0.8, 0.1, 0.8, 0.7)
BEST, LAST = 9, len(ACCURACIES)


def images() -> Dataset:
    labels = torch.arange(16) % 2
    grey = (torch.arange(16 * 64).view(16, 1, 8, 8) % 97 + 90 * labels[:, None, None, None]).byte()
    return Dataset("own:data", grey, labels, grey, labels, 2, *channel_statistics(grey))


class ScriptedRun(TrainingRun):
    """Trains, and measures on the test set what the test wants."""

    def __init__(self, accuracies: Sequence[float] = ACCURACIES) -> None:
        self._script = accuracies
        keys = {"architecture": "ann", "norm": "batchnorm", "dataset": "own:data", "seed": 1}
        config = RunConfig(**keys, epochs=len(accuracies), width=1, batch_size=8)
        super().__init__(config, images())

    def run_epoch(self, on_batch: Callable[[int], object] | None = None) -> EpochResult:
        measured = super().run_epoch(on_batch)
        scripted = self._script[measured.epoch - 1]
        changed = {"test_accuracy": scripted}
        if math.isnan(scripted):
            changed = {"train_loss": math.nan}
        self.history[-1] = dataclasses.replace(measured, **changed)
        return self.history[-1]


@pytest.fixture(scope="module")
def undisturbed() -> list[bytes]:
    """The model of each epoch."""
    run = ScriptedRun()
    return [run.saved() for _ in run.epochs()]


def told(keeper: ModelKeeper, run: TrainingRun) -> KeptModel:
    return KeptModel.from_tag(keeper.settle(run)["snn_sweep.model"])


def kept(storage: Storage) -> dict[int, bytes]:
    found = {}
    for folder in storage.folder("models").folders():
        data = folder.read("model.safetensors")
        assert data is not None
        found[int(folder.name)] = data
    return found


def test_the_best_epoch_is_kept_and_little_else(storage: Storage, undisturbed: list[bytes]) -> None:
    run, keeper = ScriptedRun(), ModelKeeper("best", storage)
    for _ in run.epochs():
        keeper.take(run)
        assert len(kept(storage)) <= 3
    assert told(keeper, run) == KeptModel(BEST, 0.8, len(undisturbed[BEST - 1]))
    assert kept(storage)[BEST] == undisturbed[BEST - 1]
    keeper.remove()
    assert kept(storage) == {}


@pytest.mark.filterwarnings("ignore:.* is damaged")
@pytest.mark.parametrize("seed", range(5))
def test_it_survives_a_trial_that_is_killed_anywhere(
    seed: int, tmp_path_factory: pytest.TempPathFactory, undisturbed: list[bytes]
) -> None:
    """Between any two steps, with the newest checkpoint damaged or whole."""
    chance = random.Random(seed)
    storage = open_storage(str(tmp_path_factory.mktemp("store")))

    def attempt() -> KeptModel | None:
        run, keeper, store = ScriptedRun(), ModelKeeper("best", storage), CheckpointStore(storage)
        if (state := store.load()) is not None:
            run.load_state_dict(state)
        while run.outcome is None:
            run.run_epoch()
            for step in (lambda: keeper.take(run), lambda: store.save(run.state_dict())):
                if chance.random() < 0.15:
                    return None
                step()
            if chance.random() < 0.1:
                newest = storage.read("checkpoint.pt")
                assert newest is not None
                storage.write("checkpoint.pt", newest[: chance.randrange(2 * len(newest))])
                return None
        return None if chance.random() < 0.3 else told(keeper, run)

    found = None
    while found is None:
        found = attempt()
    assert found == KeptModel(BEST, 0.8, len(undisturbed[BEST - 1]))
    assert kept(storage)[BEST] == undisturbed[BEST - 1]


def test_the_last_epoch_is_kept_if_it_is_asked_for(
    storage: Storage, undisturbed: list[bytes]
) -> None:
    run, keeper = ScriptedRun(), ModelKeeper("last", storage)
    for _ in run.epochs():
        keeper.take(run)
        assert kept(storage) == {}
    assert told(keeper, run) == KeptModel(LAST, 0.7, len(undisturbed[-1]))
    assert kept(storage) == {LAST: undisturbed[-1]}


def test_none_is_kept_if_none_is_asked_for(storage: Storage) -> None:
    run, keeper = ScriptedRun((0.5,)), ModelKeeper("none", storage)
    run.run_epoch()
    keeper.take(run)
    assert keeper.settle(run) == {}
    assert keeper.delivery({}) is None
    assert kept(storage) == {}


def test_a_trial_that_is_killed_once_its_books_are_closed_does_not_lose_it(
    tracking_uri: str, tmp_path: Path
) -> None:
    client, storage = connect(tracking_uri), open_storage(str(tmp_path))
    experiment = client.create_experiment(f"closed {uuid.uuid4()}")
    run, keeper = ScriptedRun((0.6,)), ModelKeeper("best", storage)
    run.run_epoch()
    keeper.take(run)
    tags = keeper.settle(run)
    closed, without = (client.create_run(experiment, tags=tags).info for _ in range(2))
    deliver = keeper.delivery(tags)
    assert deliver is not None
    deliver(client, closed)
    keeper.remove()
    again = ModelKeeper("best", storage).delivery(tags)
    assert again is not None
    for one in (closed, without):
        again(client, one)
    runs = [client.get_run(one.run_id) for one in (closed, without)]
    told = [one.data.tags["snn_sweep.model"] for one in runs]
    assert told[0] == tags["snn_sweep.model"]
    assert KeptModel.from_tag(told[1]).missing == "its file in the checkpoint store was removed"


def test_why_there_is_none_is_told(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path))
    diverged, keeper = ScriptedRun((math.nan, 0.5)), ModelKeeper("best", storage)
    diverged.run_epoch()
    keeper.take(diverged)
    assert told(keeper, diverged) == KeptModel(missing="no epoch had finite numbers")
    assert told(ModelKeeper("last", storage), diverged).epoch == 1

    begun_without, keeper = ScriptedRun((0.6, 0.5)), ModelKeeper("best", storage.folder("b"))
    begun_without.run_epoch()
    begun_without.run_epoch()
    keeper.take(begun_without)
    assert told(keeper, begun_without).missing == "not kept when its epoch was trained"

    run, keeper = ScriptedRun((0.6,)), ModelKeeper("best", storage.folder("c"))
    run.run_epoch()
    keeper.take(run)
    (saved,) = kept(storage.folder("c")).values()
    storage.folder("c").folder("models").folder("1").write("model.safetensors", saved[:-9])
    assert "damaged" in (told(keeper, run).missing or "")
    monkeypatch.setattr(
        run, "saved", lambda: (_ for _ in ()).throw(UnsavableError("of the user's"))
    )
    keeper = ModelKeeper("best", storage.folder("d"))
    keeper.take(run)
    assert told(keeper, run).missing == "of the user's"
