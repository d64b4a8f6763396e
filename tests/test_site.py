"""The site builds without a warning, and its search finds what people look for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "docs" / "site"

sys.path.append(str(ROOT / "docs" / "site"))


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built by the command of `make docs`."""
    command = [sys.executable, str(ROOT / "docs" / "site" / "build_site.py")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return SITE


def text_of(page: Path) -> str:
    """A page's text, without the tags."""
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        found = re.findall(
            r'<(?:script|img|iframe|source)[^>]*src="(https?:[^"]*)"'
            r'|<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="(https?:[^"]*)"',
            page.read_text(encoding="utf-8"),
        )
        assert found == [], page.name


@pytest.mark.parametrize("words", ["threshold", "resume", "Slurm", "no norm"])
def test_the_search_has_what_people_look_for(site: Path, words: str) -> None:
    index = json.loads((site / "search.json").read_text(encoding="utf-8"))
    assert [item for item in index["items"] if words.lower() in json.dumps(item).lower()]


def test_the_reference_has_every_name(site: Path) -> None:
    import orchestration
    import snn_norm
    from orchestration.cli.help_text import VARIABLES
    from orchestration.cli.main import cli
    from orchestration.sweep.spec import SweepSpec
    from orchestration.sweep.spec_keys import GRID_KEYS

    for page, names in {
        "python": (*snn_norm.__all__, *orchestration.__all__),
        "spec": (*SweepSpec.model_fields, *GRID_KEYS),
        "commands": cli.commands,
        "environment": VARIABLES,
        "mlflow": ("snn_sweep.role", "snn_sweep.outcome", "snn_sweep.trial_key"),
    }.items():
        text = text_of(site / f"{page}.html")
        assert [name for name in names if name not in text] == []
    assert "{norm: [bntt, homeostatic]}" in text_of(site / "spec.html")  # braces stay


def test_every_key_of_a_spec_is_described(site: Path) -> None:
    page = (site / "spec.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    assert [row[0] for row in cells if row and not row[3]] == []


def test_code_that_does_not_compile_is_found() -> None:
    from build_site import not_python

    assert not_python("a\n```python\nx = 1\ny = (\n```\n") == ["line 4: '(' was never closed"]
    assert not_python("```python\nx = 1\n```\n") == []


def test_links_lead_to_the_pages_of_the_site() -> None:
    from build_site import with_links

    page = ROOT / "docs" / "theory.md"
    assert with_links("[a](../README.md#b) [c](page.md) [d](https://e.org)", page) == (
        "[a](index.md#b) [c](page.md) [d](https://e.org)"
    )
    assert with_links("```\n[a](../README.md)\n```\n", page) == "```\n[a](../README.md)\n```\n"
