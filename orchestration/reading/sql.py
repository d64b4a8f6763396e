"""Reads records from MLflow's database: the same as over REST, in a few queries.

A database of an unknown version is not read; its records are read over REST instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration.model.metric import EVERY_METRIC
from orchestration.reading.records import (
    ALL_METRICS,
    MetricsToRead,
    MlflowRun,
    Records,
    is_wanted,
    make_records,
    point_frame,
)
from orchestration.reading.sql_schema import (
    EXPERIMENTS,
    KNOWN_SCHEMAS,
    LATEST_METRICS,
    METRICS,
    PARAMS,
    RUNS,
    TAGS,
    VERSION,
    UnknownSchemaError,
    open_read_only,
)
from orchestration.record.curves_file import points_in_file
from orchestration.record.names import (
    CURVES_TAG,
    LABEL_TAG,
    NAME_TAG,
    OUTCOME_TAG,
    OWNER_TAG,
    REPLACED_ROLE,
    ROLE_TAG,
    SPEC_TAG,
    STATUS_TAG,
    TRIAL_KEY_TAG,
    WAITING_TAG,
)
from orchestration.record.unknown_sweep import unknown_sweep
from services.errors import ServiceError

_TRIAL_TAGS = (ROLE_TAG, OUTCOME_TAG, LABEL_TAG, TRIAL_KEY_TAG)

RUN_IDS_A_QUERY = 10_000
"""The most run ids in one statement; SQLite accepts 32,766 values and Postgres 65,535."""


class SqlSource:
    """Reads MLflow's database on SQLite or Postgres.

    Args:
        database_url: ``sqlite:////folder/mlflow.db`` or ``postgresql://user:password@host/name``.
        tracking_uri: its server, which has the files with curves; None is that of the settings.

    Raises:
        InputError: the URL cannot be read, or names another kind of database.
        ServiceError: the database cannot be reached.
        UnknownSchemaError: its tables are not those of a known version of MLflow.
    """

    def __init__(self, database_url: str, tracking_uri: str | None = None) -> None:
        self._tracking_uri = tracking_uri
        self.engine = open_read_only(database_url)
        is_sqlite = self.engine.dialect.name == "sqlite"
        # Nobody can write to SQLite while somebody reads: threads that read in turn read briefly.
        self._turn: AbstractContextManager[object] = RLock() if is_sqlite else nullcontext()
        with self.transaction() as connection:
            try:
                versions = set(connection.scalars(sa.select(VERSION.c.version_num)))
            except sa.exc.DBAPIError:
                raise UnknownSchemaError("it has no table alembic_version") from None
        if not versions or not versions <= KNOWN_SCHEMAS:
            shown = ", ".join(sorted(versions)) or "empty"
            raise UnknownSchemaError(f"its schema version is {shown}")

    def sweep_runs(
        self, metrics: MetricsToRead, sweeps: Collection[str] | None = None
    ) -> list[MlflowRun]:
        """Return the runs of these sweeps or of all, and their trials."""
        in_experiment = RUNS.c.experiment_id == EXPERIMENTS.c.experiment_id
        of_sweep = sa.true() if sweeps is None else EXPERIMENTS.c.name.in_(sweeps)
        by_name = {name: TAGS.alias() for name in _TRIAL_TAGS}
        role = by_name[ROLE_TAG]
        query = (
            sa.select(
                *(EXPERIMENTS.c.name, RUNS.c.run_uuid, RUNS.c.status, RUNS.c.start_time),
                *(RUNS.c.end_time, *(tag.c.value for tag in by_name.values())),
            )
            .join(RUNS, in_experiment)
            .where(
                RUNS.c.lifecycle_stage == "active",
                *_visible_experiment(),
                of_sweep,
                role.c.value.in_(("sweep", "trial")),
            )
        )
        for name, tag in by_name.items():  # one row a run, as rows are what takes time
            on = (tag.c.run_uuid == RUNS.c.run_uuid) & (tag.c.key == name)
            query = query.join(tag, on, isouter=tag is not role)
        runs: dict[str, MlflowRun] = {}
        tags: dict[str, dict[str, str]] = {}
        numbers: dict[str, dict[str, tuple[int, float]]] = {}
        # Short transactions, as each blocks writing to SQLite.
        for name, run_id, status, started, ended, *texts in self._all(query):
            named = zip(_TRIAL_TAGS, texts, strict=True)
            tags[run_id] = {tag: text for tag, text in named if text is not None}
            numbers[run_id] = {}
            runs[run_id] = MlflowRun(
                *(run_id, status, started, ended, tags[run_id], name), metrics=numbers[run_id]
            )
        parents = [run_id for run_id, own in tags.items() if own[ROLE_TAG] == "sweep"]
        for first in range(0, len(parents), RUN_IDS_A_QUERY):
            of_parent = TAGS.c.run_uuid.in_(parents[first : first + RUN_IDS_A_QUERY])
            query = sa.select(TAGS.c.run_uuid, TAGS.c.key, TAGS.c.value)
            for run_id, name, text in self._all(query.where(of_parent, _of_sweep_run())):
                tags[run_id][name] = text
        wanted = {name for parent in parents for name in metrics(runs[parent])}
        query = sa.select(
            *(LATEST_METRICS.c.run_uuid, LATEST_METRICS.c.key),
            *(LATEST_METRICS.c.step, _number(LATEST_METRICS)),
        ).where(LATEST_METRICS.c.key.in_(wanted))
        if sweeps is not None:
            query = query.join(RUNS, RUNS.c.run_uuid == LATEST_METRICS.c.run_uuid)
            query = query.join(EXPERIMENTS, in_experiment).where(of_sweep)
        for run_id, name, step, number in self._all(query):
            if run_id in numbers and number is not None:
                numbers[run_id][name] = (step, number)
        return list(runs.values())

    def size(self) -> int:
        """The bytes of the database."""
        is_sqlite = self.engine.dialect.name == "sqlite"
        pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        query = pages if is_sqlite else "SELECT pg_database_size(current_database())"
        with self.transaction() as connection:
            return int(connection.scalar(sa.text(query)) or 0)

    def sweep_names(self) -> list[str]:
        """Give the names of all sweeps, the last started first."""
        with self.transaction() as connection:
            return list(_sweeps(connection))

    def check(self, sweep: str) -> None:
        """Raise InputError if there is no such sweep."""
        with self.transaction() as connection:
            experiment = _experiment(connection, sweep)
            finished = sa.exists().where(
                RUNS.c.experiment_id == experiment,
                RUNS.c.lifecycle_stage == "active",
                RUNS.c.status == "FINISHED",
                _with_role("trial"),
            )
            if experiment is None or not (
                _parents(connection, experiment) or connection.scalar(sa.select(finished))
            ):
                raise unknown_sweep(sweep, _sweeps(connection))

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,
    ) -> Records:
        """Return a sweep's trials; all but their parameters comes from one snapshot."""
        roles = ("trial", REPLACED_ROLE) if replaced else ("trial",)
        is_finished = RUNS.c.status == "FINISHED"
        wanted = (RUNS.c.lifecycle_stage == "active", is_finished if finished else ~is_finished)
        with self.transaction() as connection:
            experiment = _experiment(connection, sweep)
            if experiment is None:
                raise unknown_sweep(sweep, _sweeps(connection))
            parents = _parents(connection, experiment)
            runs = _trials(connection, experiment, wanted, *roles)
            if not parents and not runs:
                raise unknown_sweep(sweep, _sweeps(connection))
            rows = _rows(
                connection,
                sa.select(LATEST_METRICS.c.run_uuid, LATEST_METRICS.c.key, _number(LATEST_METRICS))
                .join(RUNS, RUNS.c.run_uuid == LATEST_METRICS.c.run_uuid)
                .where(
                    RUNS.c.experiment_id == experiment,
                    *wanted,
                    _named(LATEST_METRICS, metrics),
                ),
            )
        ids = {run.run_id for run in runs}
        return make_records(
            runs,
            (
                (run_id, name, value)
                for run_id, name, value in rows
                if run_id in ids and is_wanted(name, metrics)
            ),
            parents,
            experiment_id=str(experiment),
            param_rows=lambda run_ids: self._param_rows(experiment, run_ids),
            tag_rows=lambda names: self._tag_rows(experiment, names),
        )

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Return metrics of these runs by epoch, all from one snapshot of the database."""
        rows: list[tuple[str, str, int, int, float]] = []
        with self.transaction() as connection:
            for first in range(0, len(run_ids), RUN_IDS_A_QUERY):
                batch = run_ids[first : first + RUN_IDS_A_QUERY]
                points = connection.execute(
                    sa.select(
                        METRICS.c.run_uuid,
                        METRICS.c.key,
                        METRICS.c.step,
                        METRICS.c.timestamp,
                        _number(METRICS),
                    ).where(METRICS.c.run_uuid.in_(batch), METRICS.c.key.in_(metrics))
                )
                rows.extend(tuple(row) for row in points)
            files = connection.execute(_curves_files(run_ids)).all() if metrics else []
        for artifact_uri, name in files:
            rows += points_in_file(artifact_uri, name, self._tracking_uri, run_ids, metrics)
        return point_frame(rows)

    def _param_rows(self, experiment: int, run_ids: Sequence[str]) -> list[tuple[str, str, str]]:
        """The parameters of runs; for many runs those of the whole experiment, which is faster."""
        query = sa.select(PARAMS.c.run_uuid, PARAMS.c.key, PARAMS.c.value)
        if len(run_ids) > RUN_IDS_A_QUERY:
            query = query.join(RUNS, RUNS.c.run_uuid == PARAMS.c.run_uuid)
            query = query.where(RUNS.c.experiment_id == experiment)
        else:
            query = query.where(PARAMS.c.run_uuid.in_(run_ids))
        wanted = set(run_ids)
        return [(run_id, *param) for run_id, *param in self._all(query) if run_id in wanted]

    def _tag_rows(self, experiment: int, names: Collection[str]) -> Sequence[tuple[str, str, str]]:
        query = sa.select(TAGS.c.run_uuid, TAGS.c.key, TAGS.c.value)
        query = query.join(RUNS, RUNS.c.run_uuid == TAGS.c.run_uuid)
        return self._all(query.where(RUNS.c.experiment_id == experiment, TAGS.c.key.in_(names)))

    def _all(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.transaction() as connection:
            return _rows(connection, query)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction that reads one snapshot of the database.

        Raises:
            ServiceError: the database cannot be read.
        """
        try:
            with self._turn, self.engine.connect() as connection, connection.begin():
                yield connection
        except sa.exc.OperationalError as error:
            shown = self.engine.url.render_as_string(hide_password=True)
            raise ServiceError(
                f"MLflow's database at {shown} cannot be read ({error.orig}). Check "
                "SNN_SWEEP_DATABASE_URL, or unset it: answers then go over MLflow's REST API"
            ) from error


