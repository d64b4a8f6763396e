"""A sweep to strike, and everything that is looked at once it has ended."""

from __future__ import annotations

import os
import random
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from commands import Commands, Numbers, commands_in, models_of, numbers, wait_until
from ledger import Ledger, audit
from proxy import Proxy

from orchestration import Results
from orchestration.record.client import connect
from snn_norm.data.dataset import load_dataset
from snn_norm.training.evaluation import evaluate

NORM = "own_code:CountingNorm"
EPOCHS, SEEDS, SLOTS = 6, 3, 2
SPEC = {
    "dataset": "own_code:blobs",
    "epochs": EPOCHS,
    "seeds": list(range(SEEDS)),
    "training": {"batch_size": 16, "augment": True},
    "grid": [{"architecture": "ann", "norm": NORM, "width": 2}],
    "retries": 3,
}
_BATCHES, _LAYERS = 4, 6
STEPS = EPOCHS * _BATCHES
"""Of a trial, and so of each of its norms."""
TRAINING_PASSES = STEPS * _LAYERS
"""Of a trial, without those of its diagnostics before its first epoch and after each."""
PASSES_AN_EPOCH = (_BATCHES + 1) * _LAYERS
PASSES_A_TRIAL = TRAINING_PASSES + (EPOCHS + 1) * _LAYERS

ROUNDS = int(os.environ.get("SNN_TEST_FAULT_ROUNDS", "1"))
"""Of each fault."""


IMPATIENT = (
    "import stamina; stamina.set_testing(True, attempts=3); "
    "from orchestration import main; from orchestration.execution import ray_session; "
    "ray_session._PROGRAM = 'from orchestration.execution.trials import tasks; "
    "tasks._PATIENCE = 2.0; ' + ray_session._PROGRAM; main()"
)
"""`snn-sweep` that waits for an unreachable tracking server for 2 s, not for 15 minutes."""


@dataclass
class Row:
    """What one round showed; one that never came to its check is ``unchecked``."""

    fault: str
    database: str
    seed: int
    unchecked: bool = True
    lost: int = 0
    double: int = 0
    running: int = 0
    missing: int = 0
    repeated: int = 0
    other_numbers: bool = False
    epochs_again: float = 0.0
    second_command: bool = False

    def enter(self, ledger: Ledger) -> None:
        """Enter what is wrong in the record of the sweep."""
        self.lost, self.running = len(ledger.lost), len(ledger.running)
        self.double = len(ledger.double) + ledger.parents - 1
        self.missing, self.repeated = len(ledger.missing), len(ledger.repeated)
        self.unchecked = False


