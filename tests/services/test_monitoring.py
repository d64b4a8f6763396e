"""The alerts fire when they should, and end: Prometheus' own tool plays the metrics to them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import wait_until

from orchestration.execution.driver_metrics import DriverMetrics
from orchestration.execution.stall_notice import StallNotice
from orchestration.model.metric import TEST_ACCURACY
from orchestration.page.prometheus import prometheus_text
from orchestration.reading.summaries import SweepSummary
from services import backup_series
from services.settings import Settings

FOLDER = Path(__file__).parents[2] / "services" / "monitoring"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here (Debian's package prometheus)"
)

RUNS = {"snn_sweep_running": "1x400"}
LONGEST = "snn_sweep_longest_epoch_seconds"
PROGRESS = "snn_sweep_progress_timestamp_seconds"
CASES: dict[str, list[tuple[dict[str, str], dict[int, bool]]]] = {
    # The series by the minute, and at which minutes the alert fires.
    "TrackingServerAway": [({"up": "1x9 0x9 1x20"}, {9: False, 16: True, 21: False})],
    "SweepAbandoned": [
        ({**RUNS, "snn_sweep_abandoned": "0x9 1x20 0x9"}, {15: False, 21: True, 31: False}),
    ],
    "SweepWithoutProgress": [
        (
            {**RUNS, "snn_sweep_training_seconds": "0+60x60 3600x200 4000+60x100"},
            {60: False, 170: False, 200: True, 275: False},
        ),
        # It has run for less than two hours; it has ended.
        ({**RUNS, "snn_sweep_training_seconds": "0x400"}, {100: False, 140: True}),
        (
            {"snn_sweep_running": "1x100 0x300", "snn_sweep_training_seconds": "0x400"},
            {140: False, 300: False},
        ),
    ],
    # A driver that is killed after nine minutes; the next one ends after another 20.
    "DriverSilent": [
        (
            {"snn_sweep_driver_timestamp_seconds": "0+60x9 540x10 1200+60x9 stale"},
            {9: False, 11: False, 12: True, 20: True, 22: False, 40: False},
        )
    ],
    "SweepStalled": [
        # Epochs of ten minutes, of which one does not end for an hour, and of a minute.
        ({LONGEST: "600x90", PROGRESS: "0x60 3660x30"}, {29: False, 31: True, 62: False}),
        ({LONGEST: "60x90", PROGRESS: "0x90"}, {14: False, 16: True}),
        ({LONGEST: "0x90", PROGRESS: "0x90"}, {90: False}),  # none has ended yet
    ],
    "RecordsOverdue": [
        ({"snn_sweep_oldest_overdue_seconds": "0x5 60+60x20 0x9"}, {15: False, 17: True, 27: False})
    ],
    "DiskAlmostFull": [
        (
            {
                "node_filesystem_avail_bytes": "20x9 9x20 50x9",
                "node_filesystem_size_bytes": "100x40",
            },
            {9: False, 12: False, 16: True, 32: False},
        )
    ],
    "TrialsFailed": [({'snn_sweep_trials{state="failed"}': "0x9 1x9 0x9"}, {5: False, 12: True})],
    # Of backups made at the start and 30 hours later.
    "BackupTooOld": [
        (
            {"snn_sweep_backup_timestamp_seconds": "0x1800 108000x1700"},
            {1500: False, 1600: True, 1810: False, 3400: True},
        )
    ],
    "BackupNotRestored": [({"snn_sweep_backup_restored": "1x9 0x9 1x9"}, {5: False, 12: True})],
}


def with_labels(series: str) -> str:
    name, _, labels = series.partition("{")
    if name.startswith("snn_sweep_backup"):
        return name
    first = 'job="snn-sweep"' if name == "up" else 'sweep="digits"'
    if name.startswith("node_"):
        first = 'instance="a",mountpoint="/srv",fstype="ext4"'
    return f"{name}{{{first}{',' + labels if labels else '}'}"


def rules(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def firing(alert: str) -> dict[str, Any]:
    (rule,) = (rule for rule in rules("alerts.yaml") if rule["alert"] == alert)
    shown = {"$labels.sweep": "digits", "$value": "1"}
    shown |= {"$labels.mountpoint": "/srv", "$labels.instance": "a"}
    texts = {
        name: re.sub(r"{{ (.*?) }}", lambda found: shown[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    labels = {
        "TrackingServerAway": {"job": "snn-sweep"},
        "TrialsFailed": {"sweep": "digits", "state": "failed"},
        "BackupTooOld": {},
        "BackupNotRestored": {},
        "DiskAlmostFull": {"instance": "a", "mountpoint": "/srv", "fstype": "ext4"},
    }
    return {"exp_labels": labels.get(alert, {"sweep": "digits"}), "exp_annotations": texts}


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_and_ends(alert: str, tmp_path: Path) -> None:
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": with_labels(name), "values": values} for name, values in series.items()
            ],
            "alert_rule_test": [
                {
                    "eval_time": f"{minute}m",
                    "alertname": alert,
                    "exp_alerts": [firing(alert)] if fires else [],
                }
                for minute, fires in fired.items()
            ],
        }
        for series, fired in CASES[alert]
    ]
    play(tmp_path, tests)


def test_what_dashboards_show_is_recorded(tmp_path: Path) -> None:
    series = {
        'snn_sweep_trials{state="completed"}': "7x60",
        'snn_sweep_trials{state="collapsed"}': "2x60",
        'snn_sweep_trials{state="failed"}': "1x60",
        "snn_sweep_expected_trials": "12x60",
        "snn_sweep_training_seconds": "0+120x60",  # two trials at once
        "snn_sweep_queue_wait_seconds_sum": "30x60",
        "snn_sweep_queue_wait_seconds_count": "6x60",
        "snn_sweep_checkpoint_seconds_sum": "0x60",
        "snn_sweep_checkpoint_seconds_count": "0x60",
    }
    expected = {
        "sweep:snn_sweep_finished_trials:sum": [9],
        "sweep:snn_sweep_finished_trials:ratio": [0.75],
        "sweep:snn_sweep_training_seconds:deriv1h": [2],
        "sweep:snn_sweep_queue_wait_seconds:mean": [5],
        "sweep:snn_sweep_checkpoint_seconds:mean": list[float](),  # no checkpoint yet
    }
    assert list(expected) == [rule["record"] for rule in rules("rules.yaml")]
    tests = {
        "interval": "1m",
        "input_series": [
            {"series": with_labels(name), "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": name,
                "eval_time": "60m",
                "exp_samples": [
                    {"labels": f'{name}{{sweep="digits"}}', "value": value} for value in values
                ],
            }
            for name, values in expected.items()
        ],
    }
    play(tmp_path, [tests])


def play(tmp_path: Path, tests: list[dict[str, Any]]) -> None:
    path = tmp_path / "tests.yaml"
    files = [str(FOLDER / name) for name in ("rules.yaml", "alerts.yaml")]
    path.write_text(
        yaml.safe_dump({"rule_files": files, "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    assert [rule["alert"] for rule in rules("alerts.yaml")] == list(CASES)


@pytest.mark.parametrize("file", ["prometheus.yaml", "composed.yaml"])
def test_prometheus_accepts_its_configuration(file: str) -> None:
    subprocess.run(["promtool", "check", "config", str(FOLDER / file)], check=True)


def test_the_composed_prometheus_can_reach_what_it_asks() -> None:
    services = yaml.safe_load((FOLDER.parents[1] / "docker-compose.yml").read_text())["services"]
    own = services["prometheus"]
    configuration = yaml.safe_load((FOLDER / "composed.yaml").read_text())
    jobs = configuration["scrape_configs"] + configuration["alerting"]["alertmanagers"]
    targets = [target for job in jobs for one in job["static_configs"] for target in one["targets"]]
    assert targets == ["mlflow:5000", "node-exporter:9100", "alertmanager:9093"]
    for target in targets:
        service = services[target.partition(":")[0]]
        assert set(service["networks"]) & set(own["networks"])
        if "ports" in service:
            assert service["ports"][0].endswith(target[-5:])
    (login,) = [job["basic_auth"] for job in jobs if "basic_auth" in job]
    assert login["username"] == services["ray-head"]["environment"]["MLFLOW_TRACKING_USERNAME"]
    assert Path(login["password_file"]).name in own["secrets"]
    # What the drivers and the backups write is where node_exporter looks.
    folders = dict(
        volume.rsplit(":", 1)[::-1]
        for name in ("ray-head", "nightly")
        for volume in services[name]["volumes"]
    )
    given = services["node-exporter"]["volumes"]
    assert f"{folders['/srv/home/metrics']}:/srv/metrics:ro" in given
    assert f"{folders['/srv/backups']}:/srv/backups:ro" in given
    for folder in ("/srv/metrics", "/srv/backups"):
        assert f"--collector.textfile.directory={folder}" in services["node-exporter"]["command"]


def test_every_metric_of_dashboard_rules_and_alerts_exists(tmp_path: Path) -> None:
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    stall = StallNotice("digits", settings, lambda _: None)
    with DriverMetrics("digits", tmp_path / "digits.prom", stall):
        wait_until((tmp_path / "digits.prom").exists, 20)
        drivers = (tmp_path / "digits.prom").read_text()
    now = datetime.now(UTC)
    summary = SweepSummary(
        *("digits", "digits", "running", now, {"failed": 1}, 0, 0, 1, 0.0, 0, False),
        *(TEST_ACCURACY, None, ""),
    )
    server = prometheus_text([summary], {}, 0.1, 1).decode()
    backups = Path(backup_series.__file__).read_text()  # a backup is made in its own tests
    given = set(re.findall(r"\bsnn_sweep_\w+", drivers + server + backups))
    recorded = [rule["record"] for rule in rules("rules.yaml")]
    board = json.loads((FOLDER / "dashboards" / "sweeps.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [variable["query"] for variable in board["templating"]["list"]]
    queries += [rule["expr"] for file in ("rules.yaml", "alerts.yaml") for rule in rules(file)]
    named = {name for query in queries for name in re.findall(r"(?:sweep:|\bsnn_)[\w:]+", query)}
    assert len(named) > 20
    assert named - given - set(recorded) == set()
