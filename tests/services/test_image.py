"""What the image is built from; that it builds and runs is for tests/cluster, where Docker is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_gets_the_packages_of_every_part() -> None:
    printed = subprocess.run(
        [sys.executable, "services/images/requirements.py", "service"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = [re.split(r"[^A-Za-z0-9_-]", line)[0] for line in printed.splitlines()]
    assert {"torch", "ray", "mlflow", "boto3", "psycopg"} <= set(names)
    assert "snn-norm" not in names
