"""The file with the curves of a sweep that are no longer in MLflow's database.

``orchestration.cluster.move_curves`` writes it: a Parquet file among the artifacts of the sweep's
own run, with rows of MLflow's table ``metrics``. The tag ``CURVES_TAG`` of that run names it. Later
trials are in the database again, and a trial's rows may be in both places, so every reader of
curves reads both: first the database, as rows leave it only after the tag has been written.
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestration.record.names import CURVES_TAG
from services.errors import ServiceError
from services.settings import Settings
from services.tracking import home_files, reading_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

CurvePoint = tuple[str, str, int, int, float]
"""Run id, metric, epoch, milliseconds since 1970, value."""

_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
"""The variable in which MLflow's server has the address of its artifacts. MLflow has its name in a
module that loads the whole server."""


def history(
    client: MlflowClient, experiment_id: str, run_id: str, metrics: Collection[str]
) -> list[CurvePoint]:
    """The whole history of metrics of a run, each in the order in which MLflow returns it."""
    points = [
        (run_id, metric, point.step, point.timestamp, point.value)
        for metric in metrics
        for point in client.get_metric_history(run_id, metric)
    ]
    archived = archived_points(client, experiment_id, [run_id], metrics)
    if not archived:
        return points
    place = {metric: number for number, metric in enumerate(metrics)}

    def in_order(point: CurvePoint) -> tuple[int, int, int, float]:
        _, metric, epoch, timestamp, value = point
        # MLflow stores NaN as 0.
        return place[metric], timestamp, epoch, 0.0 if math.isnan(value) else value

    # By their text, as NaN does not equal itself.
    return sorted({str(point): point for point in [*points, *archived]}.values(), key=in_order)


def archived_points(
    client: MlflowClient, experiment_id: str, run_ids: Sequence[str], metrics: Collection[str]
) -> list[CurvePoint]:
    """Metrics of runs of one sweep from the sweep's file; empty if it has none."""
    from orchestration.record.client import runs_of_role

    for sweep in runs_of_role(client, [experiment_id], "sweep"):
        if (name := sweep.data.tags.get(CURVES_TAG)) is not None:
            uri = str(client.tracking_uri)
            return points_in_file(sweep.info.artifact_uri, name, uri, run_ids, metrics)
    return []


def points_in_file(
    artifact_uri: str,
    name: str,
    tracking_uri: str | None,
    run_ids: Sequence[str],
    metrics: Collection[str],
) -> list[CurvePoint]:
    """Metrics of runs from the file of this name.

    Args:
        artifact_uri: where MLflow has the artifacts of the sweep's own run.
        name: the file among them.
        tracking_uri: the tracking server; None is that of the settings.

    Raises:
        ServiceError: the file cannot be read.
    """
    from pyarrow import parquet

    path = _fetched(artifact_uri, name, tracking_uri)
    wanted = [("run_uuid", "in", set(run_ids)), ("key", "in", set(metrics))]
    rows = parquet.read_table(path, filters=wanted).to_pydict()
    values = (
        math.nan if is_nan else value
        for value, is_nan in zip(rows["value"], rows["is_nan"], strict=True)
    )
    columns = (rows[column] for column in ("run_uuid", "key", "step", "timestamp"))
    return list(zip(*columns, values, strict=True))


@functools.cache  # a file never changes, and may be large
def _fetched(artifact_uri: str, name: str, tracking_uri: str | None) -> Path:
    """The file on this machine; a copy is kept until the process ends."""
    from mlflow.exceptions import MlflowException

    from orchestration.record.model_artifact import file_transfers

    repository = artifact_repository(artifact_uri, tracking_uri)
    try:
        if repository.artifact_uri.startswith(("/", "file:")):
            return Path(repository.download_artifacts(name))  # where it is, not a copy
        folder = tempfile.mkdtemp(prefix="snn-sweep-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with file_transfers():
            return Path(repository.download_artifacts(name, folder))
    except (MlflowException, OSError) as error:
        raise ServiceError(
            f"the file with the curves, {name} in {artifact_uri}, cannot be read: "
            f"{' '.join(str(error).split())}"
        ) from error


def artifact_repository(artifact_uri: str, tracking_uri: str | None) -> ArtifactRepository:
    """The artifacts of a run, also where its tracking server does not run or is this process."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = tracking_uri or ""
    if artifact_uri.startswith("mlflow-artifacts:") and not uri.startswith("http"):
        destination = os.environ.get(_DESTINATION)
        if destination is None:
            settings = Settings.from_environment()
            uri = reading_uri(settings) or ""
            destination = "" if uri.startswith("http") else str(home_files(settings)[1])
        if destination:
            folder = destination if "://" in destination else str(Path(destination).absolute())
            artifact_uri = folder.rstrip("/") + urlsplit(artifact_uri).path
    return get_artifact_repository(artifact_uri, tracking_uri=uri or None)