@dataclass
class StruckSweep:
    """One sweep that is struck once, at a moment that ``random`` decides.

    ``commands`` reach the tracking server by ``proxy``; what is checked is asked of it directly.
    """

    row: Row
    random: random.Random
    commands: Commands
    proxy: Proxy
    tracking_uri: str
    undisturbed: Numbers
    content: Mapping[str, Any] = field(default_factory=lambda: SPEC)
    passes_a_trial: int = PASSES_A_TRIAL
    passes_an_epoch: int = PASSES_AN_EPOCH
    models: Mapping[str, bytes] | None = None
    """Those of training code of the user's own as they must be, by seed; it may leave none."""

    def __post_init__(self) -> None:
        self.name = f"{self.row.fault} {uuid.uuid4().hex[:8]}"
        self._count = Path(self.commands.environment["OWN_CODE_COUNT"])

    def start(self, **options: str) -> subprocess.Popen[str]:
        """Start the sweep."""
        self.spec, self.path = self.commands.spec(self.name, self.content)
        return self.commands.start("run", self.path, **options)

    @property
    def folder(self) -> Path:
        """The sweep's own in the checkpoint store."""
        return Path(self.commands.environment["SNN_SWEEP_HOME"]) / "storage" / self.name

    @property
    def passes(self) -> int:
        """Passes through a layer in training, so far."""
        return self._count.stat().st_size if self._count.exists() else 0

    def wait_for_a_moment(self, process: subprocess.Popen[str], *, after: float = 0.0) -> None:
        """Wait for a random moment of the training, after this part of it at the earliest."""
        moment = max(1, int(self.random.uniform(after, 0.85) * SEEDS * self.passes_a_trial))
        wait_until(lambda: self.passes >= moment or process.poll() is not None)
        time.sleep(self.random.uniform(0, 0.2))

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait for the command; whatever it could not end, the same command again does."""
        process.communicate(timeout=500)
        if process.returncode != 0:
            self.row.second_command = True
            self.commands.run("run", self.path)

    def check(self, *, most_epochs_again: float) -> None:
        """Look at the whole record, its numbers, and at what was trained more than once."""
        again = (self.passes - SEEDS * self.passes_a_trial) / self.passes_an_epoch
        self.check_record(again)
        assert again <= most_epochs_again

    def check_record(self, epochs_again: float = 0.0) -> None:
        """Look at the whole record, and at the numbers of every trial that others have too."""
        client, row = connect(self.tracking_uri), self.row
        ledger, found = audit(client, self.spec), numbers(client, self.name)
        row.enter(ledger)
        row.other_numbers = any(found.get(k) != curve for k, curve in self.undisturbed.items())
        row.epochs_again = max(0.0, epochs_again)
        assert ledger == Ledger()
        if self.models is None:
            self.check_models()
        else:
            assert models_of(client, self.name) == self.models
        assert not row.other_numbers, "not the numbers of an undisturbed sweep"

    def check_models(self) -> None:
        """Every trial's model computes, to the last digit, what its best epoch did."""
        results = Results(self.name, tracking_uri=self.tracking_uri)
        data = load_dataset(SPEC["dataset"], Path())
        kept = results.models().dropna(subset=["epoch"])
        norms = {norm for norm, _, _ in self.undisturbed}
        with pytest.MonkeyPatch.context() as patch:
            for name in self.commands.environment.keys() & {"OWN_CODE_STEPS", "OWN_CODE_COUNT"}:
                patch.setenv(name, self.commands.environment[name])
            for row in kept[kept["norm"].isin(norms)].to_dict("records"):
                model = results.model(row["run_id"], own_code=norms)
                batch_size = model.description.config.batch_size
                found = evaluate(model, data.test_images, data.test_labels, batch_size)
                curves = [
                    self.undisturbed[row["norm"], str(row["seed"]), metric]
                    for metric in ("test_loss", "test_accuracy")
                ]
                assert list(found) == [curve[row["epoch"] - 1] for curve in curves], row


@contextmanager
def struck_sweep(
    row: Row, folder: Path, tracking_uri: str, undisturbed: Numbers
) -> Iterator[StruckSweep]:
    """A sweep with a home and a proxy of its own."""
    port = urlsplit(tracking_uri).port
    assert port is not None
    environment = {"OWN_CODE_COUNT": str(folder / "passes")}
    with (
        Proxy(port) as proxy,
        commands_in(folder, f"http://127.0.0.1:{proxy.port}", environment) as commands,
    ):
        yield StruckSweep(row, random.Random(row.seed), commands, proxy, tracking_uri, undisturbed)


def table(rows: Sequence[Row]) -> str:
    """The rounds as a Markdown table, a row a fault."""
    lines = [
        "| fault | rounds | lost | double | left RUNNING | metrics missing | metrics double "
        "| other numbers | not ended | epochs again, at most | second command |",
        "| --- | " + " | ".join(["---:"] * 10) + " |",
    ]
    for fault in dict.fromkeys(row.fault for row in rows):
        of_it = [row for row in rows if row.fault == fault]
        cells = [
            len(of_it),
            sum(row.lost for row in of_it),
            sum(row.double for row in of_it),
            sum(row.running for row in of_it),
            sum(row.missing for row in of_it),
            sum(row.repeated for row in of_it),
            sum(row.other_numbers for row in of_it),
            sum(row.unchecked for row in of_it),
            f"{max(row.epochs_again for row in of_it):.2f}",
            sum(row.second_command for row in of_it),
        ]
        lines.append(f"| {fault} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
