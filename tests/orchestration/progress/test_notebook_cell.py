"""The table in a notebook's cell: one output, which every event brings up to date."""

from __future__ import annotations

from pathlib import Path

from notebooks import client_of, errors, notebook_of, shown

from orchestration.progress.notebook import is_notebook

PROGRAM = """\
from orchestration import SweepSpec
from orchestration.progress.events import EpochDone, Note, Planned, Started
from orchestration.progress.notebook import NotebookDisplay, is_notebook
from orchestration.sweep.plan import make_plan
assert is_notebook()
spec = SweepSpec.from_dict({"name": "small", "dataset": "digits", "epochs": 1, "seeds": [1],
                            "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"]}]})
trials = spec.trials()
done = {"epoch": 1, "epoch_seconds": 2.0, "value": 0.75, "best": 0.75, "outcome": "completed"}
with NotebookDisplay() as watch:
    watch(Planned(make_plan(trials, [], version="1")))
    watch(Started(trials[0].label))
    watch(EpochDone(trials[0].label, done))
    watch(Note("<b> the report"))
"""


def test_a_cell_has_one_table(tmp_path: Path) -> None:
    notebook = notebook_of(PROGRAM)
    client_of(notebook, tmp_path).execute()
    assert errors(notebook) == []
    (cell,) = notebook.cells
    assert len(cell.outputs) == 1
    (page,) = shown(cell, "text/html")
    assert "1: completed 75.00%" in page
    assert "1: waiting" in page
    assert "&lt;b&gt; the report" in page
    assert "1 of 2 done" in page


def test_a_plain_python_is_no_notebook() -> None:
    assert not is_notebook()
