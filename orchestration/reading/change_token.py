"""Detects cheaply whether records have changed, so that they are read again only if they have."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import sqlalchemy as sa

from orchestration.reading.sql import SqlSource
from orchestration.reading.sql_schema import EXPERIMENTS, LATEST_METRICS, RUNS, TAGS
from orchestration.record.names import (
    NAME_TAG,
    REASON_TAG,
    REPLACED_ROLE,
    ROLE_TAG,
    SPEC_TAG,
    STATUS_TAG,
    WAITING_TAG,
)


class ChangeToken(NamedTuple):
    """Two texts that are equal as long as nothing has changed."""

    finished: str
    """Changes with the finished trials, and with the spec that assigns them to cells."""
    now: str
    """Changes with everything: also with running and failed trials, and the sweep's status."""


def change_token(source: SqlSource, sweep: str) -> ChangeToken:
    """The token of a sweep; takes milliseconds, even with 10,000 runs."""
    return change_tokens(source, sweep).get(sweep, ChangeToken("", ""))


def change_tokens(source: SqlSource, sweep: str | None = None) -> dict[str, ChangeToken]:
    """The tokens of all sweeps by name, or of one.

    MLflow keeps no time of a run's last change. Changes of running trials show in the times of
    their metrics, ended trials in their end times, deleted and replaced ones in the counts. No
    tag is read of every run, as that is what takes time: replaced trials are found by the tag
    with the reason, and sweeps by that with the status, which few runs have.
    """
    active = [RUNS.c.lifecycle_stage == "active", EXPERIMENTS.c.lifecycle_stage == "active"]
    if sweep is not None:
        active.append(EXPERIMENTS.c.name == sweep)
    in_experiment = RUNS.c.experiment_id == EXPERIMENTS.c.experiment_id
    name = EXPERIMENTS.c.name
    counts = (
        sa.select(name, RUNS.c.status, sa.func.count(), sa.func.max(RUNS.c.end_time))
        .join(RUNS, in_experiment)
        .where(*active)
        .group_by(name, RUNS.c.status)
    )
    reason, status = TAGS.alias(), TAGS.alias()
    has_reason = TAGS.c.run_uuid.in_(sa.select(reason.c.run_uuid).where(reason.c.key == REASON_TAG))
    has_role = (TAGS.c.key == ROLE_TAG) & (TAGS.c.value == REPLACED_ROLE)
    replaced = (
        sa.select(name, RUNS.c.status, sa.literal(REPLACED_ROLE), sa.func.count())
        .join(RUNS, in_experiment)
        .where(*active, RUNS.c.run_uuid.in_(sa.select(TAGS.c.run_uuid).where(has_role, has_reason)))
        .group_by(name, RUNS.c.status)
    )
    measured = (
        sa.select(name, sa.func.count(), sa.func.max(LATEST_METRICS.c.timestamp))
        .join(RUNS, in_experiment)
        .join(LATEST_METRICS, RUNS.c.run_uuid == LATEST_METRICS.c.run_uuid)
        .where(*active, RUNS.c.status != "FINISHED")
        .group_by(name)
    )
    parents = (
        sa.select(name, TAGS.c.key, TAGS.c.value)
        .join(RUNS, in_experiment)
        .join(status, (status.c.run_uuid == RUNS.c.run_uuid) & (status.c.key == STATUS_TAG))
        .join(TAGS, RUNS.c.run_uuid == TAGS.c.run_uuid)
        .where(
            *active,
            TAGS.c.key.in_((STATUS_TAG, WAITING_TAG, NAME_TAG))
            | TAGS.c.key.startswith(SPEC_TAG, autoescape=True),
        )
    )
    finished: dict[str, list[str]] = defaultdict(list)
    now: dict[str, list[str]] = defaultdict(list)
    with source.transaction() as connection:
        for query in (counts, replaced, measured, parents):
            for of, first, *rest in connection.execute(query):
                now[of].append(row := str((first, *rest)))
                if first in ("FINISHED", NAME_TAG) or str(first).startswith(SPEC_TAG):
                    finished[of].append(row)
    return {
        of: ChangeToken(str(sorted(finished[of])), str(sorted(rows))) for of, rows in now.items()
    }
