"""Connects to Ray: to a new instance on this machine, or to the cluster that the user names.

    with local_ray(settings):        # Ray runs for as long as the block lasts
        tuner.fit()

Ray's workers can import modules of the current folder, as Ray adds it to their path.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from services.errors import ServiceError
from services.settings import Settings, SettingsError

_CONNECT_SECONDS = 5
_OBJECT_STORE_BYTES = 200 * 2**20  # trials exchange only numbers; images are in their own memory


@contextmanager
def local_ray(
    settings: Settings, *, num_cpus: int | None = None, num_gpus: int | None = None
) -> Iterator[None]:
    """Run Ray for as long as the block lasts: a new instance here, or ``settings.ray_address``.

    Ray prints nothing, and the environment and the handler of SIGTERM are restored afterwards. If
    this process is already connected to Ray, that Ray is used and left running.

    Args:
        settings: only ``ray_address`` is used.
        num_cpus: the cores of a new instance; None is all of the machine.
        num_gpus: the GPUs of a new instance; None is all of the machine.

    Raises:
        ServiceError: the named cluster cannot be reached.
        SettingsError: ``ray_address`` is invalid.
    """
    if ray.is_initialized():
        yield
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with _environment():
        try:
            if settings.ray_address is None:
                # Without "local" Ray would read RAY_ADDRESS itself.
                _init(
                    address="local",
                    num_cpus=num_cpus,
                    num_gpus=num_gpus,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                )
            else:
                _connect(settings.ray_address)
            yield
        finally:
            ray.shutdown()
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_sigterm)


def _init(**options: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray asks, and sends data
    # Without this, Ray 2.60 shows all GPUs to a trial that asks for none with gpu: 0.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    ray.init(logging_level="error", log_to_driver=False, **options)


def _connect(address: str) -> None:
    if address != "auto":
        _check_reachable(address)
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one try; 20 take 14 minutes
    try:
        _init(address=address)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        if "AuthenticationError" in f"{error} {error.__cause__ or error.__context__}":
            # With a token in ~/.ray, `ray start` asks for it, but ray.init(address) sends none.
            raise ServiceError(
                f"The Ray cluster at {address} (RAY_ADDRESS) refuses the token, or is sent none. "
                "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds the "
                "cluster's token, if that is not ~/.ray/auth_token."
            ) from None
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ServiceError(_unreachable(address, reason[0])) from None


def _check_reachable(address: str) -> None:
    """Check that something listens at the address, as Ray itself would try for many minutes."""
    parts = urlsplit(address if "://" in address else f"gcs://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("gcs", "ray") or host is None or port is None:
        raise SettingsError(
            f"RAY_ADDRESS is not an address of a Ray cluster: {address!r}. Valid: host:6379, "
            "ray://host:10001 or auto; http://host:8265 is for `snn-sweep submit`. Unset it to "
            "run on this machine."
        )
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ServiceError(_unreachable(address, error.strerror or str(error))) from None


def _unreachable(address: str, reason: str) -> str:
    return (
        f"No Ray cluster at {address} (RAY_ADDRESS): {reason}. Check that it runs (`ray status`) "
        "and can be reached from here, or unset RAY_ADDRESS to run on this machine."
    )


@contextmanager
def _environment() -> Iterator[None]:
    """Restore what Ray changes in this process's environment, as later runs would inherit it.

    Ray remembers what it has read from the environment, and a new instance on this machine turns on
    authentication by token. A cluster without tokens could then not call this process back, and
    all actors on it would die.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) | set(before):
            if name.startswith("RAY_") or name == "PYTHONBREAKPOINT":
                if name in before:
                    os.environ[name] = before[name]
                else:
                    os.environ.pop(name, None)
        Config.initialize("")  # reads the environment again
        AuthenticationTokenLoader.instance().reset_cache()
