"""Runs notebooks in a kernel of their own, as JupyterLab does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbformat import NotebookNode, v4

SECONDS = 900


def client_of(notebook: NotebookNode, folder: Path, **options: Any) -> NotebookClient:
    """What runs a notebook in this folder."""
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources=resources, **options
    )


def notebook_of(*sources: str) -> NotebookNode:
    """A notebook of these cells."""
    return v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])


def shown(cell: NotebookNode, kind: str) -> list[str]:
    """What a cell shows of a kind such as text/html or image/png."""
    data = [output.get("data", {}) for output in cell.outputs]
    return [one[kind] for one in data if kind in one]


def errors(notebook: NotebookNode) -> list[str]:
    """The errors of all cells."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [json.dumps(one) for one in outputs if one["output_type"] == "error"]
