"""Stores the report of a sweep where MLflow's pages show it.

The report may be written by a process of its own, so that nobody has to wait for it:

    python -m orchestration.execution.report_process NAME RUN_ID
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading

from orchestration.execution.local_sweeps import log_path
from orchestration.progress.event_log import FileLog
from orchestration.progress.events import EpochDone, Event, EventHandler, Note
from orchestration.store.lease import writing_report
from orchestration.store.open import sweep_storage
from services.settings import Settings
from services.tracking import home_database, tracking_server

# The processes that this one has started. They are held so that Popen does not warn of those that
# outlive a command.
_children: list[subprocess.Popen[bytes]] = []


def importing_meanwhile(watch: EventHandler) -> EventHandler:
    """A handler of events that imports what a report needs, once an epoch has been trained."""
    importing = threading.Thread(
        target=importlib.import_module, args=("orchestration.report.write",), daemon=True
    )

    def handle(event: Event) -> None:
        if isinstance(event, EpochDone) and importing.ident is None:
            importing.start()
        watch(event)

    return handle


def store_report(settings: Settings, uri: str, name: str, run_id: str, watch: EventHandler) -> bool:
    """Write a report and store it; a sweep does not fail without one.

    Returns:
        Whether the report is stored.
    """
    watch(Note("the report is being written"))
    try:
        # Imported here because they load MLflow, pandas and matplotlib.
        from orchestration.record.client import connect
        from orchestration.report.write import log_report

        log_report(connect(uri), name, run_id, home_database(settings))
    except Exception as error:  # noqa: BLE001 - whatever it is, the trials are finished
        what = f"{type(error).__name__}: {error}"
        watch(Note(f"no report was written: {what}; try: snn-sweep report {name}"))
        return False
    return True


def store_report_later(name: str, run_id: str, watch: EventHandler) -> None:
    """Let a process of its own store the report; returns once it keeps the tracking server up.

    Its settings are those of the environment, and its events are in the sweep's log.
    """
    watch(Note(f"the report is written in the background; follow it with: snn-sweep logs {name}"))
    process = subprocess.Popen(
        # -P: modules of the current folder must not take precedence.
        [sys.executable, "-P", "-m", __name__, name, run_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal must not stop it
    )
    _children.append(process)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()


def main() -> None:
    """Store the report of the sweep and the run that the arguments name."""
    name, run_id = sys.argv[1:]
    settings = Settings.from_environment()
    log = FileLog(log_path(settings, name))
    with tracking_server(settings) as uri, writing_report(sweep_storage(settings, name)):
        sys.stdout.write("the tracking server stays up\n")
        sys.stdout.flush()
        if store_report(settings, uri, name, run_id, log):
            log(Note("the report is written"))


if __name__ == "__main__":
    main()
