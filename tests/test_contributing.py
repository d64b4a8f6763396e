"""The page for contributors names every test that `make test` leaves out."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "contributing.md"


def is_slow(node: ast.AST) -> bool:
    return ast.unparse(node) == "pytest.mark.slow"


def slow_tests(path: Path) -> set[str]:
    """As the page names them: a whole file, or one of its tests."""
    name, found = str(path.relative_to(TESTS.parent)), set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name("pytestmark")], value=marks):
                found |= {name for part in ast.walk(marks) if is_slow(part)}
            case ast.FunctionDef(decorator_list=marks) | ast.ClassDef(decorator_list=marks):
                parts = [part for mark in marks for part in ast.walk(mark)]  # of a case, too
                found |= {f"{name}::{node.name}" for part in parts if is_slow(part)}
    return found


def test_every_slow_test_is_listed_with_its_reason() -> None:
    marked = set().union(*map(slow_tests, TESTS.rglob("test_*.py")))
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if "| `" in line]
    listed = {row[1].strip(" `"): row[2].strip() for row in rows if ".py" in row[1]}
    assert listed.keys() == marked
    assert all(listed.values())


def test_no_two_test_files_have_one_name() -> None:
    """The folders of tests are no packages, so Python would take two such files for one module."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
