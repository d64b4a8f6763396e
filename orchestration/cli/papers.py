"""The commands that check published numbers against the record: paper, reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out
from orchestration.errors import FAILED, InputError
from services.settings import Settings

if TYPE_CHECKING:
    from orchestration.execution.reproduce import Reproduced

_folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("names", metavar="[NAME]…", nargs=-1, shell_complete=arguments.complete_name)
@click.option("--output", metavar="DIR", type=_folder, help="Folder to write to.")
@click.option("--check", metavar="DIR", type=_folder, help="Compare such a folder instead.")
def paper(names: tuple[str, ...], output: Path | None, check: Path | None) -> None:
    """Write the tables of sweeps NAME… and a macro for each of their numbers, in LaTeX.

    NAME may be a file that export wrote, such as digits.jsonl.gz. With --check, sweeps named by a
    file are read from it, all others from the tracking server, and the command ends with 1 if
    anything differs from the record.
    """
    if (output is None) == (check is None):
        raise InputError("paper needs one of --output DIR and --check DIR")
    if check is not None:
        _check(check, names)
        return
    if not names:
        raise InputError("paper needs the NAME of a sweep, or several")
    from orchestration.report.paper.write import MACROS, compose, read_sweeps, write_paper

    assert output is not None
    written = compose(read_sweeps(names))
    write_paper(written, output)
    count = len(written.manifest["numbers"])
    out.print(f"{len(written.files) - 1} tables in {output}; {count} numbers in {output / MACROS}")


def _check(folder: Path, names: tuple[str, ...]) -> None:
    from orchestration.report.paper.check import check_paper

    differences = check_paper(folder, names)
    for difference in differences:
        out.print(str(difference))
    if differences:
        raise SystemExit(FAILED)
    out.print(f"{folder}: every number is the record's")


@click.command()
@arguments.name
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How many finished trials to train again.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Chooses the trials: those with the smallest SHA-256 of 'SEED KEY'.",
)
@click.option(
    "--trial",
    "keys",
    metavar="KEY",
    multiple=True,
    help="The key of a trial to train instead; may be repeated.",
)
@click.option(
    "--device",
    metavar="DEVICE",
    help="Where to train, such as cpu; default: where it was recorded, if available.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="X",
    help="How far numbers of another machine may be apart; default: 0.15.",
)
@click.option(
    "--own-code",
    metavar="NAME",
    multiple=True,
    help="Import your own network, norm or data set that the trials name, package.module:name; "
    "nothing else of your own is imported; may be repeated.",
)
def reproduce(
    name: str, sample: int, seed: int, keys: tuple[str, ...], device: str | None,
    tolerance: float | None, own_code: tuple[str, ...],
) -> None:  # fmt: skip
    """Train finished trials of sweep NAME again, without recording them, and compare each epoch.

    NAME may also be a file that `snn-sweep export` wrote, such as digits.jsonl.gz. Numbers must be
    equal to the last bit, unless the trial was recorded on another processor, with other software,
    or on a GPU. The command ends with 1 if a trial has other numbers.
    """
    from orchestration.results.recorded_trials import choose, threads_of
    from orchestration.results.results import Results

    results = Results(name).snapshot()
    trials = choose(results, sample=sample, seed=seed, keys=keys, own_code=own_code)
    threads = threads_of(results)
    from orchestration.execution.reproduce import TOLERANCE
    from orchestration.execution.reproduce import reproduce as train_again

    data = Settings.from_environment().data
    done: list[Reproduced] = []
    for number, (trial, recorded) in enumerate(trials, 1):
        heading = f"{number} of {len(trials)}: {trial.label}"
        with err.status(heading) as status:
            done.append(
                train_again(
                    trial,
                    recorded,
                    data,
                    threads=threads,
                    device=device,
                    tolerance=TOLERANCE if tolerance is None else tolerance,
                    on_epoch=lambda epoch: status.update(
                        f"{heading}, epoch {epoch} of {trial.config.epochs}"  # noqa: B023
                    ),
                )
            )
    _print_reproduced(done)
    if not all(reproduced.is_same for reproduced in done):
        raise SystemExit(FAILED)


def _print_reproduced(done: Sequence[Reproduced]) -> None:
    from rich.table import Table

    table = Table("trial", "key", "epochs", "numbers", "unlike", "furthest", "it is", box=None,
                  pad_edge=False)  # fmt: skip
    for reproduced in done:
        worst = reproduced.worst
        furthest = (
            f"{worst.metric}, epoch {worst.epoch}: {worst.recorded!r} recorded, {worst.here!r} here"
            if worst
            else ""
        )
        within = f"the same within {reproduced.tolerance:g}" if worst else "the same, bit for bit"
        table.add_row(
            reproduced.trial.label, reproduced.trial.key, str(reproduced.epochs),
            str(reproduced.compared), str(len(reproduced.unlike)), furthest,
            within if reproduced.is_same else "different",
        )  # fmt: skip
    out.print(table)
    for reproduced in done:
        label = reproduced.trial.label
        for problem in reproduced.problems:
            out.print(f"{label}: {problem}")
        if reproduced.unlike:
            first = reproduced.unlike[0]
            out.print(f"{label}: first unlike in epoch {first.epoch}: {first.metric}")
        for difference in reproduced.otherwise:
            out.print(f"{label}: {difference}")


COMMANDS = (paper, reproduce)
