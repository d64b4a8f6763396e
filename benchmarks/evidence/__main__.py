"""Writes docs/evidence.md, docs/evidence-norms.md, their figures and the README's part.

With --check it writes nothing, and ends with 1 if one of them would change.

python -m benchmarks.evidence [--check]
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from benchmarks.evidence.page import Page, render, with_part
from orchestration.errors import InputError

FOLDER = Path(__file__).parent
DOCS = FOLDER.parents[1] / "docs"
TEMPLATES = {
    DOCS / "evidence.md": "page.md.jinja",
    DOCS / "evidence-norms.md": "norms.md.jinja",
}
README = FOLDER.parents[1] / "README.md"


def made() -> dict[Path, Page]:
    """The pages as the records have them.

    Raises:
        InputError: a template asks for what is not there.
    """
    pages = {}
    archives = list(FOLDER.glob("*.jsonl.gz"))
    for path, template in {**TEMPLATES, README: "readme.md.jinja"}.items():
        text = (FOLDER / template).read_text(encoding="utf-8")
        try:
            pages[path] = render(text, archives, folder=path.stem)
        except InputError as error:
            raise InputError(f"{FOLDER / template}: {error}") from None
    part = pages[README]
    pages[README] = Page(with_part(README.read_text(encoding="utf-8"), part.text), part.pictures)
    return pages


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Make the pages of evidence from exported sweeps.")
    parser.add_argument("--check", action="store_true", help="compare it instead")
    check = parser.parse_args().check
    try:
        pages = made()
    except InputError as error:
        sys.exit(str(error))
    differences: list[str] = []
    for path, page in pages.items():
        if not check:
            page.write(path)
            continue
        present = path.read_text(encoding="utf-8").splitlines()
        differences += difflib.unified_diff(present, page.text.splitlines(), str(path), "record")
    if differences:
        print("\n".join(differences))
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
