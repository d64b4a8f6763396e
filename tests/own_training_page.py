"""The programs and specs of docs/own-training.md, as its reader would save them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "own-training.md").read_text(encoding="utf-8")
EXAMPLES = DOCS / "examples"

DIFF: list[str] = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
(BASE_RUN,) = re.findall(r"```python\n(import torch.*?)```", PAGE, re.DOTALL)
SPECS: list[str] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def before_and_after() -> tuple[str, str]:
    """The script of the diff, and the module that it becomes."""
    return tuple(  # type: ignore[return-value]
        "\n".join(line[1:] for line in DIFF if line[:1] != other) + "\n" for other in "+-"
    )


def save_programs(folder: Path) -> None:
    """Save the program of the page, and the examples beside it."""
    (folder / "my_mlp.py").write_text(before_and_after()[1], encoding="utf-8")
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, folder)
