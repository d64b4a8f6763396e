"""An empty home, a spec in the current folder, and a recorded sweep of that spec."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec

SPEC = """\
name: small
dataset: digits
epochs: 2
seeds: [1, 2]
grid:
  - {architecture: ann, norm: [none, batchnorm], width: 2}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a current folder with a spec."""
    for name in ("MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL", "SNN_SWEEP_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "an empty home é"
    monkeypatch.setenv("SNN_SWEEP_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    return home


@pytest.fixture
def small(tracking_uri: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> SweepSpec:
    """A sweep on a real server, which the settings name: one of its four trials is missing."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    spec = SweepSpec.from_dict({**yaml.safe_load(SPEC), "name": f"small {home}".replace("/", "-")})
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    accuracies = [(0.5, 0.75), (0.5, 0.25), (0.875, 0.9375)]
    for trial, values in zip(spec.trials(), accuracies, strict=False):
        recorder.trial(experiment, parent, RecordedTrial(trial.config.given(), values))
    return spec
