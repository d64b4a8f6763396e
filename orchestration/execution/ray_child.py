"""The process of `RayProcess`: it starts Ray, trains, and sends events to the driver."""

from __future__ import annotations

import importlib
import os
import pickle
import threading
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection

import psutil

from orchestration.errors import SweepError
from orchestration.execution.ray_process import RayLostError
from orchestration.execution.ray_session import RayOrder
from orchestration.execution.warm_ray import offered, wait_for_sweep
from services.cluster import local_ray
from services.errors import ServiceError
from services.settings import SettingsError
from services.tracking import tracking_server

_ESSENTIAL = ("gcs_server", "raylet")
"""Ray's processes without which training cannot continue."""

_MODULES_OF_TRIALS = (
    "orchestration.execution.worker.trial",
    "orchestration.execution.worker.attempt",
)


def main(fd: int) -> None:
    """Import Ray and Tune, start Ray when the driver says so, and train its job."""
    connection = Connection(fd)
    try:
        # This loads torch and Tune while the driver checks the sweep.
        importlib.import_module("orchestration.execution.train")
        order: RayOrder = connection.recv()
        settings = order.settings
        if settings.ray_address is None:
            # torch's optimizers import the last one at their first step.
            kept = ("torch._dynamo",) if order.keep_minutes else ()
            preload = (*_MODULES_OF_TRIALS, *kept) if order.all_cores_train else ()
            _use_workers_started_in_advance(preload)
        with ExitStack() as stack:
            offer = None
            if order.keep_minutes:
                if (offer := stack.enter_context(offered(order))) is None:
                    return
                stack.enter_context(tracking_server(settings))
                connection.send("the tracking server is kept")
            stack.enter_context(local_ray(settings))
            children = [] if settings.ray_address else psutil.Process().children()
            essential = [child.pid for child in children if child.name() in _ESSENTIAL]
            if offer is not None:
                with suppress(BrokenPipeError):  # the sweep before has ended meanwhile
                    connection.send("Ray is ready")
                if (driver := wait_for_sweep(offer, order.keep_minutes)) is None:
                    return
                connection = driver
            connection.send(essential)
            _serve(connection)
    except EOFError:
        pass  # the driver has ended
    except (ServiceError, SettingsError) as error:
        connection.send(error)
    except Exception as error:  # noqa: BLE001 - Ray raises many types if it fails to start
        reason = " ".join(traceback.format_exception_only(error)[-1].split())
        connection.send(RayLostError(f"Ray has not started on this machine ({reason})"))


def _use_workers_started_in_advance(preload: Sequence[str]) -> None:
    """Let trials run in the workers that Ray starts with itself, one for each core.

    Otherwise Ray starts others for them: Tune gives its actors a runtime environment, which those
    workers lack, and Ray ends workers after a second if their cores have been reserved meanwhile.

    Args:
        preload: the modules that those workers import while the tracking server starts.
    """
    with suppress(ImportError, AttributeError):  # another Ray: it starts other workers for trials
        from ray.tune.execution import class_cache

        for name, value in class_cache.DEFAULT_ENV_VARS.items():
            os.environ.setdefault(name, value)  # workers have the environment of this process
        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "300000")
    if preload:
        os.environ["RAY_preload_python_modules"] = ",".join(preload)  # noqa: SIM112
        # Ray sets it for each trial, which is too late for libraries that have been imported.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


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
