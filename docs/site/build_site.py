"""Builds the site of the documentation into build/docs/site: pages, reference and notebook.

    python docs/site/build_site.py

It ends with an error if a link leads nowhere, a public name has no docstring, or a block of Python
in a page does not compile.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from reference import REFERENCE, undocumented

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "docs"
PAGES = BUILD / "pages"
SITE = BUILD / "site"

SOURCES = {
    ROOT / "README.md": "index.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "benchmarks" / "README.md": "benchmarks.md",
    ROOT / "benchmarks" / "training-step.md": "benchmarks-training-step.md",
    ROOT / "benchmarks" / "sweeps.md": "benchmarks-sweeps.md",
    **{path: path.name for path in sorted((ROOT / "docs").glob("*.md"))},
}
"""The pages that people have written, and their names in the site."""

_CODE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s#]*)((?:#[^)\s]*)?\))")


def main() -> None:
    """Gather the pages, check them, and build the site."""
    shutil.rmtree(BUILD, ignore_errors=True)
    PAGES.mkdir(parents=True)
    problems = undocumented()
    for source, name in SOURCES.items():
        text = source.read_text(encoding="utf-8")
        problems += [f"{source.relative_to(ROOT)}: {problem}" for problem in not_python(text)]
        (PAGES / name).write_text(with_links(text, source), encoding="utf-8")
    for name, page in REFERENCE.items():
        (PAGES / name).write_text(page(), encoding="utf-8")
    write_notebook(ROOT / "docs" / "notebook.ipynb")
    shutil.copy(Path(__file__).with_name("zensical.toml"), BUILD)
    shutil.copy(Path(__file__).with_name("site.css"), PAGES)
    if problems:
        sys.exit("\n".join(problems))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    sys.exit(subprocess.run(command, cwd=BUILD, check=False).returncode)


def not_python(text: str) -> list[str]:
    """The blocks of Python in a page that do not compile."""
    problems = []
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start(1)) + 1
        try:
            compile(match[1], "page", "exec")
        except SyntaxError as error:
            problems.append(f"line {line + (error.lineno or 1) - 1}: {error.msg}")
    return problems


def with_links(text: str, source: Path) -> str:
    """A page whose links lead to the site's pages, or to copies of the repository's files."""

    def moved(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        if not link or "://" in link or link.startswith("mailto:"):
            return match[0]
        target = (source.parent / link).resolve()
        return f"{before}{_place(target)}{after}"

    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_LINK.sub(moved, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(moved, text[end:])])


def _place(target: Path) -> str:
    """A file's place in the site. One that does not exist stays, for the strict build to find."""
    if target in SOURCES:
        return SOURCES[target]
    if target.suffix == ".ipynb":
        return target.with_suffix(".md").name
    if not target.is_file():
        return target.name
    name = target.relative_to(ROOT)
    # A server shows the text of a .txt, and would run or download others.
    shown = (
        name
        if name.suffix in (".svg", ".png", ".jpg", ".pdf")
        else name.with_name(f"{name.name}.txt")
    )
    copy = PAGES / "files" / shown
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(target, copy)
    return f"files/{shown.as_posix()}"


def write_notebook(path: Path) -> None:
    """Write a notebook as a page, with the outputs that it has."""
    resources = {"output_files_dir": "notebook"}
    exporter = MarkdownExporter()
    text, resources = exporter.from_notebook_node(nbformat.read(path, as_version=4), resources)
    for name, content in resources["outputs"].items():
        file = PAGES / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    (PAGES / path.with_suffix(".md").name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
