"""The command ``snn-sweep``, with the commands of the other modules."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import Any, TypeGuard

import click

from orchestration.cli import (
    answers,
    archives,
    keeping,
    models,
    papers,
    running,
    server,
    specs,
    sweeps,
)
from orchestration.cli.console import err
from orchestration.cli.help_text import epilog
from orchestration.errors import FAILED, INTERRUPTED, UNREACHABLE, WRONG_INPUT, SweepError
from services.errors import BackupError, DiffersError, ServiceError
from services.settings import SettingsError

PIPE_CLOSED = 128 + signal.SIGPIPE
"""The exit code that shells give a program whose pipe was closed."""

_FILE_ERRORS = {
    errno.EACCES,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""The errors of a file or folder that the user has named."""

# Each command imports what it needs, so that --help and mistakes in specs are fast.


class _Commands(click.Group):
    """Turns errors into one message on standard error and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        # The user's own modules are in the current folder.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds text
        _escape_what_cannot_be_printed()
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # its reader, such as `head`, has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(PIPE_CLOSED)
        except Exception as error:
            code = _exit_code(error)
            if code is None or ctx.params["debug"]:
                raise
            err.print(f"snn-sweep: {_words(error)}", style="red")
            ctx.exit(code)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                raise
            err.print("snn-sweep: interrupted")
            ctx.exit(INTERRUPTED)
        return result


def _escape_what_cannot_be_printed() -> None:
    """Let standard output escape characters that its encoding lacks, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_of_a_file(error: Exception) -> TypeGuard[OSError]:
    """Whether the operating system refuses a file or folder, such as one the user has named."""
    return isinstance(error, OSError) and error.errno in _FILE_ERRORS and bool(error.filename)


def _words(error: Exception) -> str:
    if _is_of_a_file(error):
        return f"{error.filename!r}: {error.strerror}; name another file or folder"
    return str(error)


def _exit_code(error: Exception) -> int | None:
    """The exit code for an error; None for one that is a bug of this package."""
    if isinstance(error, SweepError):
        return error.exit_code
    if isinstance(error, SettingsError | BackupError) or _is_of_a_file(error):
        return WRONG_INPUT
    if isinstance(error, DiffersError):
        return FAILED
    mlflow = sys.modules.get("mlflow.exceptions")  # if it is not loaded, the error is not MLflow's
    if isinstance(error, ServiceError) or (mlflow and isinstance(error, mlflow.MlflowException)):
        return UNREACHABLE
    return None


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=epilog()
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--archive-mb",
    metavar="N",
    type=click.IntRange(1, 10**9 - 1),
    help="Megabytes that an exported FILE may hold once it is unpacked.  [default: 100]",
)
@click.version_option(package_name="snn-norm")
def cli(debug: bool, archive_mb: int | None) -> None:  # noqa: ARG001 - _Commands reads debug
    """Sweeps over architecture, norm and seed, recorded in MLflow.

    SPEC is a YAML file or the name of a packaged spec. NAME is a sweep's name. COMMAND -h explains
    a command.
    """
    if archive_mb is not None:
        os.environ["SNN_SWEEP_ARCHIVE_MB"] = str(archive_mb)


for _subject in (running, sweeps, answers, models, archives, papers, specs, server, keeping):
    for _command in _subject.COMMANDS:
        cli.add_command(_command)
