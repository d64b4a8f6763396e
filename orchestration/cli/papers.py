"""The commands that hold a text to its record: paper, reproduce."""

from __future__ import annotations

from pathlib import Path

import click

from orchestration.cli.console import out
from orchestration.errors import FAILED, InputError

__all__ = ["COMMANDS"]

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
    from orchestration.report.paper import MACROS, compose, read_sweeps, write_paper

    assert output is not None
    written = compose(read_sweeps(names))
    write_paper(written, output)
    count = len(written.manifest["numbers"])
    out.print(
        f"{len(written.files) - 1} tables in {output}; {count} numbers in {output / MACROS}",
        highlight=False, markup=False,
    )  # fmt: skip


def _check(folder: Path, names: tuple[str, ...]) -> None:
    from orchestration.report.paper_check import check_paper

    differences = check_paper(folder, names)
    for difference in differences:
        out.print(str(difference), highlight=False, markup=False)
    if differences:
        raise SystemExit(FAILED)
    out.print(f"{folder}: every number is the record's", highlight=False, markup=False)


COMMANDS = (paper,)
"""For ``snn-sweep``."""
