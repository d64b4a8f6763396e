"""The stripes of small_runs, loaded once a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_norm.data.dataset import Dataset, load_dataset


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("small_runs:stripes", Path())
