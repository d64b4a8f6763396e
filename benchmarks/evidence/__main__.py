"""Writes docs/evidence.md and its figures; with --check, ends with 1 where the page is another.

python -m benchmarks.evidence [--check]
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from benchmarks.evidence.page import render
from orchestration.errors import InputError

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "evidence.md"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make docs/evidence.md from exported sweeps.")
    parser.add_argument("--check", action="store_true", help="compare it instead")
    check = parser.parse_args().check
    template = (FOLDER / "page.md.jinja").read_text(encoding="utf-8")
    try:
        page = render(template, list(FOLDER.glob("*.jsonl.gz")))
    except InputError as error:
        sys.exit(f"{FOLDER / 'page.md.jinja'}: {error}")
    if not check:
        page.write(PAGE)
        return
    present = PAGE.read_text(encoding="utf-8").splitlines()
    difference = list(difflib.unified_diff(present, page.text.splitlines(), "written", "record"))
    print("\n".join(difference))
    sys.exit(bool(difference))


if __name__ == "__main__":
    main()
