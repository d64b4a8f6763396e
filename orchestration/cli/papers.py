"""The commands that hold a text to its record: paper, reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestration.cli.console import err, out
from orchestration.errors import FAILED, InputError

if TYPE_CHECKING:
    from orchestration.execution.reproduce import Reproduced

_folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("names", metavar="[NAME]…", nargs=-1)
@click.option("--output", metavar="DIR", type=_folder, help="Folder to write to.")
@click.option("--check", metavar="DIR", type=_folder, help="Compare such a folder instead.")
def paper(names: tuple[str, ...], output: Path | None, check: Path | None) -> None:
    """Write the tables of sweeps NAME… and a macro for each of their numbers, in LaTeX.

    NAME may be a file that export wrote, such as digits.jsonl.gz. With --check it names those that
    are read from files; the others are read from the tracking server, and the command ends with 1
    if anything differs from the record.
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
@click.argument("name", metavar="NAME")
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
    help="Decides which: those whose SHA-256 of 'SEED KEY' are the smallest.",
)
@click.option(
    "--trial",
    "keys",
    metavar="KEY",
    multiple=True,
    help="The key of a trial to take instead; may be repeated.",
)
@click.option(
    "--device",
    metavar="DEVICE",
    help="Where to train, such as cpu; default: where it was recorded, if that is here.",
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
    help="Your own network, norm or data set that the trials name, package.module:name, which is "
    "imported only if you name it here; may be repeated.",
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
    from orchestration.results.recorded_trials import choose
    from orchestration.results.results import Results

    trials = choose(Results(name), sample=sample, seed=seed, keys=keys, own_code=own_code)
    from orchestration.execution.reproduce import TOLERANCE
    from orchestration.execution.reproduce import reproduce as train_again
    from services.settings import Settings

    data = Settings.from_environment().data
    done: list[Reproduced] = []
    for number, trial in enumerate(trials, 1):
        place = f"{number} of {len(trials)}: {trial.label}"
        with err.status(place) as status:
            done.append(
                train_again(
                    trial,
                    data,
                    device=device,
                    tolerance=TOLERANCE if tolerance is None else tolerance,
                    on_epoch=lambda epoch: status.update(
                        f"{place}, epoch {epoch} of {trial.config.epochs}"  # noqa: B023
                    ),
                )
            )
    _print_reproduced(done)
    if not all(one.is_same for one in done):
        raise SystemExit(FAILED)


def _print_reproduced(done: Sequence[Reproduced]) -> None:
    from rich.table import Table

    table = Table("trial", "key", "epochs", "numbers", "unlike", "furthest", "it is", box=None,
                  pad_edge=False)  # fmt: skip
    for one in done:
        worst = one.worst
        furthest = (
            f"{worst.metric}, epoch {worst.epoch}: {worst.recorded!r} recorded, {worst.here!r} here"
            if worst
            else ""
        )
        within = f"the same within {one.tolerance:g}" if worst else "the same, bit for bit"
        table.add_row(
            one.trial.label, one.trial.key, str(one.epochs), str(one.compared),
            str(len(one.unlike)), furthest, within if one.is_same else "different",
        )  # fmt: skip
    out.print(table)
    for one in done:
        for problem in one.problems:
            out.print(f"{one.trial.label}: {problem}")
        if one.unlike:
            first = one.unlike[0]
            words = f"first unlike in epoch {first.epoch}: {first.metric}"
            out.print(f"{one.trial.label}: {words}")
        for difference in one.otherwise:
            out.print(f"{one.trial.label}: {difference}")


COMMANDS = (paper, reproduce)
"""For ``snn-sweep``."""
