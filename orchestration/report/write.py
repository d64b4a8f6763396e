"""Writes a sweep's report: tables, figures and one page. The same runs give the same bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from orchestration.errors import InputError
from orchestration.render.figures import FORMATS, Picture, save, style
from orchestration.render.html import html
from orchestration.render.latex import latex
from orchestration.render.markdown import markdown
from orchestration.render.records import to_csv
from orchestration.report.figures.draw import FIGURES, draw
from orchestration.report.page import page
from orchestration.results.results import Results
from orchestration.tables.registry import TABLES, tables_of
from orchestration.tables.report_data import ReportData, read_report_data
from services.settings import Settings
from services.tracking import reading_uri

_ARTIFACTS = "report"


def write_report(
    name: str,
    folder: Path,
    *,
    tracking_uri: str | None = None,
    database_url: str | None = None,
) -> Path:
    """Write the report of a sweep into a folder, in place of what an earlier one left there.

    ``report.html`` is the whole report. Beside it are the tables and figures for which there are
    numbers: those of ``orchestration.tables.registry`` as .tex, .md, .html and .csv;
    ``last_epoch``, ``expected_best``, ``evidence``, ``trials`` and ``curves`` as .csv; and
    ``figures/*.pdf``, .svg and .png.

    Args:
        folder: the folder of the report, which is made if it does not exist.
        tracking_uri, database_url: see ``Results``.

    Returns:
        The path of ``report.html``.

    Raises:
        InputError: there is no such sweep, or the folder cannot be written.
        ServiceError: the server or the database cannot be reached.
    """
    uri = tracking_uri or reading_uri(Settings.from_environment())
    results = Results(name, tracking_uri=tracking_uri, database_url=database_url)
    data = read_report_data(results, uri)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder)
        _write_tables(data, folder)
        path = folder / "report.html"
        _write(path, page(data, _write_figures(data, folder / "figures")))
    except OSError as error:
        raise InputError(
            f"the report cannot be written to {str(folder)!r}: {error.strerror}; "
            "name another folder"
        ) from error
    return path


def log_report(
    client: MlflowClient, name: str, parent_run_id: str, database_url: str | None = None
) -> None:
    """Write a sweep's report into the artifacts of its own run, where MLflow's pages show it.

    Args:
        parent_run_id: the id of the sweep's own run.
        database_url: the server's database, from which records are read faster.
    """
    with tempfile.TemporaryDirectory() as folder:
        uri = client.tracking_uri
        write_report(name, Path(folder), tracking_uri=uri, database_url=database_url)
        client.log_artifacts(parent_run_id, folder, _ARTIFACTS)


_WRITERS = {"tex": latex, "md": markdown, "html": html}

_FRAMES: dict[str, Callable[[ReportData], pd.DataFrame | None]] = {
    "last_epoch": lambda data: data.last,
    "expected_best": lambda data: data.expected,
    "evidence": lambda data: data.evidence,
    "trials": lambda data: data.trials,
    "curves": lambda data: data.curves,
}
"""The frames that are written only as CSV."""


def _remove_earlier(folder: Path) -> None:
    names = [f"{name}.{form}" for name, table in TABLES.items() for form in table.files]
    names += [f"{name}.csv" for name in _FRAMES]
    names += [f"figures/{name}.{form}" for name in FIGURES for form in FORMATS]
    for name in ("report.html", *names):
        (folder / name).unlink(missing_ok=True)


def _write_tables(data: ReportData, folder: Path) -> None:
    frames = {name: frame(data) for name, frame in _FRAMES.items()}
    for name, table, frame in tables_of(data):
        for form in table.files:
            if form in _WRITERS:
                _write(folder / f"{name}.{form}", _WRITERS[form](table.table(frame, data.metric)))
            else:
                frames[name] = table.exported(data) if table.exported else frame
    for name, exported in frames.items():
        if exported is not None:
            shown = exported.drop(columns="cell", errors="ignore")
            _write(folder / f"{name}.csv", to_csv(shown))


def _write_figures(data: ReportData, folder: Path) -> list[tuple[Picture, str]]:
    """Write each figure in three formats, and return it with its SVG."""
    pictures = []
    with style():
        for picture in draw(data):
            save(picture, folder)
            svg = (folder / f"{picture.name}.svg").read_text(encoding="utf-8")
            pictures.append((picture, svg))
    return pictures


def _write(path: Path, text: str) -> None:
    path.write_text(text.removesuffix("\n") + "\n", encoding="utf-8", newline="\n")
