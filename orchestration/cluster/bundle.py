"""What is sent to a cluster for a sweep, and where it is kept there until the sweep is over.

A folder with the spec and the user's own modules. A job's current folder is a copy of it; the
job's first act is to keep another beside the sweep's work in progress, from which the sweep is
taken up again should its driver or the cluster's head die. It goes when the sweep has ended.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.store.base import Storage
from services.jobs import Job, JobServer
from snn_norm.imports import OUR_PACKAGES, reached_files

if TYPE_CHECKING:  # the keeper need not load torch
    from orchestration.sweep.spec import SweepSpec

SPEC_FILE = "spec.json"
_KEPT = "submission.zip"
_ENTRYPOINT = "exec python -m orchestration.job"


def send(server: JobServer, folder: Path) -> Job:
    """Send a packed folder as its sweep's next attempt.

    Raises:
        JobExistsError: somebody else has just submitted this sweep.
        ServiceError: the job server cannot be reached.
    """
    name = sweep_of(folder)
    attempt = max((job.attempt for job in server.jobs(name)), default=0) + 1
    job = Job(
        id=f"sweep-{_slug(name)}-{attempt}",
        sweep=name,
        spec=digest((folder / SPEC_FILE).read_text(encoding="utf-8")),
        attempt=attempt,
        status="PENDING",
        started=None,
        ended=None,
        exit_code=None,
        message="",
    )
    server.start(job, _ENTRYPOINT, folder)
    return job


def sweep_of(folder: Path) -> str:
    """The name of the sweep that was packed into a folder."""
    return str(json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))["name"])


def digest(spec_json: str) -> str:
    """Tells a spec from any other; the order of keys does not count."""
    text = json.dumps(json.loads(spec_json), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    """The sweep's name with what an address may hold; another name never gives the same."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def pack(spec: SweepSpec, folder: Path, modules: dict[str, Path]) -> None:
    """Put into an empty folder what a cluster needs to run the sweep."""
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")
    for path in modules.values():
        if path.is_dir():
            hidden = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(path, folder / path.name, ignore=hidden)
        else:
            shutil.copy(path, folder / path.name)


def user_modules(root: Path) -> dict[str, Path]:
    """The modules and packages in the folder ``root`` that a spec needs, by name.

    Making its trials imports what it names, and with it most of what that needs; what is imported
    later, inside a function, is read from the source. What is installed (a virtual environment in
    the folder, this package itself) the cluster must have.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name in OUR_PACKAGES:
            continue
        # A package without an __init__.py has no file, but folders.
        file = getattr(module, "__file__", None)
        places = {Path(place) for place in getattr(module, "__path__", ())}
        if file == str(root / f"{name}.py"):
            found[name] = root / f"{name}.py"
        elif root / name in places:
            found[name] = root / name
    for path in list(found.values()):
        for source in path.rglob("*.py") if path.is_dir() else [path]:
            dotted = ".".join(source.relative_to(root).with_suffix("").parts)
            reached = reached_files(source, dotted.removesuffix(".__init__")).values()
            for file in (file for file in reached if file.is_relative_to(root)):
                place = root / file.relative_to(root).parts[0]
                found.setdefault(place.stem, place)
    return found


def keep(submitted: Path, storage: Storage) -> None:
    """Keep a copy of what was submitted beside the sweep's work in progress."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(submitted.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                archive.write(path, path.relative_to(submitted))
    storage.write(_KEPT, packed.getvalue())


@contextmanager
def unpacked(storage: Storage) -> Iterator[Path | None]:
    """What was submitted of a sweep that is not over, in a folder that goes with the context;
    None if there is nothing to take up.
    """
    packed = storage.read(_KEPT)
    if packed is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as folder:
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        yield Path(folder)


def forget(storage: Storage) -> None:
    """The sweep is over, or its user has stopped it: nobody is to take it up again."""
    storage.delete(_KEPT)
