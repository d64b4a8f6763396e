"""The bundle of a sweep that is submitted to a cluster: the spec and the user's own modules.

A copy of the bundle is the current folder of the sweep's job. The job first saves another copy in
the checkpoint store, from which the sweep is restarted if its driver or the cluster's head dies.
That copy is deleted when the sweep has ended.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.store.base import Storage
from services.jobs import Job, JobServer
from snn_norm.imports import OUR_PACKAGES, reached_files

if TYPE_CHECKING:  # the supervisor need not load torch
    from orchestration.sweep.spec import SweepSpec

SPEC_FILE = "spec.json"
_LOGIN_FILE = "login.json"
_KEPT = "submission.zip"
_ENTRYPOINT = "exec python -m orchestration.job"


def send(server: JobServer, folder: Path) -> Job:
    """Submit a packed folder as the next attempt at its sweep.

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
    """A digest that identifies a spec, whatever the order of its keys."""
    text = json.dumps(json.loads(spec_json), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    """The sweep's name with only characters of an address; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def pack(
    spec: SweepSpec, folder: Path, modules: dict[str, Path], login: Sequence[tuple[str, str]] = ()
) -> None:
    """Write what a cluster needs to run the sweep into an empty folder.

    Args:
        login: the variables with which the user logs in to the tracking server. They are no
            environment of the job, because Ray's dashboard shows that.
    """
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")
    if login:
        (folder / _LOGIN_FILE).write_text(json.dumps(dict(login)), encoding="utf-8")
        (folder / _LOGIN_FILE).chmod(0o600)
    for path in modules.values():
        if path.is_dir():
            hidden = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(path, folder / path.name, ignore=hidden)
        else:
            shutil.copy(path, folder / path.name)


def user_modules(root: Path) -> dict[str, Path]:
    """The modules and packages in the folder ``root`` that a spec needs, by name.

    Creating the spec's trials has imported the modules that it names, with most of what they need.
    Modules that are imported later, inside a function, are found in the source. Installed packages
    (a virtual environment in the folder, this package itself) must be installed on the cluster.
    """
    modules = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name in OUR_PACKAGES:
            continue
        # A package without an __init__.py has folders but no file.
        file = getattr(module, "__file__", None)
        folders = {Path(folder) for folder in getattr(module, "__path__", ())}
        if file == str(root / f"{name}.py"):
            modules[name] = root / f"{name}.py"
        elif root / name in folders:
            modules[name] = root / name
    for path in list(modules.values()):
        for source in path.rglob("*.py") if path.is_dir() else [path]:
            dotted = ".".join(source.relative_to(root).with_suffix("").parts)
            reached = reached_files(source, dotted.removesuffix(".__init__")).values()
            for file in (file for file in reached if file.is_relative_to(root)):
                top = root / file.relative_to(root).parts[0]
                modules.setdefault(top.stem, top)
    return modules


def login_of(submitted: Path) -> dict[str, str]:
    """The variables with which a sweep's user logs in to the tracking server; empty if none."""
    file = submitted / _LOGIN_FILE
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def keep(submitted: Path, storage: Storage) -> None:
    """Save a copy of the bundle in the sweep's folder of the checkpoint store."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(submitted.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                archive.write(path, path.relative_to(submitted))
    storage.write(_KEPT, packed.getvalue())


@contextmanager
def unpacked(storage: Storage) -> Iterator[Path | None]:
    """The saved bundle of a sweep, in a folder for the context; None if the sweep has ended."""
    packed = storage.read(_KEPT)
    if packed is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as folder:
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        yield Path(folder)


def kept_size(storage: Storage) -> int:
    """The bytes of the saved bundle; 0 if there is none."""
    return len(storage.read(_KEPT) or b"")


def forget(storage: Storage) -> None:
    """Delete the saved bundle, so that the sweep is not restarted."""
    storage.delete(_KEPT)
