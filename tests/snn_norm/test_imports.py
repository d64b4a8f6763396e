from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snn_norm.imports import reached_files


def test_folders_in_folders_without_an_init_file_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if none of them is imported, as for an import inside a function."""
    monkeypatch.syspath_prepend(tmp_path)
    inner = tmp_path / "outer_of_imports" / "inner"
    inner.mkdir(parents=True)
    (inner / "helper.py").write_text("x = 1\n")
    source = tmp_path / "module_of_imports.py"
    source.write_text("def f():\n    from outer_of_imports.inner.helper import x\n    return x\n")
    found = reached_files(source, "module_of_imports")
    assert found == {"outer_of_imports.inner.helper": inner / "helper.py"}
    assert "outer_of_imports" not in sys.modules
