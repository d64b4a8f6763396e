"""MLflow's tracking server in one process.

MLflow's command starts a second process for uvicorn, which imports MLflow once more. Here uvicorn
runs in the command's own process. All that MLflow's command checks and creates stays its own.

The process imports MLflow first and then waits for an `Order` on standard input, so that it can be
started before it is known what to serve. It ends without a trace if no order comes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Order:
    """What a server is to serve.

    Args:
        folder: the current folder of the server.
        log: a file to which its output is added, relative to the folder.
        environment: variables to set; they may hold a password, which `ps` must not show.
        arguments: of the command ``mlflow``.
    """

    folder: str
    log: str
    environment: dict[str, str]
    arguments: list[str]

    def send(self, process: IO[bytes]) -> None:
        """Write the order to the standard input of a process that runs `main`."""
        process.write(json.dumps(asdict(self)).encode() + b"\n")
        process.close()


def main() -> None:
    """Import MLflow, wait for an order, and serve."""
    failure = ""
    try:
        import mlflow.cli
        import mlflow.server
    except Exception:  # noqa: BLE001 - whatever a broken installation raises belongs into the log
        failure = traceback.format_exc()
    line = sys.stdin.readline()
    if not line:
        return
    order = Order(**json.loads(line))
    os.chdir(order.folder)
    os.environ.update(order.environment)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
    if failure:
        raise SystemExit(failure)
    if "MLFLOW_BACKEND_STORE_URI" in order.environment:
        create_sqlite(order.environment["MLFLOW_BACKEND_STORE_URI"])
    # A version of MLflow without this function starts uvicorn in another way, in its own process.
    if hasattr(mlflow.server, "_exec_cmd"):
        mlflow.server._exec_cmd = _serve_here
    mlflow.cli.cli.main(order.arguments, prog_name="mlflow")


def create_sqlite(url: str) -> None:
    """Create the database if its URL is that of a SQLite file that does not exist.

    MLflow commits each table on its own, and cannot open a database which a server that was stopped
    had only begun. So the file has another name until it is complete. As it is worthless until
    then, the commits do not wait for the disk, which takes seconds.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event, make_url

    parsed = make_url(url)
    path = Path(parsed.database or "")
    if parsed.get_backend_name() != "sqlite" or not path.name or path.exists():
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    try:
        store = SqlAlchemyStore(str(parsed.set(database=str(partial))), "mlflow-artifacts:/")
    finally:
        event.remove(Engine, "connect", _do_not_wait_for_the_disk)
    store.engine.dispose()
    with partial.open("rb") as file:
        os.fsync(file)
    partial.rename(path)


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")


def _serve_here(command: list[str], *, extra_env: dict[str, str], **_: Any) -> None:
    """Run uvicorn in this process, in place of the command that MLflow would start.

    Args:
        command: Python's path, ``-m``, ``uvicorn`` and uvicorn's arguments.
        extra_env: variables for the command.
    """
    from uvicorn.main import main as uvicorn

    os.environ.update(extra_env)
    assert command[1:3] == ["-m", "uvicorn"]
    uvicorn.main(command[3:], prog_name="uvicorn")


if __name__ == "__main__":
    main()
