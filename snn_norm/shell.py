"""Options that the commands of this package share: the folder of data sets, and the device."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch


def add_own_code(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--own-code`` to a command that loads a model's file."""
    parser.add_argument(
        "--own-code",
        action="append",
        default=[],
        metavar="NAME",
        help="your own network, norm or data set that the file names, package.module:name, which "
        "is imported only if you name it here; may be repeated",
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--data`` and ``--device`` in their own group."""
    where = parser.add_argument_group("where")
    where.add_argument(
        "--data",
        type=Path,
        default=_data_folder(),
        metavar="FOLDER",
        help="folder of the data sets; default $SNN_SWEEP_DATA, "
        "or the folder data in $SNN_SWEEP_HOME or in ~/.snn-sweep",
    )
    where.add_argument(
        "--device", default="auto", help="cpu, cuda, …; default: cuda where there is one, else cpu"
    )


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        ValueError: it cannot be used on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        number = torch.zeros((), device=name)
        number.item()  # fails for the device "meta", which has no values
    except (RuntimeError, AssertionError, ImportError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device: {name!r} cannot be used here: {reason}") from error
    return number.device


def _data_folder() -> Path:
    home = Path(os.environ.get("SNN_SWEEP_HOME") or Path.home() / ".snn-sweep")
    return Path(os.environ.get("SNN_SWEEP_DATA") or home / "data")
