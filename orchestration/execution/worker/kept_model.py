"""The model that a trial keeps: in the checkpoint store until its end, then beside its run.

Each epoch that is the best so far leaves its network in the store, before the checkpoint that
counts on it. So whatever checkpoint a trial goes on from, the network of its best epoch is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mlflow import MlflowClient

from orchestration.execution.worker.training import Training
from orchestration.record.kept_model import MODEL_TAG, KeptModel
from orchestration.record.model_artifact import has_model, put_model
from orchestration.store.base import Storage
from orchestration.sweep.spec import Keep
from snn_norm.training.models.model_file import WEIGHTS_FILE, UnsavableError, check_whole, said_in

# Of the newest checkpoint, of the one before it, and of the one that is saved next.
_CHECKPOINTS = 3


class ModelKeeper:
    """Keeps the model of one trial.

    Args:
        keep: which: of the best epoch, of the last, or none.
        storage: the trial's own folder in the checkpoint store.
    """

    def __init__(self, keep: Keep, storage: Storage) -> None:
        self._keep = keep
        self._storage = storage.folder("models")
        self._needed: deque[str] = deque(maxlen=_CHECKPOINTS)
        self._problem: str | None = None

    def take(self, run: Training, *, is_saved: bool = True) -> None:
        """After an epoch, before its checkpoint: put its network into the store if it is the best.

        Args:
            run: after the epoch.
            is_saved: whether a checkpoint of the epoch follows.

        Raises:
            OSError: the store would not take it.
        """
        best = run.best
        if self._keep != "best" or best is None:
            return
        if is_saved:
            self._needed.append(str(best.epoch))
        if best.epoch != len(run.history):
            return
        self._write(run)
        # Those of an attempt that ended here are dropped too, once no checkpoint may need them.
        if len(self._needed) == _CHECKPOINTS:
            for folder in self._storage.folders():
                if folder.name not in (*self._needed, str(best.epoch)):
                    folder.delete_all()

    def settle(self, run: Training) -> dict[str, str]:
        """Before the end is put on record: make sure of the model that stays.

        Returns:
            The tags that say which one that is, or why there is none.

        Raises:
            OSError: the store does not do its part.
        """
        if self._keep == "none":
            return {}
        if self._keep == "last":
            self._write(run)
        chosen = run.history[-1] if self._keep == "last" else run.best
        if chosen is None:
            return _tag(KeptModel(missing="no epoch had finite numbers"))
        data = self._storage.folder(str(chosen.epoch)).read(WEIGHTS_FILE)
        if data is None:
            missing = self._problem or "not kept when its epoch was trained"
            return _tag(KeptModel(missing=missing))
        try:
            check_whole(data)
        except ValueError as error:
            return _tag(KeptModel(missing=f"its file in the checkpoint store: {error}"))
        accuracy = said_in(data)["metrics"].get("test_accuracy")
        return _tag(KeptModel(chosen.epoch, accuracy, len(data)))

    def delivery(self, tags: Mapping[str, str]) -> Callable[[MlflowClient, str], None] | None:
        """What puts the model beside its run, given the client and the run's id; None without one.

        Args:
            tags: what :meth:`settle` gave, in this process or an earlier one.

        Raises:
            OSError: the store does not give it.
        """
        told = KeptModel.from_tag(tags[MODEL_TAG]) if MODEL_TAG in tags else KeptModel()
        if told.epoch is None:
            return None
        data = self._storage.folder(str(told.epoch)).read(WEIGHTS_FILE)
        if data is not None:
            return lambda client, run_id: put_model(client, run_id, data)
        return _see_that_it_arrived

    def remove(self) -> None:
        """Delete what is in the store."""
        self._storage.delete_all()

    def _write(self, run: Training) -> None:
        try:
            data = run.saved()
        except UnsavableError as error:  # of code of the user's own, which trains all the same
            self._problem = str(error)
            return
        self._storage.folder(str(len(run.history))).write(WEIGHTS_FILE, data)


def _see_that_it_arrived(client: MlflowClient, run_id: str) -> None:
    """Of a model that is in the store no more: an attempt that had closed its books removed it, and
    was killed before it could say so; or somebody else did.
    """
    if not has_model(client, run_id):
        lost = KeptModel(missing="its file in the checkpoint store was removed")
        client.set_tag(run_id, MODEL_TAG, lost.to_tag())


def why_missing(ending: Mapping[str, Any]) -> str | None:
    """Why a trial leaves no model though one is asked for; None where there is no reason to tell.

    Args:
        ending: what its spool says of its end.
    """
    text = ending.get("tags", {}).get(MODEL_TAG)
    if text is None or ending["outcome"] == "diverged":
        return None
    return KeptModel.from_tag(text).missing


def _tag(model: KeptModel) -> dict[str, str]:
    return {MODEL_TAG: model.to_tag()}
