"""Every table is in the registry, and users can read of it."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from orchestration import tables
from orchestration.tables.registry import TABLES

REPORT_PAGE = Path(__file__).parents[3] / "docs" / "publishing.md"

OF_NO_SINGLE_SWEEP = {"comparison", "versions"}
AT_THE_PAGES_END = {"trials"}


def test_every_file_with_a_table_is_in_the_registry() -> None:
    modules = [module.name for module in pkgutil.iter_modules(tables.__path__)]
    defining = {
        name for name in modules if hasattr(import_module(f"{tables.__name__}.{name}"), "TABLE")
    }
    assert defining == {*TABLES, *OF_NO_SINGLE_SWEEP, *AT_THE_PAGES_END}


def test_the_docs_have_every_table_that_a_report_writes() -> None:
    page = REPORT_PAGE.read_text(encoding="utf-8")
    written = [name for name, table in TABLES.items() if table.files]
    assert [name for name in written if f"`{name}`" not in page] == []


def test_parts_of_sections_come_after_the_sections_that_they_are_in() -> None:
    names = list(TABLES)
    for name, table in TABLES.items():
        if table.section and table.section.under:
            assert names.index(table.section.under) < names.index(name)
