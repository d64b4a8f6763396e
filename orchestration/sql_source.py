"""MLflow's database, read directly: the same records as over REST, in a few queries.

Nobody promises this schema, so only versions that were looked at are read; ``open_source`` goes
over REST for any other. Nothing is ever written: SQLite is opened read-only, and on Postgres the
transaction is.
"""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration.contract import OUTCOME_TAG, ROLE_TAG, SPEC_TAG, TRIAL_KEY_TAG
from orchestration.errors import InputError
from orchestration.sources import (
    ALL_METRICS,
    METRICS_BY_EPOCH,
    SPIKE_RATE,
    Records,
    is_wanted,
    make_records,
    newest_spec,
    point_frame,
    unknown_sweep,
)
from services.tracking import ServiceError

__all__ = ["KNOWN_SCHEMAS", "SqlSource", "UnknownSchemaError"]

KNOWN_SCHEMAS = frozenset(
    {
        "1b5f0d9ad7c1",
        "e1f2a3b4c5d6",
        "76601a5f987d",
        "c3d6457b6d8a",
        "a5b4c3d2e1f0",
        "ae8bbe7743c9",
        "7d34483879f0",
        "da6fb0208061",
        "89d3d66ed43f",
        "b7e4c1a90f23",
        "a8b9c0d1e2f3",
        "c1d2e3f4a5b6",
        "c3d9e7f1a2b4",
        "6f8d9c3b2a1e",
        "1971f2d9a75b",
        "17e22815139b",
        "b7e2c1a4d9f3",
        "75868b020152",
        "dc11669786a5",
    }
)
"""Versions of MLflow's schema, 3.10 to 3.17, whose tables below were looked at and are alike."""

_meta = sa.MetaData()
_experiments = sa.Table(
    "experiments",
    _meta,
    sa.Column("experiment_id", sa.Integer),
    sa.Column("name", sa.String),
    sa.Column("lifecycle_stage", sa.String),
    sa.Column("workspace", sa.String),
)
_runs = sa.Table(
    "runs",
    _meta,
    sa.Column("run_uuid", sa.String),
    sa.Column("status", sa.String),
    sa.Column("start_time", sa.BigInteger),
    sa.Column("end_time", sa.BigInteger),
    sa.Column("lifecycle_stage", sa.String),
    sa.Column("experiment_id", sa.Integer),
)


def _values(name: str, *more: sa.Column[Any]) -> sa.Table:
    """A table of MLflow's that holds a named value a run."""
    return sa.Table(
        name, _meta, sa.Column("run_uuid", sa.String), sa.Column("key", sa.String), *more
    )


_params = _values("params", sa.Column("value", sa.String))
_tags = _values("tags", sa.Column("value", sa.String))
_latest = _values("latest_metrics", sa.Column("value", sa.Float), sa.Column("is_nan", sa.Boolean))
_metrics = _values(
    "metrics",
    sa.Column("value", sa.Float),
    sa.Column("is_nan", sa.Boolean),
    sa.Column("step", sa.BigInteger),
    sa.Column("timestamp", sa.BigInteger),
)
_version = sa.Table("alembic_version", _meta, sa.Column("version_num", sa.String))

_RunRow = tuple[str, str | None, str | None, int | None, int | None]

_RUN_IDS_A_QUERY = 10_000
"""How many run ids go into one statement; SQLite takes 32,766 values and Postgres 65,535."""


class UnknownSchemaError(Exception):
    """The database is not one of MLflow's that this module knows."""


