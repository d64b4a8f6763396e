"""The page that tells what came out has the numbers of the rounds that are kept beside it."""

from __future__ import annotations

import json
from pathlib import Path

from laboratory import Row, table

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_that_of_the_rounds() -> None:
    lines = (DOCS / "faults.jsonl").read_text().splitlines()
    rows = [Row(**json.loads(line)) for line in lines]
    page = (DOCS / "faults.md").read_text()
    assert table(rows) in page
    of_each = [sum(row.database == name for row in rows) for name in ("sqlite", "postgres")]
    assert f"{len(rows)} rounds, {of_each[0]} on SQLite and {of_each[1]} on Postgres" in page
