"""Finds the user's own files that a module imports, from its source and without running it.

A file is the user's own if it is neither installed (in the standard library or ``site-packages``)
nor a part of this project; a package that is installed in editable mode is the user's own. All
import statements count, including relative ones, and those under a condition or in a function.
Computed names (``importlib.import_module(name)``), star imports of a package's submodules, and data
files are not found.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

OUR_PACKAGES = ("orchestration", "services", "snn_norm")


def reached_files(path: Path, module: str) -> dict[str, Path]:
    """The user's own files that a module imports, and those that they import, by module name.

    Args:
        path: the module's source file.
        module: the module's name, which relative imports are resolved against.
    """
    found: dict[str, Path] = {}
    to_read = [(path, module)]
    while to_read:
        path, module = to_read.pop()
        for name in _imported(path, module):
            spec = None if name in found else _find(name)
            if spec and spec.origin and spec.has_location and is_users_own(Path(spec.origin)):
                found[name] = Path(spec.origin)
                to_read.append((found[name], name))
    return found


def is_users_own(path: Path) -> bool:
    """Whether a file is neither installed nor a part of Python."""
    python = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not any(path.is_relative_to(folder) for folder in python)


def _imported(path: Path, module: str) -> Iterator[str]:
    """The names in a file's import statements that may be modules, and those of their packages."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # it is compiled, or cannot be imported
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            start = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(start, package)
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] not in OUR_PACKAGES:
                yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module; unlike importlib's function, this does not import its parent packages."""
    parent, _, _ = name.rpartition(".")
    folders = None
    if parent:
        package = _find(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        folders = list(package.submodule_search_locations)
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, folders)
        except KeyError:
            # importlib asks for the imported parent of a nested folder without an __init__.py.
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [
                str(Path(folder) / name.rpartition(".")[2]) for folder in folders or ()
            ]
        if spec is not None:
            return spec
    return None
