"""Print what the package needs with an extra, a line each: a layer that our own code leaves as is.

python requirements.py service >requirements.txt
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed(extra: str) -> list[str]:
    """The requirements of an extra, with those of our other extras that it names."""
    found = []
    for requirement in project["optional-dependencies"][extra]:
        if requirement.startswith(f"{project['name']}["):
            named = requirement.partition("[")[2].rstrip("]").split(",")
            found += [needs for other in named for needs in needed(other)]
        else:
            found.append(requirement)
    return found


sys.stdout.write("\n".join([*project["dependencies"], *needed(sys.argv[1])]) + "\n")