def _curves_files(run_ids: Sequence[str]) -> sa.Select[Any]:
    """Where the file is that has curves of the sweep of these runs, and its name, if it has one."""
    trial = RUNS.alias("trial")
    return (
        sa.select(RUNS.c.artifact_uri, TAGS.c.value)
        .join(trial, trial.c.experiment_id == RUNS.c.experiment_id)
        .join(TAGS, (TAGS.c.run_uuid == RUNS.c.run_uuid) & (TAGS.c.key == CURVES_TAG))
        .where(trial.c.run_uuid.in_(run_ids[:1]), RUNS.c.lifecycle_stage == "active")
    )


def _experiment(connection: sa.Connection, sweep: str) -> int | None:
    experiment: int | None = connection.scalar(
        sa.select(EXPERIMENTS.c.experiment_id).where(
            EXPERIMENTS.c.name == sweep, *_visible_experiment()
        )
    )
    return experiment


def _visible_experiment() -> tuple[sa.ColumnElement[bool], ...]:
    """The experiments that REST shows if no workspace is named: active, in the default one."""
    return (EXPERIMENTS.c.lifecycle_stage == "active", EXPERIMENTS.c.workspace == "default")


def _of_sweep_run() -> sa.ColumnElement[bool]:
    """The tags of a sweep's own run."""
    named = TAGS.c.key.in_((NAME_TAG, STATUS_TAG, WAITING_TAG, OWNER_TAG))
    return named | TAGS.c.key.startswith(SPEC_TAG, autoescape=True)


