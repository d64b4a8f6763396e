"""The notebook of the documentation runs whole, and a sweep in a notebook can be stopped."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from notebooks import client_of, errors, notebook_of, shown

from orchestration import Results

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home."""
    for name in ("MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL", "SNN_SWEEP_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))


def kinds(cell: NotebookNode) -> list[str]:
    """What a cell shows, such as text/html and image/png."""
    return sorted(kind for output in cell.get("outputs", []) for kind in output.get("data", {}))


def test_the_notebook_shows_its_tables_and_figures(tmp_path: Path) -> None:
    notebook = nbformat.read(PAGE, as_version=4)
    kept = list(map(kinds, notebook.cells))
    client_of(notebook, tmp_path).execute()
    assert errors(notebook) == []
    live, headline, best, frame, *figures = [c for c in notebook.cells if c.cell_type == "code"]
    (table,) = shown(live, "text/html")  # one output, kept up to date
    assert "8 of 8 done" in table
    assert all(words in "".join(shown(headline, "text/html")) for words in ("spiking CNN", "BNTT"))
    assert "best" in "".join(shown(best, "text/html"))
    assert 'class="dataframe"' in "".join(shown(frame, "text/html"))
    assert [len(shown(cell, "image/png")) for cell in figures] == [1, 1, 1]
    assert kept == list(map(kinds, notebook.cells)), (
        "the outputs in the file are of an earlier notebook: save them anew"
    )


@pytest.mark.release
def test_the_stop_button_ends_a_sweep_in_order(tmp_path: Path) -> None:
    notebook = notebook_of(
        "from pathlib import Path\n"
        "from orchestration import SweepSpec, run_sweep\n"
        "from orchestration.progress.notebook import NotebookDisplay\n"
        "shown = NotebookDisplay.__call__\n"
        "def note(self, event):\n"
        "    Path('events').open('a').write(type(event).__name__ + ' ')\n"
        "    shown(self, event)\n"
        "NotebookDisplay.__call__ = note\n"
        "spec = SweepSpec.from_dict({'name': 'stopped', 'dataset': 'digits', 'epochs': 2000,\n"
        "    'seeds': [1], 'grid': [{'architecture': 'ann', 'norm': 'none', 'width': 2}]})\n"
        "outcome = run_sweep(spec)",
        "assert outcome.interrupted, outcome",
    )
    client = client_of(notebook, tmp_path)
    events = tmp_path / "events"

    async def stop() -> None:
        while not (events.exists() and "EpochDone" in events.read_text()):
            await asyncio.sleep(0.2)
        await client.km.interrupt_kernel()

    threading.Thread(target=asyncio.run, args=[stop()], daemon=True).start()
    client.execute()
    assert errors(notebook) == []
    run = Results("stopped").records
    assert run.runs.empty  # closed as interrupted, not as finished
