"""The trained models of a sweep: which there are, and one of them, or all, from the server."""

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
    """A row a trial that counts, in order of cell and seed.

    Columns: the grid's axes, ``seed``, ``run_id``, ``outcome``; ``epoch`` whose weights the model
    has; ``test_accuracy`` in it, or what else the spec's metric is; ``bytes`` of the model;
    ``missing`` (why there is none; else missing).
    """
    trials, metric = seeds_of(records, cells), cells.metric
    said = {run: text for run, _, text in records.tag_rows([MODEL_TAG])}
    kept = [
        KeptModel.from_tag(said[run]) if run in said else KeptModel(missing=_NOT_KEPT)
        for run in trials["run_id"]
    ]
    table = trials[[*cells.axes, "seed", "run_id", "outcome"]].copy()
    columns: dict[str, tuple[str, Sequence[Any]]] = {
        "epoch": ("Int64", [one.epoch for one in kept]),
        metric.name: ("float64", [one.test_accuracy for one in kept]),
        "bytes": ("Int64", [one.bytes for one in kept]),
        "missing": ("object", [one.missing for one in kept]),
    }
    if cells.kind.metric_may_change:
        recorded = points(trials["run_id"].tolist(), [metric.name])
        by_epoch = recorded.set_index(["run_id", "epoch"])["value"].to_dict()
        of_epochs = zip(trials["run_id"], (one.epoch for one in kept), strict=True)
        columns[metric.name] = ("float64", [by_epoch.get(one) for one in of_epochs])
    for name, (dtype, values) in columns.items():
        table[name] = pd.Series(values, table.index, dtype=dtype)
    return table


def chosen_run(models: pd.DataFrame, run_id: str | None, cell: Mapping[str, Any]) -> str:
    """The one run that is meant, which has a model.

    Args:
        models: of :func:`models_table`.
        run_id: of the run; None to tell it by its cell and seed.
        cell: values of columns, such as norm and seed.

    Raises:
        InputError: none is meant, or several are, or it has no model.
    """
    keys = [*models.columns[: list(models).index("run_id")]]
    for key in cell:
        if key not in keys:
            raise InputError(
                f"{key!r} tells no trials apart here; {', '.join(keys)} do{did_you_mean(key, keys)}"
            )
    meant = pd.Series(True, models.index)
    for key, value in cell.items():
        # A list, and a value in a column of several types, stands there as MLflow's text.
        same = (value, params_of({key: value})[key])
        meant &= pd.Series([plain(one) in same for one in models[key]], models.index)
    if run_id is not None:
        meant &= models["run_id"] == run_id
    found = models[meant]
    if len(found) != 1:
        asked = {**({} if run_id is None else {"run_id": run_id}), **cell}
        near = found if len(found) else models
        values = "; ".join(
            f"{key}: {', '.join(str(plain(value)) for value in near[key].unique()[:10])}"
            for key in keys
            if near[key].nunique(dropna=False) > 1
        )
        what = f"{len(found)} trials are" if len(found) else "no finished trial is"
        raise InputError(f"{what} {asked or 'meant'}; they differ in {values or 'nothing'}")
    if (missing := plain(found["missing"].iloc[0])) is not None:
        raise InputError(f"run {found['run_id'].iloc[0]} has no model: {missing}")
    return str(found["run_id"].iloc[0])


def folder_names(models: pd.DataFrame) -> dict[str, str]:
    """A folder's name for the model of each run, which says what it is of."""
    keys = [*models.columns[: list(models).index("run_id")]]
    names = {}
    for row in models.to_dict("records"):
        values = [str(plain(row[key])) for key in keys if plain(row[key]) is not None]
        told = re.sub(r"[^\w.+-]+", "_", "-".join([*values[:-1], f"seed{values[-1]}"]))
        names[str(row["run_id"])] = f"{told[:150]}-{row['run_id'][:8]}"
    return names


@dataclass(frozen=True)
class ModelServer:
    """Fetches models of runs.

    Args:
        client: of the tracking server that has the runs.
    """

    client: MlflowClient

    @classmethod
    @contextmanager
    def at(cls, tracking_uri: str | None) -> Iterator[ModelServer]:
        """The tracking server of this URI; None: the one that the settings name or that is
        started here for as long as the block lasts.
        """
        from orchestration.record.client import connect

        if tracking_uri is not None:
            yield cls(connect(tracking_uri))
            return
        with tracking_server(Settings.from_environment()) as uri:
            yield cls(connect(uri))

    def fetch(self, run_id: str, folder: Path) -> None:
        """Put a run's model into a folder, which is there whole or not at all.

        Raises:
            ServiceError: the server has it not, or cannot be reached.
        """
        from orchestration.record.model_artifact import fetch_model

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".model-", dir=folder.parent) as scratch:
            whole = Path(scratch) / "model"
            whole.mkdir()
            try:
                fetch_model(self.client, run_id, whole)
            except Exception as error:  # of MLflow, or of whatever its artifact store is
                raise ServiceError(
                    f"the model of run {run_id} cannot be fetched from {self.client.tracking_uri}: "
                    f"{' '.join(str(error).split())}"
                ) from error
            whole.replace(folder)

    def load(
        self, run_id: str, device: str, kind: SweepKind, own_code: str | Iterable[str] = ()
    ) -> Any:
        """A run's model, in evaluation, or what ``load_own_model`` gives.

        Args:
            run_id: of the trial.
            device: where it is to compute.
            kind: of its sweep.
            own_code: names of the user's own code that may be imported.

        Raises:
            ServiceError: as of :meth:`fetch`.
            InputError: its network cannot be made here, or is of code that is not named.
        """
        with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch:
            folder = Path(scratch) / "model"
            self.fetch(run_id, folder)
            try:
                return kind.load_model(folder, device, own_code)
            except ValueError as error:
                raise InputError(str(error)) from error
