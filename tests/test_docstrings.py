"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("snn_norm", "orchestration", "services")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    """All modules whose source has the prompt of an example."""
    root = Path(__file__).parents[1]
    files = [file for name in PACKAGES for file in sorted((root / name).rglob("*.py"))]
    return [
        ".".join(file.relative_to(root).with_suffix("").parts)
        for file in files
        if ">>> " in file.read_text(encoding="utf-8")
    ]


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [one for one in finder.find(module) if one.examples]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    found = examples_of(module)
    assert found, "the prompt stands in no docstring"
    for example in found:
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        said: list[str] = []
        runner.run(example, out=said.append)
        assert runner.failures == 0, "".join(said)


def test_the_examples_of_the_classes_that_one_starts_with_are_found() -> None:
    names = {"training.run", "training.models.saved_model", "training.own_run", "norms.static"}
    assert {f"snn_norm.{name}" for name in names} <= set(modules_with_examples())
