"""The batch script on a real Slurm: a controller and two nodes, all on this machine."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import SLOW, USERS_FOLDER, commands_in, epochs_of, free_port, wait_until
from ledger import Ledger, audit
from specs import SLOW_SPEC

from orchestration.record.client import connect

SCRIPT = Path(__file__).parents[3] / "services" / "slurm" / "sweep.sbatch"
PROGRAMS = ("munged", "sbatch", "slurmctld", "slurmd")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.release,
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)),
        reason="Slurm is not installed: its packages are slurmctld, slurmd, slurm-client and munge",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="Slurm's daemons are started by root alone"),
]


class Slurm:
    """Daemons with a configuration of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them, and wait until both nodes are idle."""
        key, munge, host = (
            self.folder / "munge.key",
            self.folder / "munge.socket",
            socket.gethostname(),
        )
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=1"
            for name in ("one", "two")
        )
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        (self.folder / "slurm.conf").write_text(
            f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool-%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
"""
        )
        files = [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
        # --force: the folder is its owner's alone, which munged takes for a mistake.
        self._run(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}", *files
        )
        wait_until(munge.exists)
        self._run("slurmctld", "-D")
        for name in ("one", "two"):
            self._run("slurmd", "-D", "-N", name)
        wait_until(lambda: self.ask("sinfo", "--noheader", "--format=%T %D") == "idle 2")

    def stop(self) -> None:
        """End every job, then the daemons."""
        self.ask("scancel", "--user=root")
        wait_until(lambda: self.ask("squeue", "--noheader") == "")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(timeout=30)

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """A job's, such as PENDING or RUNNING."""
        shown = self.ask("scontrol", "show", "job", job)
        return next(part[9:] for part in shown.split() if part.startswith("JobState="))

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}-{len(self._daemons)}.log").open("wb") as log:
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


OWN_SPEC: dict[str, Any] = {
    "train": "own_runs:Fit",
    "epochs": 40,
    "seeds": [1, 2],
    "grid": [{"rate": [0.05, 0.2], "hidden": [[8, 8]]}],
    "metric": {"name": "val_error", "goal": "minimize"},
}
"""Of training code of the user's own, slowed down by ``OWN_CODE_COUNT``."""


@pytest.mark.parametrize(
    ("key", "content"), [("norm", {**SLOW_SPEC, "epochs": 8}), ("train", OWN_SPEC)]
)
def test_an_allocation_that_ends_is_followed_by_the_next(
    key: str,
    content: dict[str, Any],
    slurm: Slurm,
    tracking_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    client, slow = connect(tracking_uri), {"norm": SLOW, "train": OWN_SPEC["train"]}
    with commands_in(tmp_path, tracking_uri) as commands:
        spec, path = commands.spec(f"allocated-{key}", content)
    slurm.environment |= commands.environment | {
        "OWN_CODE_COUNT": str(tmp_path / "steps"),
        "SNN_SWEEP_STORAGE": str(tmp_path / "storage"),
        "RAY_PORT": str(free_port()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    submit = ("sbatch", "--parsable", f"--chdir={USERS_FOLDER}", f"--output={tmp_path}/%j.log")
    first, second = (slurm.ask(*submit, str(SCRIPT), path) for _ in range(2))
    wait_until(lambda: epochs_of(client, spec.name, slow[key], key) > 2)
    assert slurm.state(second) == "PENDING"
    # As Slurm does some time before the allocation ends.
    slurm.ask("scancel", "--batch", "--signal=TERM", first)
    wait_until(lambda: slurm.state(first) in ("FAILED", "CANCELLED", "COMPLETED"))
    told = (tmp_path / f"{first}.log").read_text()
    assert "stopped; continue with: snn-sweep run" in told
    assert audit(client, spec).running == []
    wait_until(lambda: slurm.state(second) == "COMPLETED")
    told = (tmp_path / f"{second}.log").read_text()
    assert "4 of 4 done" in told
    assert audit(client, spec) == Ledger()