class SqlSource:
    """Reads MLflow's database on SQLite or Postgres.

    Args:
        database_url: ``sqlite:////folder/mlflow.db`` or ``postgresql://user:password@host/name``.

    Raises:
        InputError: the URL cannot be read, or names another kind of database.
        ServiceError: the database cannot be reached.
        UnknownSchemaError: its tables are not those of an MLflow version that was looked at.
    """

    def __init__(self, database_url: str) -> None:
        self.engine = _read_only_engine(database_url)
        with self._transaction() as connection:
            try:
                found = set(connection.scalars(sa.select(_version.c.version_num)))
            except sa.exc.DBAPIError:
                raise UnknownSchemaError("it has no table alembic_version") from None
        if not found or not found <= KNOWN_SCHEMAS:
            raise UnknownSchemaError(f"its schema version is {', '.join(sorted(found)) or 'empty'}")

    def check(self, sweep: str) -> None:
        """Raise InputError where there is no such sweep."""
        with self._transaction() as connection:
            experiment = _experiment(connection, sweep)
            some = sa.exists().where(_runs.c.experiment_id == experiment, *_is_finished())
            if experiment is None or not (
                _parents(connection, experiment)
                or connection.scalar(sa.select(some.where(_with_role("trial"))))
            ):
                raise unknown_sweep(sweep, _sweeps(connection))

    def read(self, sweep: str, metrics: Collection[str] = ALL_METRICS) -> Records:
        """Give a sweep's finished trials, but for their parameters all from one snapshot."""
        with self._transaction() as connection:
            experiment = _experiment(connection, sweep)
            if experiment is None:
                raise unknown_sweep(sweep, _sweeps(connection))
            parents = _parents(connection, experiment)
            runs = _trials(connection, experiment)
            if not parents and not runs:
                raise unknown_sweep(sweep, _sweeps(connection))
            rows = _rows(
                connection,
                sa.select(_latest.c.run_uuid, _latest.c.key, _number(_latest))
                .join(_runs, _runs.c.run_uuid == _latest.c.run_uuid)
                .where(
                    _runs.c.experiment_id == experiment, *_is_finished(), _named(_latest, metrics)
                ),
            )
        ids = {run[0] for run in runs}
        return make_records(
            runs,
            (
                (run_id, name, value)
                for run_id, name, value in rows
                if run_id in ids and is_wanted(name, metrics)
            ),
            newest_spec(parents),
            lambda run_ids: self._param_rows(experiment, run_ids),
        )

    def points(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Give what these runs recorded by epoch, all from one snapshot of the database."""
        rows: list[tuple[str, str, int, int, float]] = []
        with self._transaction() as connection:
            for first in range(0, len(run_ids), _RUN_IDS_A_QUERY):
                some = run_ids[first : first + _RUN_IDS_A_QUERY]
                found = connection.execute(
                    sa.select(
                        _metrics.c.run_uuid,
                        _metrics.c.key,
                        _metrics.c.step,
                        _metrics.c.timestamp,
                        _number(_metrics),
                    ).where(_metrics.c.run_uuid.in_(some), _named(_metrics, METRICS_BY_EPOCH))
                )
                rows.extend(tuple(row) for row in found if is_wanted(row.key, METRICS_BY_EPOCH))
        return point_frame(rows)

    def _param_rows(self, experiment: int, run_ids: Sequence[str]) -> list[tuple[str, str, str]]:
        """Of few runs by their ids; of many all of the experiment's at once, which is quicker."""
        query = sa.select(_params.c.run_uuid, _params.c.key, _params.c.value)
        if len(run_ids) > _RUN_IDS_A_QUERY:
            query = query.join(_runs, _runs.c.run_uuid == _params.c.run_uuid)
            query = query.where(_runs.c.experiment_id == experiment)
        else:
            query = query.where(_params.c.run_uuid.in_(run_ids))
        wanted = set(run_ids)
        with self._transaction() as connection:
            rows = _rows(connection, query)
        return [(run_id, name, text) for run_id, name, text in rows if run_id in wanted]

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except sa.exc.OperationalError as error:
            shown = self.engine.url.render_as_string(hide_password=True)
            raise ServiceError(
                f"MLflow's database at {shown} cannot be read ({error.orig}). Check "
                "SNN_SWEEP_DATABASE_URL, or unset it: answers then go over MLflow's REST API"
            ) from error


def _read_only_engine(database_url: str) -> sa.Engine:
    try:
        url = sa.make_url(database_url)
    except sa.exc.ArgumentError:
        # The text is not shown: it may hold a password.
        raise InputError(
            "SNN_SWEEP_DATABASE_URL is not a database URL; "
            "expected sqlite:////folder/mlflow.db or postgresql://user:password@host/name"
        ) from None
    backend = url.get_backend_name()
    if backend == "postgres":  # the older spelling, which libpq still takes
        backend = "postgresql"
    if backend == "postgresql":
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=sa.NullPool,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
    if backend == "sqlite" and url.database:
        address = "file:" + urllib.parse.quote(str(Path(url.database).absolute())) + "?mode=ro"
        engine = sa.create_engine(
            "sqlite://",
            poolclass=sa.NullPool,
            creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None),
        )
        # Left to itself the driver begins no transaction to read in: no snapshot then.
        sa.event.listen(engine, "begin", lambda found: found.exec_driver_sql("BEGIN"))
        return engine
    raise InputError(
        f"SNN_SWEEP_DATABASE_URL must name SQLite or Postgres, got {backend!r}; "
        "leave it unset for other databases: answers then go over MLflow's REST API"
    )


