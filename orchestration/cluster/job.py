"""A sweep's driver as a job on a Ray cluster: ``python -m orchestration.job``.

The current folder holds the spec and the user's own modules. Events are printed as lines of JSON,
which ``snn-sweep logs`` and ``submit --wait`` show. The exit codes are those of ``snn-sweep run``;
after a code of 3 or more the supervisor restarts the sweep.
"""

from __future__ import annotations

import signal
import sys
import traceback
from http import HTTPStatus
from pathlib import Path

from mlflow.exceptions import MlflowException

from orchestration.cluster.bundle import SPEC_FILE, forget, keep, login_of
from orchestration.errors import CRASHED, FAILED, INTERRUPTED, UNREACHABLE, WRONG_INPUT, InputError
from orchestration.execution.run import run_sweep
from orchestration.execution.trials.planning import recorder_of
from orchestration.progress.event_log import StreamLog
from orchestration.progress.events import Note, Supervised
from orchestration.store.base import Storage
from orchestration.store.lease import LeaseTakenError, holder
from orchestration.store.open import sweep_storage
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError
from services.settings import Settings, use_login


def main() -> int:
    """Run the sweep of the current folder; returns the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray's stop signal
    watch = StreamLog(sys.stdout)
    storage: Storage | None = None
    try:
        spec = SweepSpec.load(Path(SPEC_FILE))
        _log_in(spec)
        settings = Settings.from_environment()
        storage = sweep_storage(settings, spec.name)
        if holder(storage) is None:
            keep(Path.cwd(), storage)
            watch(Supervised())
        outcome = run_sweep(spec, settings=settings, watch=watch)
    except LeaseTakenError as error:  # the holder needs the saved submission
        watch(Note(str(error)))
        return FAILED
    except InputError as error:
        watch(Note(str(error)))
        if storage is not None:
            forget(storage)
        return WRONG_INPUT
    except ServiceError as error:
        watch(Note(str(error)))
        return UNREACHABLE
    except MlflowException as error:
        watch(Note(str(error)))
        # Restarting soon does not help if the tracking server forbids something.
        forbidden = error.get_http_status_code() == HTTPStatus.FORBIDDEN
        return CRASHED if forbidden else UNREACHABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - after any error the sweep must be restarted
        watch(Note(traceback.format_exc()))
        return CRASHED
    if outcome.interrupted:
        # The job's status tells the supervisor whether the user or the cluster's end stopped it.
        watch(Note("stopped; submit it again to continue"))
        return INTERRUPTED
    forget(storage)
    return FAILED if outcome.failures else 0


def _log_in(spec: SweepSpec) -> None:
    """Log in to the tracking server as the user who has submitted the sweep.

    A sweep that was begun before users were recorded goes on as the node's own user.
    """
    if not (login := login_of(Path.cwd())):
        return
    of_node = use_login(login.items())
    recorder = recorder_of(spec, None)
    if recorder is not None and recorder.has_no_owner:
        use_login(of_node.items())
