"""Fills a database that MLflow made with finished trials, as a sweep's runs would leave it."""

from __future__ import annotations

import itertools
import random
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from orchestration.model.trial import trial_keys
from orchestration.record import names as contract
from orchestration.sweep.spec import SweepSpec

SWEEP = "answers"
_EPOCHS = 5
_SEEDS = 5
_MOST_TRIALS = 10_000  # that one spec may ask for
_START_MS = 1_700_000_000_000
_EPOCH_METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_RUNS_AT_ONCE = 5_000

_METRIC = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
_COLUMNS = {
    "runs": (
        "run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status",
        "start_time", "end_time", "source_version", "lifecycle_stage", "artifact_uri",
        "experiment_id",
    ),
    "params": ("key", "value", "run_uuid"),
    "tags": ("key", "value", "run_uuid"),
    "metrics": _METRIC,
    "latest_metrics": _METRIC,
}  # fmt: skip

Rows = Iterator[tuple[str, tuple[Any, ...]]]
"""A table's name and a row of it, in the order of _COLUMNS."""


def sweep_spec(trials: int, epochs: int = _EPOCHS) -> SweepSpec:
    """A grid of so many trials (a multiple of 1,000) of 20 parameters each, in 5 seeds."""
    grid = {
        "architecture": "snn",
        "norm": ["bntt", "homeostatic"],
        "slope": [1.0 + i for i in range(10)],
        "beta": [0.5 + i / 25 for i in range(10)],
        "threshold": [0.5 + i / 10 for i in range(trials // 1000)],
    }
    return SweepSpec.from_dict(
        {
            "name": SWEEP,
            "dataset": "digits",
            "epochs": epochs,
            "seeds": [42 + i for i in range(_SEEDS)],
            "training": {"optimizer": "sgd", "learning_rate": 0.1},
            "grid": [grid],
            "stop_when_collapsed": {"after_epochs": 3},
        }
    )


def fill(
    database_url: str, trials: int, artifacts: str, *, sweeps: int = 1, epochs: int = _EPOCHS
) -> None:
    """Make MLflow's schema and put sweeps of finished trials in it; say how far it is.

    Each sweep has so many trials. The first one is called ``SWEEP``, the others have a number
    after that. A spec asks for 10,000 trials at most. Beyond that, the rest are those of earlier
    specs of the sweep, with other numbers of epochs: each must be told from the trials that count.
    """
    store = SqlAlchemyStore(database_url, artifacts)
    generator = random.Random(0)
    write = _postgres if database_url.startswith("postgresql") else _sqlite
    names = [SWEEP, *(f"{SWEEP}-{number}" for number in range(1, sweeps))]
    everything = itertools.chain.from_iterable(
        _sweep(name, trials, epochs, int(store.create_experiment(name)), generator)
        for name in names
    )
    written = 0
    while some := list(itertools.islice(everything, _RUNS_AT_ONCE)):
        tables: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for table, row in itertools.chain.from_iterable(some):
            tables[table].append(row)
        write(database_url, tables)
        written += len(some)
        print(f"{written:,} of {sweeps * (trials + 1):,} runs written", file=sys.stderr)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # A database that has lived for a while has done this by itself.
        connection.execute(sa.text("ANALYZE"))
    store.engine.dispose()


def _sweep(
    name: str, trials: int, epochs: int, experiment: int, generator: random.Random
) -> Iterator[Rows]:
    """The sweep's own run, and its trials."""
    wanted = min(trials, _MOST_TRIALS)
    specs = [sweep_spec(wanted, epochs + earlier) for earlier in range(trials // wanted)]
    parent = _identifier(generator)
    yield _parent(parent, name, experiment, specs[0])
    for spec in specs:
        for cell in spec.cells():
            keys = trial_keys(cell, spec.seed_order())
            for seed, key in zip(spec.seed_order(), keys, strict=True):
                yield _trial({**cell.given(), "seed": seed}, key, parent, experiment, generator)


def _identifier(generator: random.Random) -> str:
    return UUID(int=generator.getrandbits(128), version=4).hex


def _run(run: str, name: str, experiment: int, started: int, ended: int) -> tuple[Any, ...]:
    return (
        run, name, "UNKNOWN", "", "", "user", "FINISHED", started, ended, "", "active",
        f"mlflow-artifacts:/{experiment}/{run}/artifacts", experiment,
    )  # fmt: skip


def _parent(run: str, name: str, experiment: int, spec: SweepSpec) -> Rows:
    yield "runs", _run(run, name, experiment, _START_MS, _START_MS)
    tags = {
        contract.ROLE_TAG: "sweep",
        contract.NAME_TAG: name,
        contract.STATUS_TAG: "completed",
        "mlflow.runName": name,
        **contract.spec_tags(spec.to_json()),
    }
    yield from (("tags", (key, value, run)) for key, value in tags.items())


def _trial(
    config: dict[str, Any], key: str, parent: str, experiment: int, generator: random.Random
) -> Rows:
    run = _identifier(generator)
    started = _START_MS + generator.randrange(10**9)
    label = f"snn {config['norm']} seed {config['seed']}"
    yield "runs", _run(run, label, experiment, started, started + 60_000)
    for name, text in contract.params_of(config).items():
        yield "params", (name, text, run)
    tags = {
        contract.PARENT_TAG: parent,
        contract.ROLE_TAG: "trial",
        contract.TRIAL_KEY_TAG: key,
        contract.OUTCOME_TAG: "completed",
        contract.VERSION_TAG: "0.1.0",
        "mlflow.runName": label,
        "mlflow.user": "user",
        "mlflow.source.name": "worker.py",
        "mlflow.source.type": "LOCAL",
    }
    for name, text in tags.items():
        yield "tags", (name, text, run)
    epochs = config["epochs"]
    best = (-1.0, 0)
    for epoch in range(1, epochs + 1):
        at = started + 1000 * epoch
        for name in _EPOCH_METRICS:
            row = (name, generator.random(), at, epoch, False, run)
            yield "metrics", row
            if epoch == epochs:
                yield "latest_metrics", row
        best = max(best, (row[1], epoch))
    for name, value in (
        (contract.BEST_TEST_ACCURACY, best[0]), (contract.BEST_EPOCH, float(best[1])),
    ):  # fmt: skip
        row = (name, value, at, epochs, False, run)
        yield "metrics", row
        yield "latest_metrics", row


def _postgres(url: str, tables: dict[str, list[tuple[Any, ...]]]) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        # Spares each row the search for its run, which is there: half the time.
        cursor.execute("SET session_replication_role = replica")
        for table, columns in _COLUMNS.items():
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in tables[table]:
                    copy.write_row(row)


def _sqlite(url: str, tables: dict[str, list[tuple[Any, ...]]]) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    # Nothing has to survive a fall, and the indexes fit in memory (kilobytes, if negative).
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        connection.execute(f"PRAGMA {setting}")
    with connection:
        for table, columns in _COLUMNS.items():
            places = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", tables[table]
            )
    connection.close()
