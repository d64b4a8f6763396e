"""A search that is killed goes on to the settings, winners and tables of an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Commands, commands_in, wait_until
from laboratory import Row
from ledger import Ledger, audit
from strikes import kill_group

from orchestration import Results, SweepSpec
from orchestration.record.client import connect
from services.settings import Settings
from services.tracking import start_server, stop_server

NAME = "tuned-digits"
_STRIKES = 10


@contextmanager
def on_a_new_server(folder: Path) -> Iterator[Commands]:
    """Commands with a tracking server of their own, as settings follow from the sweep's name."""
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(folder / "home")})
    try:
        with commands_in(folder, start_server(settings)) as commands:
            yield commands
    finally:
        stop_server(settings)


def record(commands: Commands) -> tuple[list[dict[str, Any]], Ledger]:
    """The tables of the sweep, and what is wrong in its record. Pruned settings are not lost."""
    uri = commands.environment["MLFLOW_TRACKING_URI"]
    results = Results(NAME, tracking_uri=uri)
    settings, cells = (
        table.drop(columns="hours") for table in (results.search(), results.searched())
    )
    ledger = audit(connect(uri), SweepSpec.load(NAME))
    pruned = int((settings["state"] == "pruned").sum())
    fresh = results.by_seed().drop(columns="run_id", errors="ignore")
    tables = [table.to_dict() for table in (settings, cells, fresh, results.best_of_seeds())]
    return tables, replace(ledger, lost=ledger.lost[pruned:])


def epochs_of_the_log(commands: Commands) -> int:
    """How many epochs the command has reported so far."""
    log = Path(commands.environment["SNN_SWEEP_HOME"]) / "logs" / NAME / "events.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(line.startswith('{"snn_sweep": "epoch"') for line in lines)


def has_come_to(moment: int, commands: Commands, process: subprocess.Popen[str]) -> bool:
    """Whether the command has reported so many epochs, or has ended."""
    return epochs_of_the_log(commands) >= moment or process.poll() is not None


@pytest.fixture(scope="session")
def undisturbed_search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, int]:
    """The tables of the search to which nothing happens, and its number of epochs."""
    with on_a_new_server(tmp_path_factory.mktemp("undisturbed")) as commands:
        commands.run("run", NAME)
        tables, ledger = record(commands)
        assert ledger == Ledger()
        return tables, epochs_of_the_log(commands)


def strike(commands: Commands, epochs: int, chance: random.Random) -> None:
    """Run the search, which is killed at a random moment in each tenth of its epochs."""
    for number in range(_STRIKES):
        moment = int(epochs * (number + chance.random()) / _STRIKES)
        process = commands.start("run", NAME, "--no-wait-for-report")
        wait_until(partial(has_come_to, moment, commands, process))
        time.sleep(chance.uniform(0, 0.2))
        kill_group(process)
        process.communicate()
    commands.run("run", NAME)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.database("sqlite")
def test_search_killed_ten_times_with_all_its_processes(
    row: Row, tmp_path: Path, undisturbed_search: tuple[Any, int]
) -> None:
    expected, epochs = undisturbed_search
    with on_a_new_server(tmp_path) as commands:
        strike(commands, epochs, random.Random(row.seed))
        row.second_command = True
        tables, ledger = record(commands)
    row.enter(ledger)
    row.other_numbers = repr(tables) != repr(expected)
    assert ledger == Ledger()
    assert not row.other_numbers, "not the tables of an undisturbed sweep"
