"""The alerts fire when they should, and end: Prometheus' own tool plays the metrics to them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "services" / "monitoring"

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here (Debian's package prometheus)"
)

RUNS = {"snn_sweep_running": "1x400"}
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
    return f"{name}{{{first}{',' + labels if labels else '}'}"


def firing(alert: str) -> dict[str, Any]:
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    (rule,) = (rule for rule in rules if rule["alert"] == alert)
    texts = {
        name: text.replace("{{ $labels.sweep }}", "digits").replace("{{ $value }}", "1")
        for name, text in rule["annotations"].items()
    }
    labels = {
        "TrackingServerAway": {"job": "snn-sweep"},
        "TrialsFailed": {"sweep": "digits", "state": "failed"},
        "BackupTooOld": {},
        "BackupNotRestored": {},
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
    path = tmp_path / "tests.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(FOLDER / "alerts.yaml")],
                "evaluation_interval": "1m",
                "tests": tests,
            }
        )
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == list(CASES)


def test_prometheus_accepts_its_configuration() -> None:
    subprocess.run(["promtool", "check", "config", str(FOLDER / "prometheus.yaml")], check=True)
