"""Creates the secrets of the composed cluster, each in a file, without printing them.

    python3 services/make_secrets.py [FOLDER]     # default: secrets, beside docker-compose.yml

It needs only Python. Existing secrets are kept: to replace one, delete its file first.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

NAMES = (
    "mlflow_admin",
    "mlflow_database",
    "mlflow_session_key",
    "mlflow_sweeps",
    "postgres",
    "ray_token",
    "reader_database",
    "s3_access_key",
    "s3_secret_key",
)


def make_secrets(folder: Path) -> list[str]:
    """Create the missing secrets; returns their names.

    Only its owner can enter the folder. All users can read the files in it, since containers read
    them as another user.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name in NAMES:
        path = folder / name
        if not path.exists():
            partial = folder / f".{name}.partial"
            partial.write_text(secrets.token_hex(32), encoding="ascii")
            partial.chmod(0o444)
            partial.replace(path)
            made.append(name)
    return made


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "secrets"
    new = make_secrets(where)
    sys.stdout.write(f"{len(new)} secrets made in {where}, {len(NAMES) - len(new)} kept\n")
