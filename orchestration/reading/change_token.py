"""Whether anything has changed, asked cheaply: what was read before need not be read again."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from orchestration.reading.sql import SqlSource
from orchestration.reading.sql_schema import EXPERIMENTS, LATEST_METRICS, RUNS, TAGS
from orchestration.record.names import NAME_TAG, ROLE_TAG, SPEC_TAG, STATUS_TAG


class ChangeToken(NamedTuple):
    """Two texts that are equal as long as nothing has changed."""

    finished: str
    """The finished trials, and the spec that assigns them to cells."""
    now: str
    """All else: running and failed trials, and how the sweep stands."""


def change_token(source: SqlSource, sweep: str | None = None) -> ChangeToken:
    """Those of a sweep, or of all sweeps; milliseconds, of 10,000 runs too.

    MLflow keeps no time of a run's last change. What runs is told by its metrics' times, what has
    ended by its end, and what was deleted or replaced by how many there are.
    """
    active = [RUNS.c.lifecycle_stage == "active", EXPERIMENTS.c.lifecycle_stage == "active"]
    if sweep is not None:
        active.append(EXPERIMENTS.c.name == sweep)
    in_experiment = RUNS.c.experiment_id == EXPERIMENTS.c.experiment_id
    role = TAGS.alias("role")
    of_role = (role.c.run_uuid == RUNS.c.run_uuid) & (role.c.key == ROLE_TAG)
    counts = (
        sa.select(
            *(EXPERIMENTS.c.name, RUNS.c.status, role.c.value, sa.func.count()),
            sa.func.max(RUNS.c.end_time),
        )
        .join(RUNS, in_experiment)
        .join(role, of_role)
        .where(*active, role.c.value.in_(("sweep", "trial")))
        .group_by(EXPERIMENTS.c.name, RUNS.c.status, role.c.value)
    )
    measured = (
        sa.select(sa.func.count(), sa.func.max(LATEST_METRICS.c.timestamp))
        .join(RUNS, RUNS.c.run_uuid == LATEST_METRICS.c.run_uuid)
        .join(EXPERIMENTS, in_experiment)
        .where(*active, RUNS.c.status != "FINISHED")
    )
    parents = (
        sa.select(TAGS.c.key, TAGS.c.value)
        .join(RUNS, RUNS.c.run_uuid == TAGS.c.run_uuid)
        .join(EXPERIMENTS, in_experiment)
        .join(role, of_role)
        .where(
            *active,
            role.c.value == "sweep",
            TAGS.c.key.in_((STATUS_TAG, NAME_TAG))
            | TAGS.c.key.startswith(SPEC_TAG, autoescape=True),
        )
    )
    with source.transaction() as connection:
        runs = sorted(map(str, connection.execute(counts)))
        said = sorted(map(tuple, connection.execute(parents)))
        last = str(connection.execute(measured).one())
    finished = [row for row in runs if "'FINISHED'" in row]
    spec = [pair for pair in said if pair[0] != STATUS_TAG]
    return ChangeToken(str((finished, spec)), str((runs, said, last)))
