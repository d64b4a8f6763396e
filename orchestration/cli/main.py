"""The command ``snn-sweep``: a thin shell over the driver, the tracking server and the answers."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from orchestration.cli import answers, archives, models, papers, running, server, sweeps
from orchestration.cli.console import err
from orchestration.errors import INTERRUPTED, UNREACHABLE, WRONG_INPUT, SweepError
from services.errors import ServiceError
from services.settings import SettingsError

__all__ = ["cli"]

PIPE_CLOSED = 128 + signal.SIGPIPE
"""What a shell makes of a program that could not write any more."""

# Each command imports what it needs: --help and a mistake in a spec are answered at once.


class _Commands(click.Group):
    """Turns errors into one message on standard error and the exit code that belongs to them."""

    def invoke(self, ctx: click.Context) -> Any:
        # The user's own modules lie in the folder that the command is started from.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string, as Python itself puts there
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # its reader has enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(PIPE_CLOSED)
        except Exception as error:
            code = _exit_code(error)
            if code is None or ctx.params["debug"]:
                raise
            err.print(f"snn-sweep: {error}", style="red")
            ctx.exit(code)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                raise
            err.print("snn-sweep: interrupted")
            ctx.exit(INTERRUPTED)
        return result


def _exit_code(error: Exception) -> int | None:
    """What an error ends a command with; None for one that is a mistake of ours."""
    if isinstance(error, SweepError):
        return error.exit_code
    if isinstance(error, SettingsError):
        return WRONG_INPUT
    mlflow = sys.modules.get("mlflow.exceptions")  # who has not loaded it cannot have raised its
    if isinstance(error, ServiceError) or (mlflow and isinstance(error, mlflow.MlflowException)):
        return UNREACHABLE
    return None


@click.group(cls=_Commands)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--archive-mb",
    metavar="N",
    type=click.IntRange(1, 10**9 - 1),
    help="Megabytes that an exported FILE may hold once it is unpacked.  [default: 100]",
)
@click.version_option(package_name="snn-norm")
def cli(debug: bool, archive_mb: int | None) -> None:  # noqa: ARG001 - read where errors end
    """Sweeps over architecture, norm and seed, recorded in MLflow.

    SPEC is a YAML file, or the name of a packaged spec.
    """
    if archive_mb is not None:
        os.environ["SNN_SWEEP_ARCHIVE_MB"] = str(archive_mb)


for _subject in (running, sweeps, answers, models, archives, papers, server):
    for _command in _subject.COMMANDS:
        cli.add_command(_command)