def _with_role(*roles: str) -> sa.ColumnElement[bool]:
    named = TAGS.c.value == roles[0] if len(roles) == 1 else TAGS.c.value.in_(roles)
    return sa.and_(TAGS.c.run_uuid == RUNS.c.run_uuid, TAGS.c.key == ROLE_TAG, named)


def _parents(connection: sa.Connection, experiment: int) -> list[MlflowRun]:
    spec = TAGS.alias("spec")
    rows = connection.execute(
        sa.select(RUNS.c.run_uuid, RUNS.c.start_time, spec.c.key, spec.c.value)
        .join(TAGS, _with_role("sweep"))
        .outerjoin(
            spec,
            (spec.c.run_uuid == RUNS.c.run_uuid) & spec.c.key.startswith(SPEC_TAG, autoescape=True),
        )
        .where(RUNS.c.experiment_id == experiment, RUNS.c.lifecycle_stage == "active")
    )
    tags: dict[tuple[int | None, str], dict[str, str]] = defaultdict(dict)
    for run_id, started, key, value in rows:
        of_run = tags[started, run_id]  # a run without such tags has a row too
        if key is not None:
            of_run[key] = value
    return [
        MlflowRun(run_id, "", started, None, of_run) for (started, run_id), of_run in tags.items()
    ]


