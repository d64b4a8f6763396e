"""Any set of runs gives the same answers, to the last bit, over REST and SQL, SQLite and Postgres.

SNN_TEST_DATABASES=200 generates that many sets of runs; a few serve for everyday.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from recorded import RecordedTrial, Recorder

from orchestration.reading.listed import recorded_sweeps
from orchestration.reading.open import open_source
from orchestration.reading.summaries import all_sweeps, one_sweep
from orchestration.results.results import Results
from orchestration.sweep import spec as specs
from services import server

COUNT = int(os.environ.get("SNN_TEST_DATABASES", "8"))
NAN = float("nan")
TABLES = ("experiments", "runs", "params", "tags", "metrics", "latest_metrics")
OWN = "not_here:Ünorm"
NAMES = ("plain", "with space", "Ünïcode 数 🧠", 'quo\'te "d"', "100%_x", "; DROP TABLE runs; --")

Answer = Callable[[Results], pd.DataFrame]
ANSWERS: dict[str, Answer] = {
    "best_of_seeds": Results.best_of_seeds,
    "last_epoch": Results.last_epoch,
    "by_seed": Results.by_seed,
    "expected_best": Results.expected_best,
    "norm_differences": Results.norm_differences,
    "dependency_gap": Results.dependency_gap,
    "trials": Results.trials,
    "curves": Results.curves,
    "diagnostics": Results.diagnostics,
}


class Ways:
    """One set of runs on SQLite and on Postgres, each with a tracking server."""

    def __init__(self, sqlite: str, postgres: str, rest: tuple[str, str]) -> None:
        self.recorder = Recorder(sqlite)
        self._engines = [sa.create_engine(url, poolclass=sa.NullPool) for url in (sqlite, postgres)]
        self.where = {
            "SQL on SQLite": {"database_url": sqlite},
            "SQL on Postgres": {"database_url": postgres},
            "REST on SQLite": {"tracking_uri": rest[0]},
            "REST on Postgres": {"tracking_uri": rest[1]},
        }

    def copy(self, experiment: str) -> None:
        """Bring an experiment from SQLite to Postgres as it is."""
        source, target = self._engines
        with source.connect() as reading, target.begin() as writing:
            runs = f"(SELECT run_uuid FROM runs WHERE experiment_id = {experiment})"
            for name in TABLES:
                table = sa.Table(name, sa.MetaData(), autoload_with=target)
                of_run = f"run_uuid IN {runs}"
                mine = f"experiment_id = {experiment}" if "experiment_id" in table.c else of_run
                rows = reading.execute(sa.select(table).where(sa.text(mine))).mappings().all()
                if rows:
                    writing.execute(table.insert(), [dict(row) for row in rows])


@pytest.fixture(scope="module")
def ways(
    sqlite_database: Callable[[], str],
    _postgres_databases: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ways]:
    urls = (sqlite_database(), _postgres_databases.lend())
    folders: list[Path] = [tmp_path_factory.mktemp("server") for _ in urls]
    running: list[server.Server] = []
    try:
        for folder, url in zip(folders, urls, strict=True):
            running.append(server.launch(folder, url, kept=True))
        yield Ways(*urls, (running[0].uri, running[1].uri))
    finally:
        for folder, one in zip(folders, running, strict=False):
            server.stop(folder, one)
        _postgres_databases.take_back()


def generated_spec(chance: random.Random, name: str) -> specs.SweepSpec:
    norms = chance.sample(["none", "batchnorm", "homeostatic", OWN], chance.randint(1, 3))
    grid: list[dict[str, Any]] = [{"architecture": "ann", "norm": norms}]
    if chance.random() < 0.6:
        grid.append({"architecture": "snn", "norm": ["none", "bntt"], "num_steps": 4})
    if chance.random() < 0.4:
        grid[0]["learning_rate"] = chance.sample([1e-3, 0.1 + 0.2, 0.5, 1.0], 2)
    if chance.random() < 0.5:
        grid[-1]["validation_fraction"] = chance.choice([0, 0.1, [0, 0.1], [0.05, 0.1]])
    seeds = chance.sample([0, 1, 42, 123, 2**32 - 1], chance.randint(1, 3))
    given = {"name": name, "dataset": "digits", "epochs": 3, "seeds": seeds, "grid": grid}
    # Not from_dict, which would import the user's own norm; nobody has it here.
    return specs.SweepSpec.from_json(json.dumps(given))


def generated_trial(chance: random.Random, config: dict[str, Any]) -> RecordedTrial:
    """A trial with something odd about it, or nothing."""
    # Few values, so that equal ones are common, and some that are no short decimals.
    values = [0.1, 0.5, 1 / 3, 0.1 + 0.2, 1.0, NAN]
    trial = RecordedTrial(
        config, chance.choices(values, k=chance.randint(1, 3)), finished=chance.randint(0, 9)
    )
    trial.outcome = chance.choice(["completed", "completed", "collapsed", "diverged", None])
    trial.metrics = {
        "train_loss": [chance.choice([NAN, float("inf"), 0.25])],
        "epoch_seconds": chance.choices([0.1, 1 / 3, NAN, -1.0, 1e9], k=len(trial.accuracies)),
    }
    if config["validation_fraction"]:
        trial.metrics |= {
            name: chance.choices([0.1, 0.5, 0.75], k=len(trial.accuracies))
            for name in ("validation_accuracy", "validation_loss")
        }
    elif chance.random() < 0.5:  # recorded before there was the key
        trial.config = {k: v for k, v in config.items() if k != "validation_fraction"}
    layers = chance.sample(["conv10", "conv9", "a layer"], chance.randint(0, 3))
    for layer in layers:
        for metric in chance.sample(["rate", "support", "margin", "gradient"], 2):
            trial.metrics[f"{metric}.{layer}"] = chance.choices([0.0, 1 / 3, NAN], k=2)
    if chance.random() < 0.5:
        trial.tags = {"snn_sweep.layers": json.dumps(layers)}
    odd = chance.random()
    if odd < 0.15:
        states = [(state, trial.outcome) for state in (None, "FAILED", "KILLED")]
        trial.status, trial.outcome = chance.choice([*states, ("KILLED", "pruned")])
    elif odd < 0.3:
        trial.key = chance.choice([None, "an odd kéy", "a" * 16])
    elif odd < 0.4:
        trial.accuracies = ()
        trial.outcome = "diverged"
    elif odd < 0.5:
        trial.tags = {**trial.tags, "snn_sweep.role": chance.choice(["Trial", "else"])}
    elif odd < 0.6:
        trial.config = {**trial.config, "width": 8, "no key of ours": "ünïcode \n%"}
        trial.key = chance.choice([None, "another odd key"])
    return trial


def fill(recorder: Recorder, chance: random.Random, number: int) -> tuple[str, str]:
    """Record a sweep; give its name and its experiment's id."""
    name = f"{chance.choice(NAMES)} {number}"
    spec = generated_spec(chance, name)
    text = chance.choice([spec.to_json(), spec.to_json(), None])
    experiment, parent = recorder.sweep(name, text, chance.randint(1, 3))
    for cell in spec.cells():
        for seed in (*spec.seeds, 7):
            for _ in range(chance.choice([0, 1, 1, 1, 2])):
                trial = generated_trial(chance, {**cell.given(), "seed": seed})
                run = recorder.trial(experiment, parent, trial)
                if chance.random() < 0.1:
                    recorder.client.delete_run(run)
    return name, experiment


