"""What the process of `RayProcess` does: it starts Ray, trains, and tells the driver of it."""

from __future__ import annotations

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
"""Ray's processes without which nothing goes on."""


def main(fd: int) -> None:
    """Do what the driver asks for.

    Args:
        fd: this end of the pipe.
    """
    connection = Connection(fd)
    try:
        settings: Settings = connection.recv()
        with local_ray(settings):
            own = [] if settings.ray_address else psutil.Process().children()
            connection.send([one.pid for one in own if one.name() in _ESSENTIAL])
            _serve(connection)
    except EOFError:
        pass  # the driver has gone
    except (ServiceError, SettingsError) as error:
        connection.send(error)
    except Exception as error:  # noqa: BLE001 - Ray has many for what ends it as it starts
        reason = " ".join(traceback.format_exception_only(error)[-1].split())
        connection.send(RayLostError(f"Ray has not started on this machine ({reason})"))


def _serve(connection: Connection) -> None:
    """Train, and say what came of it before Ray ends, lest the driver takes Ray for lost."""
    dismissed = threading.Event()
    try:
        # With torch and Tune, while the driver prepares.
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
    """End at once if the driver ends: its trials are the next driver's."""
    try:
        connection.recv()
    except EOFError:
        os._exit(1)
    dismissed.set()


def _sendable(error: BaseException) -> BaseException:
    """An error that a pipe takes, with its traceback as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - any class may refuse in a way of its own
        return SweepError(f"{type(error).__name__}: {error}")
    return error