def _trials(
    connection: sa.Connection,
    experiment: int,
    wanted: tuple[sa.ColumnElement[bool], ...],
    *roles: str,
) -> list[MlflowRun]:
    """The wanted trials.

    Each tag has a query of its own. One query that joins them is slower, as databases misjudge
    how many rows match two conditions that always hold together.
    """
    where = (RUNS.c.experiment_id == experiment, *wanted)

    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for name in (TRIAL_KEY_TAG, OUTCOME_TAG):
        query = sa.select(TAGS.c.run_uuid, TAGS.c.value)
        query = query.join(RUNS, RUNS.c.run_uuid == TAGS.c.run_uuid)
        for run_id, text in _rows(connection, query.where(*where, TAGS.c.key == name)):
            tags[run_id][name] = text
    times = sa.select(RUNS.c.run_uuid, RUNS.c.status, RUNS.c.start_time, RUNS.c.end_time)
    rows = _rows(connection, times.join(TAGS, _with_role(*roles)).where(*where))
    return [
        MlflowRun(run_id, status, started, ended, tags[run_id])
        for run_id, status, started, ended in rows
    ]


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Any]:
    """All rows as the driver returns them: SQLAlchemy's take twice the time."""
    cursor = connection.execute(query).cursor
    assert cursor is not None
    return cursor.fetchall()


def _named(table: sa.Table, names: Collection[str]) -> sa.ColumnElement[bool]:
    """A condition for metrics of these names; ``is_wanted`` then checks the case of letters."""
    if EVERY_METRIC in names:
        return sa.true()
    by_layer = [name for name in names if name.endswith(".")]
    one_of = table.c.key.in_([name for name in names if name not in by_layer])
    return sa.or_(one_of, *(table.c.key.startswith(name, autoescape=True) for name in by_layer))


def _number(table: sa.Table) -> sa.ColumnElement[float]:
    """A metric's value; null for NaN, which MLflow stores as 0 with a flag."""
    return sa.case((table.c.is_nan, sa.null()), else_=table.c.value).label("number")


def _sweeps(connection: sa.Connection) -> dict[str, str]:
    """The current names of all sweeps, the last started first, with those they were recorded as."""
    recorded = TAGS.alias("recorded")
    query = (
        sa.select(EXPERIMENTS.c.name, sa.func.coalesce(recorded.c.value, EXPERIMENTS.c.name))
        .join(RUNS, RUNS.c.experiment_id == EXPERIMENTS.c.experiment_id)
        .join(TAGS, (TAGS.c.run_uuid == RUNS.c.run_uuid) & (TAGS.c.key == STATUS_TAG))
        .outerjoin(
            recorded, (recorded.c.run_uuid == RUNS.c.run_uuid) & (recorded.c.key == NAME_TAG)
        )
        .where(RUNS.c.lifecycle_stage == "active", *_visible_experiment())
        .order_by(RUNS.c.start_time.desc())
    )
    return dict(_rows(connection, query))
