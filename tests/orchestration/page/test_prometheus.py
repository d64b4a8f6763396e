"""The metrics of sweeps, as the server gives them and as a real Prometheus reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from commands import free_port, wait_until
from mlflow import MlflowClient
from prometheus_client.parser import text_string_to_metric_families
from whole_sweep import record_digits

NAME = 'digits "for" Prometheus'
CONFIG = Path(__file__).parents[3] / "services" / "monitoring" / "prometheus.yaml"


@pytest.fixture(scope="module")
def recorded(tracking_uri: str) -> dict[str, int]:
    """The number of trials by state; the sweep runs, and who drives it is not known here."""
    _, parent = record_digits(tracking_uri, NAME, 17)
    MlflowClient(tracking_uri).set_tag(parent, "snn_sweep.status", "running")
    return {"completed": 14, "collapsed": 3}


def test_the_metrics_of_a_sweep(recorded: dict[str, int], tracking_uri: str) -> None:
    reply = requests.get(f"{tracking_uri}/sweeps?format=prometheus", timeout=60)
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(reply.text)
    samples = {
        (sample.name, sample.labels.get("state")): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("sweep", NAME) == NAME
    }
    assert 0 < samples.pop(("snn_sweep_answer_seconds", None)) < 60
    assert samples.pop(("snn_sweep_database_bytes", None)) > 100_000
    seconds = samples.pop(("snn_sweep_training_seconds", None))
    assert seconds > 0
    assert samples == {
        ("snn_sweep_running", None): 1,
        ("snn_sweep_abandoned", None): 0,
        ("snn_sweep_expected_trials", None): 18,
        **{("snn_sweep_trials", state): count for state, count in recorded.items()},
    }


@pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no Prometheus here (Debian's package prometheus)"
)
def test_prometheus_reads_them(recorded: dict[str, int], tracking_uri: str, tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    config["global"]["scrape_interval"] = "1s"
    del config["rule_files"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [urlsplit(tracking_uri).netloc]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}"]
    command += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def query(text: str) -> list[tuple[str, float]]:
        try:
            reply = requests.get(
                f"http://{address}/api/v1/query", params={"query": text}, timeout=5
            )
        except requests.ConnectionError:
            assert process.poll() is None, (tmp_path / "log").read_text()
            return []
        if not reply.ok:  # it is starting
            return []
        return [
            (series["metric"].get("state", ""), float(series["value"][1]))
            for series in reply.json()["data"]["result"]
        ]

    try:
        series = f"snn_sweep_trials{{sweep={NAME!r}}}"
        wait_until(lambda: query(series) != [], 60)
        assert dict(query(series)) == recorded
        assert query('up{job="snn-sweep"}') == [("", 1.0)]
    finally:
        process.terminate()
        process.wait(30)
