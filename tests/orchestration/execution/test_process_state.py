"""What one trial does to its process must not be there for the next."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import USERS_FOLDER, commands_in, finish, numbers
from torch import nn

from orchestration.execution.worker.process_state import ProcessState
from orchestration.record.client import connect


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Set back by hand what a broken ``restore`` would leave to the other tests."""
    folder, threads = Path.cwd(), torch.get_num_threads()
    yield
    os.chdir(folder)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device("cpu")
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.set_autocast_enabled("cpu", False)


@pytest.mark.usefixtures("as_it_was")
def test_every_switch_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_CODE_KEPT", "1")
    state = ProcessState()
    folder, path, threads, filters = (
        Path.cwd(),
        list(sys.path),
        torch.get_num_threads(),
        warnings.filters[:],
    )
    os.chdir(tmp_path)
    os.environ["OWN_CODE_NEW"] = "1"
    del os.environ["OWN_CODE_KEPT"]
    sys.path.insert(0, "elsewhere")
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(threads + 1)
    torch.set_grad_enabled(False)
    torch.set_anomaly_enabled(True)
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("medium")
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_enabled("cuda", True)
    cudnn = torch.backends.cudnn
    of_cudnn = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = (
        not value for value in of_cudnn
    )
    torch.backends.mkldnn.enabled = False

    state.restore()

    assert Path.cwd() == folder
    assert "OWN_CODE_NEW" not in os.environ
    assert os.environ["OWN_CODE_KEPT"] == "1"
    assert sys.path == path
    assert warnings.filters == filters
    assert np.geterr()["divide"] == "warn"
    assert nn.Linear(1, 1).weight.dtype == torch.float32
    assert nn.Linear(1, 1).weight.device.type == "cpu"
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert not torch.is_anomaly_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cuda")
    assert of_cudnn == (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    assert torch.backends.mkldnn.enabled


@pytest.mark.slow
@pytest.mark.release
def test_a_trial_ends_with_its_own_numbers_in_a_process_that_another_left_in_disorder(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    content = {
        "dataset": "own_code:blobs",
        "epochs": 2,
        "seeds": [1],
        "training": {"batch_size": 16},
        "resources": {"cpu": os.cpu_count()},  # one at a time, so in one process
    }
    entry = {"architecture": "ann", "width": 2}
    processes = tmp_path / "processes"
    with commands_in(tmp_path, tracking_uri, {"OWN_CODE_PROCESSES": str(processes)}) as commands:
        tidy = {**content, "grid": [{**entry, "norm": "own_code:TidyNorm"}]}
        _, path = commands.spec("tidy alone", tidy)
        commands.run("run", path)
        processes.unlink()
        both = {**content, "grid": [{**entry, "norm": ["own_code:WildNorm", "own_code:TidyNorm"]}]}
        _, path = commands.spec("tidy after wild", both)
        assert "ValueError: and fails" in finish(commands.start("run", path), 1)
    client = connect(tracking_uri)
    assert len(processes.read_text().splitlines()) > 1
    assert len(set(processes.read_text().splitlines())) == 1
    assert numbers(client, "tidy after wild") == numbers(client, "tidy alone")
