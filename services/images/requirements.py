"""Print the requirements of the package with an extra, one per line, for a layer of their own.

python requirements.py service >requirements.txt
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed(extra: str) -> list[str]:
    """The requirements of an extra, with those of the package's other extras that it names."""
    requirements = []
    for requirement in project["optional-dependencies"][extra]:
        if requirement.startswith(f"{project['name']}["):
            named = requirement.partition("[")[2].rstrip("]").split(",")
            requirements += [needs for other in named for needs in needed(other)]
        else:
            requirements.append(requirement)
    return requirements


sys.stdout.write("\n".join([*project["dependencies"], *needed(sys.argv[1])]) + "\n")
