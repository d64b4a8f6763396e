"""Writes a sweep's report: tables, figures and one page. The same runs give the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from orchestration.errors import InputError
from orchestration.reading.provenance import read_provenance
from orchestration.record.client import connect
from orchestration.report.data import Answers, read_answers
from orchestration.report.figure_style import Picture, save, style
from orchestration.report.figures import draw
from orchestration.report.formats import html, latex, markdown, render
from orchestration.report.headline import headline, headline_cells
from orchestration.report.page import page
from orchestration.report.table import Table, table_of
from orchestration.results.results import Results
from services.settings import Settings
from services.tracking import reading_uri

__all__ = ["log_report", "write_report"]

_ARTIFACTS = "report"


def write_report(
    name: str,
    folder: Path,
    *,
    tracking_uri: str | None = None,
    database_url: str | None = None,
) -> Path:
    """Write the report of a sweep into a folder, over what an earlier one left there.

    ``report.html`` is the whole of it; beside it are the tables (``headline``, ``best_of_seeds``,
    ``dependency_gap``, ``norm_differences`` as .tex, .md, .html and .csv; ``last_epoch``,
    ``expected_best``, ``trials``, ``curves`` as .csv) and the figures (``figures/*.pdf``, .svg,
    .png), those for which there are numbers.

    Args:
        name: the sweep's.
        folder: made if it is not there.
        tracking_uri: as of ``Results``.
        database_url: as of ``Results``.

    Returns:
        The page.

    Raises:
        InputError: there is no such sweep, or the folder cannot be written.
        ServiceError: the server or the database cannot be reached.
    """
    answers = read_answers(Results(name, tracking_uri=tracking_uri, database_url=database_url))
    uri = tracking_uri or reading_uri(Settings.from_environment())
    provenance = read_provenance(connect(uri), name, answers.trials["run_id"]) if uri else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_tables(answers, folder)
        pictures = _write_figures(answers, folder / "figures")
        path = folder / "report.html"
        _write(path, page(answers, provenance, pictures))
    except OSError as error:
        raise InputError(
            f"the report cannot be written to {str(folder)!r}: {error.strerror}; "
            "name another folder"
        ) from error
    return path


def log_report(client: MlflowClient, name: str, parent_run_id: str) -> None:
    """Write a sweep's report into the artifacts of its own run, where MLflow's pages show it.

    Args:
        client: of the tracking server that has the sweep.
        name: the sweep's.
        parent_run_id: the sweep's own run.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_report(name, Path(folder), tracking_uri=client.tracking_uri)
        client.log_artifacts(parent_run_id, folder, _ARTIFACTS)


def _write_tables(answers: Answers, folder: Path) -> None:
    tables = {
        "headline": headline(answers.best, answers.gap),
        "best_of_seeds": table_of(answers.best),
        "dependency_gap": table_of(answers.gap),
        "norm_differences": table_of(answers.differences),
    }
    for name, table in tables.items():
        _write_for_people(table, folder / name)
    frames = {
        "headline": _with_standard_norm(answers),
        "best_of_seeds": answers.best,
        "dependency_gap": answers.gap,
        "norm_differences": answers.differences,
        "last_epoch": answers.last,
        "expected_best": answers.expected,
        "trials": answers.trials,
        "curves": answers.curves,
    }
    for name, frame in frames.items():
        _write(folder / f"{name}.csv", render(frame.drop(columns="cell", errors="ignore"), "csv"))


def _with_standard_norm(answers: Answers) -> pd.DataFrame:
    cells = [row["standard"] for row in headline_cells(answers.best, answers.gap)]
    norms = [None if cell is None else answers.norm(cell) for cell in cells]
    frame = answers.gap.copy()
    frame.insert(list(frame).index("standard") + 1, "standard_norm", norms)
    return frame


def _write_for_people(table: Table, path: Path) -> None:
    _write(path.with_suffix(".tex"), latex(table))
    _write(path.with_suffix(".md"), markdown(table))
    _write(path.with_suffix(".html"), html(table))


def _write_figures(answers: Answers, folder: Path) -> list[tuple[Picture, str]]:
    """Write each figure in three formats; give it with its SVG."""
    folder.mkdir(exist_ok=True)
    pictures = []
    with style():
        for picture in draw(answers):
            save(picture, folder)
            svg = (folder / f"{picture.name}.svg").read_text(encoding="utf-8")
            pictures.append((picture, svg))
    return pictures


def _write(path: Path, text: str) -> None:
    path.write_text(text.removesuffix("\n") + "\n", encoding="utf-8", newline="\n")
