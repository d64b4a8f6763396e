"""A trial that ends the nodes it runs on, beside one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Commands, trials_of
from mlflow import MlflowClient
from node_cluster import cluster_of_a_head

SPEC: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 1,
    "seeds": [1],
    "training": {"batch_size": 16},
    "grid": [{"architecture": "ann", "norm": ["own_code:DeadlyNorm", "batchnorm"], "width": 2}],
    "retries": 0,
}


@pytest.mark.slow
@pytest.mark.release
def test_a_trial_that_ends_its_node_three_times_in_a_row_fails_and_says_so(
    commands: Commands, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "nodes"
    monkeypatch.setenv("OWN_CODE_NODES", str(count))  # workers have their node's environment
    _, path = commands.spec("deadly", SPEC)
    with cluster_of_a_head() as cluster:
        for _ in range(4):
            cluster.add_node(num_cpus=1)
        commands.environment["RAY_ADDRESS"] = cluster.address
        told = commands.run("run", path, code=1)
    assert count.stat().st_size == 3
    words = "the node of this trial has died 3 times in a row"
    assert words in told
    (failed,) = trials_of(client, "deadly", "own_code:DeadlyNorm")
    run = client.get_run(failed)
    assert run.info.status == "FAILED"
    assert words in run.data.tags["snn_sweep.reason"]
    (other,) = trials_of(client, "deadly", "batchnorm")
    assert client.get_run(other).info.status == "FINISHED"
