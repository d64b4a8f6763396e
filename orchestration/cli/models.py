"""A sweep's trained models: the command ``models``, and the models of a plan."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out, size_in_words

if TYPE_CHECKING:
    import pandas as pd

    from orchestration.model.metric import Metric
    from orchestration.sweep.plan import Plan
    from orchestration.sweep.spec import SweepSpec


@click.command()
@arguments.name
@click.option(
    "--download",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Fetch the models, each into a folder of DIR. Existing folders are left as they are.",
)
@click.option(
    "--run",
    "run_ids",
    metavar="RUN",
    multiple=True,
    help="List or fetch the model of this run only; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the list, as JSON.")
def models(name: str, folder: Path | None, run_ids: tuple[str, ...], as_json: bool) -> None:
    """List the trained models of sweep NAME, and fetch them.

    NAME may also be a file that `snn-sweep export` wrote; such a file has no models to fetch.
    """
    from orchestration.results.frames import METRIC_OF
    from orchestration.results.models import chosen_run
    from orchestration.results.results import Results

    snapshot = Results(name).snapshot(METRIC_OF.values())
    table = snapshot.models()
    if run_ids:
        chosen = [chosen_run(table, run_id, {}) for run_id in run_ids]
        table = table[table["run_id"].isin(chosen)]
    paths = _fetch(table, folder) if folder is not None else {}
    if as_json:
        click.echo(json.dumps(_as_json(table, paths), indent=2))
    else:
        _print(table, paths, snapshot.metric)


def _fetch(table: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Fetch the models of these runs; returns the folder of each by the run's id."""
    from orchestration.results.models import ModelServer, folder_names

    kept = table[table["missing"].isna()]
    paths = {run_id: folder / name for run_id, name in folder_names(kept).items()}
    if all(path.exists() for path in paths.values()):
        return paths
    with ModelServer.at(None) as server:
        for number, (run_id, path) in enumerate(paths.items(), 1):
            with err.status(f"{number} of {len(paths)}: {path.name}"):
                if not path.exists():
                    server.fetch(run_id, path)
    return paths


def _as_json(table: pd.DataFrame, paths: dict[str, Path]) -> list[dict[str, Any]]:
    from orchestration.results.columns import plain

    rows = []
    for row in table.to_dict("records"):
        path = {"path": str(paths[row["run_id"]])} if row["run_id"] in paths else {}
        rows.append({**{str(key): plain(value) for key, value in row.items()}, **path})
    return rows


def _print(table: pd.DataFrame, paths: dict[str, Path], metric: Metric) -> None:
    from rich.table import Table

    from orchestration.model.metric import TEST_ACCURACY
    from orchestration.results.columns import plain

    keys = [str(key) for key in table.columns[: list(table).index("run_id")]]
    judged = "accuracy" if metric == TEST_ACCURACY else metric.name
    shown = Table(*keys, "run", "epoch", judged, "size", box=None, pad_edge=False)
    for row in table.to_dict("records"):
        cell = ["" if (value := plain(row[key])) is None else str(value) for key in keys]
        epoch, value, size = (plain(row[key]) for key in ("epoch", metric.name, "bytes"))
        if epoch is None:
            shown.add_row(*cell, row["run_id"], "none", "", "")
        else:
            text = "" if value is None or math.isnan(value) else metric.text(value)
            shown.add_row(*cell, row["run_id"], str(epoch), text, size_in_words(size))
    out.print(shown)
    for reason, rows in table.groupby("missing"):
        out.print(f"{len(rows)} without: {reason}")
    kept = table[table["missing"].isna()]
    where = f"in {next(iter(paths.values())).parent}" if paths else "fetch them: --download DIR"
    total = size_in_words(int(kept["bytes"].sum()))
    if len(kept):
        models = "1 model" if len(kept) == 1 else f"{len(kept)} models"
        out.print(f"{models}, {total}; {where}")


def bytes_to_keep(spec: SweepSpec, planned: Plan) -> int | None:
    """The bytes of the models of trials that will be trained; None if they are unknown."""
    from orchestration.sweep.model_size import estimate_bytes

    return 0 if spec.keep == "none" else estimate_bytes(planned.to_train)


def print_kept(spec: SweepSpec, planned: Plan) -> None:
    """Print which models a plan will keep, and how large they are."""
    if spec.keep == "none":
        out.print("no trained models are kept")
    elif trials := len(planned.to_train):
        size = bytes_to_keep(spec, planned)
        words = "their size is known once there is one"
        if size is not None:
            words = f"about {size_in_words(size // trials)} each, {size_in_words(size)} in all"
        out.print(f"the model of each trial's {spec.keep} epoch is kept: {words}")


COMMANDS = (models,)
