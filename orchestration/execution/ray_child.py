"""The process of `RayProcess`: it starts Ray, trains, and sends events to the driver."""

from __future__ import annotations

import importlib
import os
import pickle
import threading
import traceback
from multiprocessing.connection import Connection

import psutil

from orchestration.errors import SweepError
from orchestration.execution.ray_process import RayLostError
from services.cluster import local_ray
from services.errors import ServiceError
from services.settings import Settings, SettingsError

_ESSENTIAL = ("gcs_server", "raylet")
"""Ray's processes without which training cannot continue."""


def main(fd: int) -> None:
    """Import Ray and Tune, start Ray when the driver says so, and train its job."""
    connection = Connection(fd)
    try:
        # This loads torch and Tune while the driver checks the sweep.
        importlib.import_module("orchestration.execution.train")
        settings: Settings = connection.recv()
        with local_ray(settings):
            children = [] if settings.ray_address else psutil.Process().children()
            connection.send([child.pid for child in children if child.name() in _ESSENTIAL])
            _serve(connection)
    except EOFError:
        pass  # the driver has ended
    except (ServiceError, SettingsError) as error:
        connection.send(error)
    except Exception as error:  # noqa: BLE001 - Ray raises many types if it fails to start
        reason = " ".join(traceback.format_exception_only(error)[-1].split())
        connection.send(RayLostError(f"Ray has not started on this machine ({reason})"))


def _serve(connection: Connection) -> None:
    """Train, and send the result before Ray ends, so that the driver does not take Ray for lost."""
    dismissed = threading.Event()
    try:
        from orchestration.execution.train import train

        job = connection.recv()
        threading.Thread(target=_listen, args=(connection, dismissed), daemon=True).start()
        connection.send(train(job, connection.send))
    except EOFError:
        raise
    except BaseException as error:  # noqa: BLE001 - the driver raises it
        connection.send(_sendable(error))
    dismissed.wait()


def _listen(connection: Connection, dismissed: threading.Event) -> None:
    """End at once if the driver ends, as the next driver takes over its trials."""
    try:
        connection.recv()
    except EOFError:
        os._exit(1)
    dismissed.set()


def _sendable(error: BaseException) -> BaseException:
    """An error that can be sent through a pipe, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - a class may raise anything here
        return SweepError(f"{type(error).__name__}: {error}")
    return error