def answer(where: dict[str, str], name: str, ask: Answer) -> pd.DataFrame | str:
    """What is answered, or what is said instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return ask(Results(name, **where))
        except specs.InputError as error:
            return str(error)


@pytest.mark.timeout(300 + 20 * COUNT)
@pytest.mark.parametrize(
    "numbers",
    [range(3), pytest.param(range(3, COUNT), marks=pytest.mark.slow)],
    ids=["three", "more"],
)
def test_all_ways_give_the_same_answers(ways: Ways, numbers: range) -> None:
    shown = 0
    for number in numbers:
        chance = random.Random(number)
        name, experiment = fill(ways.recorder, chance, number)
        ways.copy(experiment)
        for question, ask in ANSWERS.items():
            first, *others = (answer(where, name, ask) for where in ways.where.values())
            for way, other in zip(list(ways.where)[1:], others, strict=True):
                told = f"set {number}, {question}, {way}"
                if isinstance(first, str) or isinstance(other, str):
                    assert first == other, told
                    continue
                pd.testing.assert_frame_equal(first, other, check_exact=True, obj=told)
                shown += len(first)
    assert shown > 50 * len(numbers)  # and not by all being empty


def test_all_ways_give_the_same_summaries(ways: Ways) -> None:
    """Runs are doubled and deleted, and have ended, failed, been pruned or are running."""
    for number in (101, 105, 114):
        _, experiment = fill(ways.recorder, random.Random(number), number)
        ways.copy(experiment)
    first, *others = (all_sweeps(open_source(**where)) for where in ways.where.values())
    others += [recorded_sweeps(where["tracking_uri"]) for where in list(ways.where.values())[2:]]
    assert [other for other in others if other != first] == []
    states = {state for sweep in first for state in sweep.trials}
    assert states >= {"completed", "collapsed", "diverged", "pruned", "failed", "running"}
    assert {sweep.best is None for sweep in first} == {False}
    for where in ways.where.values():
        assert one_sweep(open_source(**where), first[0].name) == first[0]
