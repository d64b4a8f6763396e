"""Moves the curves of a finished sweep from MLflow's database into a file of the sweep's own run.

    with sweep_lease(storage, name):
        file, size = Curves(client, name, database_url).move()

The file is complete, and has been read back and compared with the database, before the tag names
it. Rows are deleted only after that. A repetition after an interruption writes what the tagged file
and the database hold together, so that nothing is lost.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.errors import InputError, SweepError
from orchestration.reading.sql import RUN_IDS_A_QUERY, SqlSource
from orchestration.reading.sql_schema import METRICS, RUNS, TAGS, UnknownSchemaError
from orchestration.record.client import runs_of_role, sweep_names
from orchestration.record.curves_file import artifact_repository
from orchestration.record.model_artifact import file_transfers
from orchestration.record.names import CURVES_TAG, IMPORTING, REPLACED_ROLE, ROLE_TAG, STATUS_TAG
from orchestration.record.unknown_sweep import unknown_sweep

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDER = "curves"
_ROW = [METRICS.c[name] for name in ("run_uuid", "key", "timestamp", "step", "value", "is_nan")]


class Curves:
    """The curves of a finished sweep that are in MLflow's database.

    Args:
        client: MLflow's client of the tracking server.
        name: the sweep's name.
        database_url: the database of this server.

    Attributes:
        rows: how many rows of the table ``metrics`` they are.
        size: about how many bytes the rows and their indexes are.

    Raises:
        InputError: there is no such sweep, it is not finished, or the database is of a version that
            is not known.
    """

    rows_at_once = 50_000
    """About how many rows of whole runs are held, and deleted in a transaction, at once."""

    def __init__(self, client: MlflowClient, name: str, database_url: str) -> None:
        self._client, self._name, self._url = client, name, database_url
        try:
            self._source = SqlSource(database_url, client.tracking_uri)
        except UnknownSchemaError as error:
            raise InputError(f"nothing can be deleted from this database: {error}") from error
        self._sweep = _finished_sweep(client, name)
        # The sweep is found by the id of its run, which no other server's database has.
        sweep = RUNS.alias()
        by_run = (
            sa.select(
                *(METRICS.c.run_uuid, sa.func.count()),
                sa.func.sum(sa.func.length(METRICS.c.key)),
            )
            .join(RUNS, RUNS.c.run_uuid == METRICS.c.run_uuid)
            .join(TAGS, (TAGS.c.run_uuid == RUNS.c.run_uuid) & (TAGS.c.key == ROLE_TAG))
            .join(sweep, sweep.c.experiment_id == RUNS.c.experiment_id)
            .where(
                sweep.c.run_uuid == self._sweep.info.run_id,
                TAGS.c.value.in_(("trial", REPLACED_ROLE)),
            )
            .group_by(METRICS.c.run_uuid)
        )
        with self._source.transaction() as connection:
            found = connection.execute(by_run).all()
        self._counts = Counter({run_id: count for run_id, count, _ in found})
        self.rows = self._counts.total()
        # Beside its key, a row has a run's id, three numbers and a flag. The primary key repeats
        # all; of two further indexes one has the run's id, one its id, the key and the step.
        of_a_row = 2 * (32 + 3 * 8 + 1) + 32 + (32 + 8)
        self.size = 3 * sum(keys for *_, keys in found) + self.rows * of_a_row

    def move(self) -> tuple[str, int]:
        """Move the curves and those of an earlier file; return the new file's name and its bytes.

        Raises:
            InputError: the database lets nothing be deleted.
            SweepError: something was recorded meanwhile, or the database is not this server's.
        """
        from pyarrow import parquet

        self._delete([], 0)  # fails if this user may delete nothing
        info, before = self._sweep.info, self._sweep.data.tags.get(CURVES_TAG)
        store = artifact_repository(info.artifact_uri, self._client.tracking_uri)
        with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch, file_transfers():
            new, earlier, back = (Path(scratch) / name for name in ("new", "earlier", "back"))
            for folder in (new, earlier, back):
                folder.mkdir()
            known = None if before is None else Path(store.download_artifacts(before, str(earlier)))
            in_file = {} if known is None else _rows_of_runs(known)
            batches = list(self._batches(self._counts | Counter(in_file)))
            path = new / "curves.parquet"
            schema = self._table([], None)[0].schema
            with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_table(self._table(batch, known)[0], row_group_size=2**31)
            size = path.stat().st_size
            # The name is a digest of the content, so a file that a tag names never changes.
            path = path.rename(new / f"{_digest(path)}.parquet")
            name = f"{_FOLDER}/{path.name}"
            if name != before:
                store.log_artifact(str(path), _FOLDER)
            copy = parquet.ParquetFile(store.download_artifacts(name, str(back)))
            counts = []
            for number, batch in enumerate(batches):
                table, count = self._table(batch, known)
                if not copy.read_row_group(number).equals(table):
                    raise self._changed()
                counts.append(count)
        self._record(name, before)
        for batch, count in zip(batches, counts, strict=True):
            self._delete(batch, count)
        return name, size

    def _batches(self, counts: Mapping[str, int]) -> Iterator[list[str]]:
        """Yield groups of runs in the order of their ids, in which the file has them too."""
        batch: list[str] = []
        rows = 0
        for run_id, count in sorted(counts.items()):
            is_full = rows + count > self.rows_at_once or len(batch) == RUN_IDS_A_QUERY
            if batch and is_full:
                yield batch
                batch, rows = [], 0
            batch.append(run_id)
            rows += count
        if batch:
            yield batch

    def _table(self, batch: Sequence[str], known: Path | None) -> tuple[pa.Table, int]:
        """All rows of these runs, in order, and how many of them are in the database."""
        import pyarrow as pa
        from pyarrow import parquet

        with self._source.transaction() as connection:
            query = sa.select(*_ROW).where(METRICS.c.run_uuid.in_(batch))
            recorded = {tuple(row) for row in connection.execute(query)}
        rows: set[tuple[Any, ...]] = set(recorded)
        if known is not None and batch:
            table = parquet.read_table(known, filters=[("run_uuid", "in", batch)])
            rows.update(zip(*table.to_pydict().values(), strict=True))
        columns = list(zip(*sorted(rows), strict=True)) or [()] * len(_ROW)
        types = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.float64(), pa.bool_())
        names = [column.name for column in _ROW]
        return pa.table(
            {
                name: pa.array(values, kind)
                for name, values, kind in zip(names, columns, types, strict=True)
            }
        ), len(recorded)

    def _record(self, name: str, before: str | None) -> None:
        """Write the tag through the server, and check that this database has it."""
        run_id = self._sweep.info.run_id
        if self._client.get_run(run_id).data.tags.get(CURVES_TAG) != before:
            raise self._changed()
        self._client.set_tag(run_id, CURVES_TAG, name)
        tag = sa.select(TAGS.c.value).where(TAGS.c.run_uuid == run_id, TAGS.c.key == CURVES_TAG)
        with self._source.transaction() as connection:
            if connection.scalar(tag) != name:
                raise SweepError(
                    f"nothing was deleted: {self._source.engine.url!r} is not the database of the "
                    "tracking server"
                )

    def _delete(self, batch: Sequence[str], count: int) -> None:
        is_sqlite = self._source.engine.dialect.name == "sqlite"
        waiting = {"timeout": 60} if is_sqlite else {}  # in seconds, while others write
        engine = sa.create_engine(self._url, poolclass=sa.NullPool, connect_args=waiting)
        try:
            with engine.begin() as connection:
                deleted = connection.execute(METRICS.delete().where(METRICS.c.run_uuid.in_(batch)))
                if deleted.rowcount != count:  # the transaction is undone
                    raise self._changed()
        except sa.exc.DBAPIError as error:
            raise InputError(
                f"the rows cannot be deleted ({str(error.orig).strip()}): name a user who may "
                "delete them in SNN_SWEEP_DATABASE_URL"
            ) from error

    def _changed(self) -> SweepError:
        return SweepError(
            f"something has been recorded for {self._name!r} while its curves were moved. Nothing "
            f"is lost; repeat it: snn-sweep archive {self._name} --delete"
        )


def _finished_sweep(client: MlflowClient, name: str) -> Run:
    """The own run of a sweep that is finished according to its record.

    Raises:
        InputError: it is not, or there is no such sweep.
    """
    experiment = client.get_experiment_by_name(name)
    ids = [] if experiment is None else [experiment.experiment_id]
    sweep = next(runs_of_role(client, ids, "sweep"), None)
    if sweep is None:
        raise unknown_sweep(name, sweep_names(client))
    status = sweep.data.tags.get(STATUS_TAG)
    open_trials = sum(1 for _ in runs_of_role(client, ids, "trial", "RUNNING"))
    if status in ("running", IMPORTING) or open_trials:
        raise InputError(
            f"{name!r} is left alone, as it is not finished: its status is {status}, and "
            f"{open_trials} trials are running. Run it to its end, or stop it: snn-sweep stop "
            f"{name}"
        )
    return sweep


def _rows_of_runs(path: Path) -> Counter[str]:
    """How many rows of each run a file has."""
    from pyarrow import parquet

    file, counts = parquet.ParquetFile(path), Counter[str]()
    for number in range(file.num_row_groups):
        counts.update(file.read_row_group(number, ["run_uuid"])["run_uuid"].to_pylist())
    return counts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