def _experiment(connection: sa.Connection, sweep: str) -> int | None:
    found: int | None = connection.scalar(
        sa.select(_experiments.c.experiment_id).where(
            _experiments.c.name == sweep, *_visible_experiment()
        )
    )
    return found


def _visible_experiment() -> tuple[sa.ColumnElement[bool], ...]:
    """What REST shows without naming a workspace: active, in the default one."""
    return (_experiments.c.lifecycle_stage == "active", _experiments.c.workspace == "default")


def _with_role(role: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        _tags.c.run_uuid == _runs.c.run_uuid, _tags.c.key == ROLE_TAG, _tags.c.value == role
    )


def _parents(
    connection: sa.Connection, experiment: int
) -> list[tuple[int | None, str, dict[str, str]]]:
    """The sweep's own runs: (started, run id, tags that hold its spec)."""
    spec = _tags.alias("spec")
    rows = connection.execute(
        sa.select(_runs.c.run_uuid, _runs.c.start_time, spec.c.key, spec.c.value)
        .join(_tags, _with_role("sweep"))
        .outerjoin(
            spec,
            sa.and_(
                spec.c.run_uuid == _runs.c.run_uuid,
                spec.c.key.startswith(SPEC_TAG, autoescape=True),
            ),
        )
        .where(_runs.c.experiment_id == experiment, _runs.c.lifecycle_stage == "active")
    )
    tags: dict[tuple[int | None, str], dict[str, str]] = defaultdict(dict)
    for run_id, started, key, value in rows:
        found = tags[started, run_id]
        if key is not None:
            found[key] = value
    return [(started, run_id, found) for (started, run_id), found in tags.items()]


def _trials(connection: sa.Connection, experiment: int) -> list[_RunRow]:
    """A finished trial a row: run id, trial key, outcome, start and end.

    A query a tag: to join them all in one is slower, since databases guess wrong how many rows
    two conditions leave that always hold together.
    """
    where = (_runs.c.experiment_id == experiment, *_is_finished())

    def tag(name: str) -> dict[str, str]:
        query = sa.select(_tags.c.run_uuid, _tags.c.value)
        query = query.join(_runs, _runs.c.run_uuid == _tags.c.run_uuid)
        return dict(_rows(connection, query.where(*where, _tags.c.key == name)))

    key, outcome = tag(TRIAL_KEY_TAG), tag(OUTCOME_TAG)
    times = sa.select(_runs.c.run_uuid, _runs.c.start_time, _runs.c.end_time)
    return [
        (run_id, key.get(run_id), outcome.get(run_id), started, ended)
        for run_id, started, ended in _rows(
            connection, times.join(_tags, _with_role("trial")).where(*where)
        )
    ]


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Any]:
    """All rows as the driver gives them: SQLAlchemy's take twice the time."""
    cursor = connection.execute(query).cursor
    assert cursor is not None
    return cursor.fetchall()


def _is_finished() -> tuple[sa.ColumnElement[bool], ...]:
    return (_runs.c.lifecycle_stage == "active", _runs.c.status == "FINISHED")


def _named(table: sa.Table, names: Collection[str]) -> sa.ColumnElement[bool]:
    """Whether a metric may be one of these; ``is_wanted`` decides, where letters' case counts."""
    one_of = table.c.key.in_([name for name in names if name != SPIKE_RATE])
    if SPIKE_RATE not in names:
        return one_of
    return sa.or_(one_of, table.c.key.startswith(SPIKE_RATE, autoescape=True))


def _number(table: sa.Table) -> sa.ColumnElement[float]:
    """MLflow stores NaN as 0 with a flag."""
    return sa.case((table.c.is_nan, sa.null()), else_=table.c.value).label("number")


def _sweeps(connection: sa.Connection) -> list[str]:
    rows = connection.scalars(
        sa.select(_experiments.c.name)
        .join(_runs, _runs.c.experiment_id == _experiments.c.experiment_id)
        .join(_tags, _with_role("sweep"))
        .where(_runs.c.lifecycle_stage == "active", *_visible_experiment())
        .distinct()
    )
    return sorted(rows)
