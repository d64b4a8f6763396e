"""The model that a trial keeps: in the checkpoint store until the trial ends, then in MLflow.

The network of every epoch that is the best so far is stored before the epoch's checkpoint. So
whichever checkpoint a trial continues from, the network of its best epoch is in the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import RunInfo

from orchestration.execution.worker.own_training import Training
from orchestration.record.kept_model import MODEL_TAG, KeptModel
from orchestration.record.model_artifact import has_model, put_model
from orchestration.store.base import Storage
from orchestration.sweep.spec_keys import Keep
from snn_norm.training.models.model_file import WEIGHTS_FILE, UnsavableError, check_whole, header_of

_CHECKPOINTS = 3  # models are kept for the newest checkpoint, the one before it, and the next one


class ModelKeeper:
    """Keeps the model of one trial."""

    def __init__(self, keep: Keep, storage: Storage) -> None:
        self._keep = keep
        self._storage = storage.folder("models")
        self._needed: deque[str] = deque(maxlen=_CHECKPOINTS)
        self._problem: str | None = None

    def take(self, run: Training, *, is_saved: bool = True) -> None:
        """Store the network of an epoch if it is the best so far. Call it before the checkpoint.

        Args:
            is_saved: whether a checkpoint of the epoch follows.

        Raises:
            OSError: the store failed.
        """
        best = run.best
        if self._keep != "best" or best is None:
            return
        if is_saved:
            self._needed.append(str(best.epoch))
        if best.epoch != len(run.history):
            return
        self._write(run)
        # This also deletes models of earlier attempts, once no checkpoint can need them.
        if len(self._needed) == _CHECKPOINTS:
            for folder in self._storage.folders():
                if folder.name not in (*self._needed, str(best.epoch)):
                    folder.delete_all()

    def settle(self, run: Training) -> dict[str, str]:
        """Choose and check the model that is kept. Call it before the trial's end is recorded.

        Returns:
            The tags that describe the model, or why there is none.

        Raises:
            OSError: the store failed.
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
        accuracy = header_of(data)["metrics"].get("test_accuracy")
        return _tag(KeptModel(chosen.epoch, accuracy, len(data)))

    def delivery(self, tags: Mapping[str, str]) -> Callable[[MlflowClient, RunInfo], None] | None:
        """The function that sends the model to MLflow; None if there is no model.

        It is called with MLflow's client and the trial's run.

        Args:
            tags: what :meth:`settle` returned, in this process or an earlier one.

        Raises:
            OSError: the store failed.
        """
        model = KeptModel.from_tag(tags[MODEL_TAG]) if MODEL_TAG in tags else KeptModel()
        if model.epoch is None:
            return None
        data = self._storage.folder(str(model.epoch)).read(WEIGHTS_FILE)
        if data is not None:
            return lambda client, run: put_model(client, run, data)
        return _check_arrival

    def remove(self) -> None:
        """Delete the models in the store."""
        self._storage.delete_all()

    def _write(self, run: Training) -> None:
        try:
            data = run.saved()
        except UnsavableError as error:  # the user's own code, which can be trained nevertheless
            self._problem = str(error)
            return
        self._storage.folder(str(len(run.history))).write(WEIGHTS_FILE, data)


def _check_arrival(client: MlflowClient, run: RunInfo) -> None:
    """Check that a model which is no longer in the store is in MLflow.

    An earlier attempt may have sent and removed it, and been killed before it could report that; or
    somebody else removed it.
    """
    if not has_model(client, run):
        lost = KeptModel(missing="its file in the checkpoint store was removed")
        client.set_tag(run.run_id, MODEL_TAG, lost.to_tag())


def why_missing(ending: Mapping[str, Any]) -> str | None:
    """Why a wanted model is missing; None if it is not, or if the trial diverged.

    Args:
        ending: the entry with the trial's outcome in its spool.
    """
    text = ending.get("tags", {}).get(MODEL_TAG)
    if text is None or ending["outcome"] == "diverged":
        return None
    return KeptModel.from_tag(text).missing


def _tag(model: KeptModel) -> dict[str, str]:
    return {MODEL_TAG: model.to_tag()}
