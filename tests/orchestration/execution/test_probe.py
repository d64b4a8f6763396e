"""``plan --probe``, on real networks and images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import USERS_FOLDER

from orchestration import SweepSpec
from orchestration.cli.main import cli
from orchestration.execution.probe import to_probe
from orchestration.model.run import TrialRun
from orchestration.sweep.plan import make_plan


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home and current folder, and the user's modules at hand."""
    for name in ("MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL", "SNN_SWEEP_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(USERS_FOLDER)


def probed(*lines: str, options: tuple[str, ...] = ()) -> Result:
    """The plan of a sweep with these entries of a grid."""
    head = "name: probed\ndataset: digits\nepochs: 1\nseeds: [42, 43]\ngrid:\n"
    Path("probed.yaml").write_text(head + "\n".join(f"  - {line}" for line in lines))
    return CliRunner().invoke(cli, ["plan", "probed.yaml", "--probe", *options])


def test_what_is_known_to_collapse_on_digits_is_warned_of_and_nothing_else() -> None:
    result = probed(
        "{architecture: ann, norm: [none, batchnorm], width: 16}",
        "{architecture: snn, norm: [none, bntt], width: 16, num_steps: 10}",
        "{architecture: snn, norm: none, threshold: 0.3, width: 16, num_steps: 10}",
    )
    assert result.exit_code == 0, result.output
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert "snn none threshold=1.0 seed 42 is predicted to collapse: conv3 " in warning
    assert "try a norm, a lower threshold" in warning
    assert result.stdout.splitlines()[-1] == "probe: 1 of 5 cells predicted to collapse, 0 unknown"


def test_a_deep_artificial_network_whose_gradient_vanishes_is_warned_of() -> None:
    deep = "{architecture: ann, trunk: resnet, depth: 32, shortcut: none, width: 4, norm: none"
    result = probed(f"{deep}, init: [default, kaiming]}}", options=("--json",))
    plain, kaiming = json.loads(result.stdout)["probe"]
    assert (plain["label"], plain["collapses"]) == ("ann none init=default seed 42", True)
    assert plain["warning"].endswith("try a norm, init: kaiming")
    assert plain["signal"] < plain["threshold"] < kaiming["signal"]
    assert (kaiming["collapses"], kaiming["warning"]) == (False, None)


def test_of_code_of_ones_own_that_cannot_be_seen_nothing_is_said() -> None:
    keys = "norm: none, architecture"
    result = probed(
        f"{{{keys}: own_code:NoNeurons}}",
        f"{{{keys}: own_code:Unbuildable}}",
        "{architecture: ann, norm: own_code:ExitingNorm, width: 2}",
        "{architecture: ann, norm: batchnorm, width: 2}",
        options=("--json",),
    )
    assert result.exit_code == 0, result.output
    unseen, unbuilt, exiting, known = json.loads(result.stdout)["probe"]
    assert [one["collapses"] for one in (unseen, unbuilt, exiting)] == [None, None, None]
    assert "unknown: it has no diagnostics" in unseen["warning"]
    assert "its first batch failed: RuntimeError: not today" in unbuilt["warning"]
    assert known["collapses"] is False
    assert "I am built" in result.stderr


def test_a_cell_that_has_nothing_left_to_train_is_not_probed() -> None:
    spec = SweepSpec.from_dict(
        {"name": "some", "dataset": "digits", "epochs": 2, "seeds": [1, 2],
         "grid": [{"architecture": "ann", "norm": ["none", "batchnorm", "groupnorm"]}]}
    )  # fmt: skip
    trials = spec.trials()
    done = [
        TrialRun(str(number), trials[number].key, "FINISHED", "completed", 2, 1.0, "1", False)
        for number in (0, 1, 2)
    ]
    begun = TrialRun("5", trials[5].key, "KILLED", None, 1, 1.0, "1", True)
    plan = make_plan(trials, [*done, begun], version="1")
    assert [trial.label for trial in to_probe(plan)] == [
        "ann batchnorm seed 2",
        "ann groupnorm seed 1",
    ]
