"""How long commands take that train nothing, against the import of MLflow alone.

    python -m benchmarks.startup

Each command is a process of its own, in an empty home or in one with a small sweep recorded in
SQLite. The figure is the processor time of the fastest of some runs, in turn with those of
``python -c "import mlflow"``, over that of the import: other work on the machine tells less so.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from services.settings import Settings
from services.tracking import tracking_server

_ROUNDS = 3
MAIN = "from orchestration import main; main()"
_SPEC = """\
name: small
dataset: digits
epochs: 2
seeds: [1, 2]
grid:
  - {architecture: ann, norm: [none, batchnorm], width: 2}
"""
_COMMANDS = {
    "--help": (["--help"], "empty", 0.2),
    "a spec with a mistake": (["run", "wrong.yaml"], "empty", 0.5),
    "plan of a new sweep": (["plan", "small.yaml"], "empty", 0.6),
    "list": (["list"], "full", 1.0),
    "status": (["status", "small"], "full", 1.0),
    "results": (["results", "small"], "full", 1.0),
    "run of a finished sweep": (["run", "small.yaml"], "full", None),
}


def main() -> None:
    """Measure, and print a Markdown table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.yaml").write_text(_SPEC)
        (folder / "wrong.yaml").write_text(_SPEC.replace("epochs: 2", "epochs: 0"))
        _record(folder / "full")
        programs = {
            "import mlflow": ([sys.executable, "-c", "import mlflow"], "empty"),
            **{
                command: ([sys.executable, "-c", MAIN, *arguments], home)
                for command, (arguments, home, _) in _COMMANDS.items()
            },
        }
        times: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(_ROUNDS):
            for program, (words, home) in programs.items():
                times[program].append(_processor_seconds(words, folder, home))
    imported = min(times["import mlflow"])
    print(f"`import mlflow`: {imported:.2f} s of processor time\n")
    print("| command | import of MLflow = 1 | aim |\n| --- | ---: | ---: |")
    for command, (_, _, aim) in _COMMANDS.items():
        print(f"| {command} | {min(times[command]) / imported:.2f} | {aim or '–'} |")


def _processor_seconds(command: list[str], folder: Path, home: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, cwd=folder, env=environment_of(folder / home), capture_output=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def environment_of(home: Path) -> dict[str, str]:
    """This process's, with a home, and no other server, database or storage."""
    left_out = ("MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL", "SNN_SWEEP_STORAGE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"SNN_SWEEP_HOME": str(home)}


def _record(home: Path) -> None:
    """A finished sweep in the database of a home, as far as these commands read it."""
    from orchestration import SweepSpec
    from orchestration.record.client import connect
    from orchestration.record.spool import Spool
    from orchestration.record.sweep_recorder import SweepRecorder
    from orchestration.record.trial_recorder import TrialRecorder
    from orchestration.store.open import sweep_storage

    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(home)})
    with tracking_server(settings) as uri:
        spec = SweepSpec.load(home.parent / "small.yaml")
        storage = sweep_storage(settings, spec.name)
        books = SweepRecorder(connect(uri), spec.name, storage)
        books.open(spec)
        for trial in spec.trials():
            recorder = TrialRecorder(
                client=connect(uri),
                trial=trial,
                experiment_id=str(books.experiment_id),
                parent_run_id=str(books.parent_run_id),
                spool=Spool(storage.folder(trial.key)),
                patience=60.0,
            )
            recorder.record_epoch(1, {"test_accuracy": 0.5}, {})
            recorder.end("completed", {"best_test_accuracy": 0.5, "best_epoch": 1})
            recorder.finish()
            recorder.close()
        books.close("completed")


if __name__ == "__main__":
    main()
