"""Stops a sweep, and adds seeds to it, for a visitor of its page.

Both are done by commands in processes of their own, here or through a cluster's job server: this
server loads neither Ray nor torch. The browser sends only the sweep's name and a number of seeds.
Here the new spec is made from the one that this machine has run last, if the record agrees with it;
for a cluster, from the recorded one, if it names no code outside this package: any user who may
write to an experiment could have recorded other names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestration.errors import InputError, SpecError, SweepError
from orchestration.execution.command_note import CommandNote
from orchestration.execution.local_sweeps import NOBODY, LocalSweeps, log_path
from orchestration.model.run import OUTCOMES
from orchestration.page.drawing.text import last_lines
from orchestration.page.read import Sweep
from orchestration.store.folder import FolderStorage
from orchestration.sweep.more_seeds import listed_seeds, with_more_seeds
from orchestration.sweep.recorded_spec import read_spec, spec_fields
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings
from snn_norm.references import is_reference

_MAIN = "from orchestration import main; main()"
_PLAN_SECONDS = 120.0
_START_SECONDS = 30.0
"""A run that has neither begun nor ended after this time is no longer waited for."""
_LOOK_SECONDS = 0.2
_AT_ONCE = (
    "somebody else has just given it more seeds: nothing was started. Look at it again, and add "
    "further seeds when it has ended"
)
_LOCK, _OUTPUT = "seeds.lock", "output.txt"


class OnThisMachine:
    """Acts on sweeps that are run from the server's machine. Raises SweepError if it cannot."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def stop(self, name: str) -> None:
        """Stop a sweep as Ctrl-C would, and wait until its runs are closed."""
        self._here(name).stop(name)

    def growing(self, sweep: Sweep) -> SweepSpec:
        """The spec to which seeds can be added; raises SweepError where none can be."""
        return self._noted(sweep)[1]

    def more_seeds(self, sweep: Sweep, count: int, login: Mapping[str, str]) -> None:
        """Give a sweep so many further seeds, and start it again by `snn-sweep run`.

        Args:
            login: the variables with which the visitor logs in to MLflow; empty without a login.
        """
        note, spec = self._noted(sweep)
        grown = with_more_seeds(spec, count).to_json()
        with ExitStack() as stack:
            stack.enter_context(self._alone(sweep.name, note))
            path = self._planned(sweep, grown, note)
            process = self._start(path, note, login)
            # The lock is released when the process has ended. A thread waits for that, so that no
            # zombie process stays.
            held = stack.pop_all()
        threading.Thread(target=_wait, args=(process, held), daemon=True).start()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._runs(sweep.name):
            if code := process.poll():
                output = path.with_name(_OUTPUT).read_text(encoding="utf-8", errors="replace")
                end = " ".join(last_lines(output).split())
                raise SweepError(f"it ended at once, with {code}: {end}")
            if code == 0:
                return
            time.sleep(_LOOK_SECONDS)

    @contextmanager
    def _alone(self, name: str, note: CommandNote) -> Iterator[None]:
        """Lock the adding of seeds to this sweep, across all processes of the server."""
        folder = FolderStorage(log_path(self._settings, name).parent)
        held = folder.lock(_LOCK).take(b"")
        try:
            if held is None or CommandNote.of(self._settings, name) != note or self._runs(name):
                raise SweepError(_AT_ONCE)
            yield
        finally:
            if held is not None:
                held.release()

    def _planned(self, sweep: Sweep, grown: str, note: CommandNote) -> Path:
        """The file with the new spec, after a plan has shown that no trial is trained again."""
        environment = self._environment_of(note)
        with tempfile.TemporaryDirectory(prefix="snn-sweep-") as folder:
            path = Path(folder) / "spec.json"
            path.write_text(grown, encoding="utf-8")
            planned = _answer(note.folder, "plan", str(path), "--json", **environment).stdout
        counted = sum(len(json.loads(planned)[how]) for how in ("reuse", "copy"))
        again = sweep.grid.count(*OUTCOMES) - counted
        if again > 0:
            raise SweepError(
                f"{again} finished trials would be trained again, since the code that they name is "
                "not what it was: nothing was started. If that is meant, run the spec yourself"
            )
        path = log_path(self._settings, sweep.name).with_name("spec.json")
        path.write_text(grown + "\n", encoding="utf-8")
        return path

    def _noted(self, sweep: Sweep) -> tuple[CommandNote, SweepSpec]:
        if sweep.status == "running" and self._driver(sweep.name) != NOBODY:
            _refuse_running(sweep)
        note, text = CommandNote.of(self._settings, sweep.name), sweep.records.spec
        if note is None or text is None:
            raise InputError(
                "it was not run from the server's machine by snn-sweep run: more seeds are given "
                "where it was run, by more of them in its spec"
            )
        spec = _read(note.spec)
        if spec_fields(note.spec) != spec_fields(text) or spec.name != sweep.name:
            raise InputError(
                "its spec on record is not the one that was last run from the server's machine: "
                "more seeds are given where it was last run, by more of them in its spec"
            )
        listed_seeds(spec)
        return note, spec

    def _here(self, name: str) -> LocalSweeps:
        """This machine, with the checkpoint store with which the sweep was last run from it."""
        note = CommandNote.of(self._settings, name)
        if note is None:
            return LocalSweeps(self._settings)
        return LocalSweeps(Settings.from_environment(self._environment_of(note)))

    def _driver(self, name: str) -> str | None:
        return self._here(name).drivers([name]).get(name)

    def _runs(self, name: str) -> bool:
        return self._driver(name) not in (None, NOBODY)

    def _environment_of(self, note: CommandNote) -> dict[str, str]:
        return {**note.environment, "SNN_SWEEP_HOME": str(self._settings.home)}

    def _start(
        self, spec: Path, note: CommandNote, login: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Run a spec in a process that outlives this server."""
        with spec.with_name(_OUTPUT).open("wb") as output:
            return subprocess.Popen(
                _command("run", str(spec)),
                cwd=note.folder,
                env={**_environment(), **self._environment_of(note), **login},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class OnCluster:
    """Acts on sweeps of a Ray cluster, by the methods of OnThisMachine."""

    def __init__(self, address: str) -> None:
        self._address = address

    def stop(self, name: str) -> None:
        """Stop the sweep on the cluster."""
        _answer(None, "stop", "--cluster", self._address, "--", name)

    def growing(self, sweep: Sweep) -> SweepSpec:
        """The spec to which seeds can be added."""
        _refuse_running(sweep)
        if sweep.records.spec is None:
            raise InputError("it has no spec on record")
        spec = _read(sweep.records.spec)
        if spec.name != sweep.name:
            raise InputError(
                f"it was begun as {spec.name!r}, and renamed since: submit its spec yourself"
            )
        own = {name for cell in spec.cells() for name in cell.named_code if is_reference(name)}
        if own:
            raise InputError(
                f"it names code of its user's own ({', '.join(sorted(own))}), which the server "
                "does not have: submit its spec, with more seeds, from where that lies"
            )
        listed_seeds(spec)
        return spec

    def more_seeds(self, sweep: Sweep, count: int, login: Mapping[str, str]) -> None:
        """Submit the new spec, with the login of the visitor."""
        grown = with_more_seeds(self.growing(sweep), count)
        with tempfile.TemporaryDirectory(prefix="snn-sweep-") as folder:
            path = Path(folder) / "spec.json"
            path.write_text(grown.to_json(), encoding="utf-8")
            arguments = ("submit", "--cluster", self._address, str(path))
            answer = _answer(folder, *arguments, **login)
        if "is running already, as" in " ".join(answer.stderr.split()):
            raise SweepError(_AT_ONCE)


Actor = OnThisMachine | OnCluster


def _wait(process: subprocess.Popen[bytes], held: ExitStack) -> None:
    with held:
        process.wait()


def _refuse_running(sweep: Sweep) -> None:
    if sweep.status == "running":
        raise SweepError(
            "it is running: more seeds are given to one that has ended, or was stopped"
        )


def _read(text: str) -> SweepSpec:
    try:
        return read_spec(text)
    except SpecError as error:
        raise InputError(f"its spec cannot be read by this version: {error}") from None


def _command(*arguments: str) -> list[str]:
    # -P: no module of the current folder comes before the installed ones; the command itself puts
    # the folder on the path for the user's own.
    return [sys.executable, "-P", "-c", _MAIN, *arguments]


def _answer(
    folder: str | None, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with further variables of the environment.

    Raises:
        SweepError: it has failed; in its own words.
    """
    try:
        done = subprocess.run(
            _command(*arguments),
            cwd=folder,
            env=_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PLAN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"snn-sweep {arguments[0]}"
        raise SweepError(f"{what} has not answered within {_PLAN_SECONDS:.0f} s") from None
    except OSError as error:  # the folder has gone
        raise SweepError(f"it cannot be run where it was: {error}") from None
    if done.returncode:
        reason = " ".join(last_lines(done.stderr).split()).removeprefix("snn-sweep: ")
        raise SweepError(reason or f"snn-sweep {arguments[0]} ended with {done.returncode}")
    return done


def _environment() -> dict[str, str]:
    """The environment of this server without its own settings of MLflow."""
    clients = ("MLFLOW_TRACKING_", "MLFLOW_HTTP_REQUEST_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lstrip("_").startswith(("MLFLOW_", "PGPASS")) or name.startswith(clients)
    }
    kept.pop("MLFLOW_TRACKING_URI", None)
    return kept
