"""The trained models of a sweep: the list of them, and how they are fetched from the server."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.sweep_kind import SweepKind
from orchestration.reading.records import Records
from orchestration.record.kept_model import MODEL_TAG, KeptModel
from orchestration.record.names import params_of
from orchestration.results.cells import Cells
from orchestration.results.columns import plain
from orchestration.results.frames import seeds_of
from services.errors import ServiceError
from services.settings import Settings
from services.tracking import tracking_server
from snn_norm.wording import did_you_mean

if TYPE_CHECKING:  # MLflow is loaded where a model is fetched, torch where one is made
    from mlflow import MlflowClient

_NOT_KEPT = (
    "the sweep kept none (keep: none), or its run is from before there was the key, "
    "or from an exported file"
)


def models_table(
    records: Records, cells: Cells, points: Callable[[Sequence[str], Collection[str]], pd.DataFrame]
) -> pd.DataFrame:
    """One row per trial that counts, by cell and seed.

    Columns: the grid's axes, ``seed``, ``run_id``, ``outcome``; the model's ``epoch``; its
    ``test_accuracy``, or the spec's metric; its size in ``bytes``; ``missing``, why there is no
    model.
    """
    trials, metric = seeds_of(records, cells), cells.metric
    tags = {run: text for run, _, text in records.tag_rows([MODEL_TAG])}
    kept = [
        KeptModel.from_tag(tags[run]) if run in tags else KeptModel(missing=_NOT_KEPT)
        for run in trials["run_id"]
    ]
    table = trials[[*cells.axes, "seed", "run_id", "outcome"]].copy()
    columns: dict[str, tuple[str, Sequence[Any]]] = {
        "epoch": ("Int64", [model.epoch for model in kept]),
        metric.name: ("float64", [model.test_accuracy for model in kept]),
        "bytes": ("Int64", [model.bytes for model in kept]),
        "missing": ("object", [model.missing for model in kept]),
    }
    if cells.kind.metric_may_change:
        recorded = points(trials["run_id"].tolist(), [metric.name])
        by_epoch = recorded.set_index(["run_id", "epoch"])["value"].to_dict()
        epochs = zip(trials["run_id"], (model.epoch for model in kept), strict=True)
        columns[metric.name] = ("float64", [by_epoch.get(epoch) for epoch in epochs])
    for name, (dtype, values) in columns.items():
        table[name] = pd.Series(values, table.index, dtype=dtype)
    return table


def chosen_run(models: pd.DataFrame, run_id: str | None, cell: Mapping[str, Any]) -> str:
    """The id of the run that was asked for, which has a model.

    Args:
        models: the table of :func:`models_table`.
        run_id: the id of the run; None to identify it by its cell and seed.
        cell: values of columns, such as norm and seed.

    Raises:
        InputError: no trial matches, or several do, or the trial has no model.
    """
    keys = [*models.columns[: list(models).index("run_id")]]
    for key in cell:
        if key not in keys:
            raise InputError(
                f"{key!r} tells no trials apart here; {', '.join(keys)} do{did_you_mean(key, keys)}"
            )
    meant = pd.Series(True, models.index)
    for key, value in cell.items():
        # The table has lists, and values of a column with several types, as MLflow's text.
        same = (value, params_of({key: value})[key])
        meant &= pd.Series([plain(entry) in same for entry in models[key]], models.index)
    if run_id is not None:
        meant &= models["run_id"] == run_id
    matches = models[meant]
    if len(matches) != 1:
        asked = {**({} if run_id is None else {"run_id": run_id}), **cell}
        near = matches if len(matches) else models
        values = "; ".join(
            f"{key}: {', '.join(str(plain(value)) for value in near[key].unique()[:10])}"
            for key in keys
            if near[key].nunique(dropna=False) > 1
        )
        what = f"{len(matches)} trials are" if len(matches) else "no finished trial is"
        raise InputError(f"{what} {asked or 'meant'}; they differ in {values or 'nothing'}")
    if (missing := plain(matches["missing"].iloc[0])) is not None:
        raise InputError(f"run {matches['run_id'].iloc[0]} has no model: {missing}")
    return str(matches["run_id"].iloc[0])


def folder_names(models: pd.DataFrame) -> dict[str, str]:
    """The name of a folder for the model of each run, made from its cell and seed."""
    keys = [*models.columns[: list(models).index("run_id")]]
    names = {}
    for row in models.to_dict("records"):
        values = [str(plain(row[key])) for key in keys if plain(row[key]) is not None]
        name = re.sub(r"[^\w.+-]+", "_", "-".join([*values[:-1], f"seed{values[-1]}"]))
        names[str(row["run_id"])] = f"{name[:150]}-{row['run_id'][:8]}"
    return names


@dataclass(frozen=True)
class ModelServer:
    """Fetches models of runs from MLflow's tracking server."""

    client: MlflowClient

    @classmethod
    @contextmanager
    def at(cls, tracking_uri: str | None) -> Iterator[ModelServer]:
        """The tracking server at this address.

        None is the one that the settings name, or one that is started here for the block.
        """
        from orchestration.record.client import connect

        if tracking_uri is not None:
            yield cls(connect(tracking_uri))
            return
        with tracking_server(Settings.from_environment()) as uri:
            yield cls(connect(uri))

    def fetch(self, run_id: str, folder: Path) -> None:
        """Download a run's model into a folder, completely or not at all.

        Raises:
            ServiceError: the server does not have the model, or cannot be reached.
        """
        from orchestration.record.model_artifact import fetch_model

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".model-", dir=folder.parent) as scratch:
            whole = Path(scratch) / "model"
            whole.mkdir()
            try:
                fetch_model(self.client, run_id, whole)
            except Exception as error:  # MLflow's, or of any artifact store
                raise ServiceError(
                    f"the model of run {run_id} cannot be fetched from {self.client.tracking_uri}: "
                    f"{' '.join(str(error).split())}"
                ) from error
            whole.replace(folder)

    def load(
        self, run_id: str, device: str, kind: SweepKind, own_code: str | Iterable[str] = ()
    ) -> Any:
        """A run's model in evaluation mode, or what ``load_own_model`` returns.

        Args:
            own_code: names of the user's own code that may be imported.

        Raises:
            ServiceError: the server does not have the model, or cannot be reached.
            InputError: its network cannot be built here, or belongs to code that is not named.
        """
        with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch:
            folder = Path(scratch) / "model"
            self.fetch(run_id, folder)
            try:
                return kind.load_model(folder, device, own_code)
            except ValueError as error:
                raise InputError(str(error)) from error
