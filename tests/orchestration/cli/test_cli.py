"""The command line as a user meets it: what it prints where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from commands import USERS_FOLDER
from recorded import Recorder

from orchestration import Results, SweepSpec
from orchestration.cli.main import cli
from orchestration.cluster.submit import Submission
from orchestration.sweep.packaged import packaged_specs


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_plan_says_what_would_run_and_creates_nothing(home: Path) -> None:
    result = run("plan", "small.yaml")
    assert result.exit_code == 0, result.output
    assert "ann batchnorm seed 2" in result.stdout
    assert "small: 4 to run, 0 to resume, 0 finished before" in result.stdout
    assert re.search(r"best epoch is kept: about \d+ kB each, \d+ kB in all", result.stdout)
    assert not home.exists()


def test_plan_says_that_no_models_are_kept_or_that_their_size_is_not_known(home: Path) -> None:
    spec = Path("small.yaml").read_text()
    Path("small.yaml").write_text(spec + "keep: none\n")
    assert "no trained models are kept" in run("plan", "small.yaml").stdout
    assert json.loads(run("plan", "small.yaml", "--json").stdout)["models"] == {
        "keep": "none",
        "bytes": 0,
    }
    Path("networks_of_cli.py").write_text(
        "def net(*, norm, in_channels, num_classes, image_size): ..."
    )
    own = spec.replace("architecture: ann", "architecture: networks_of_cli:net")
    Path("small.yaml").write_text(own.replace(", width: 2", "") + "keep: last\n")
    told = run("plan", "small.yaml")
    assert "last epoch is kept: their size is known once there is one" in told.stdout, told.output
    assert not home.exists()


def test_plan_as_json_prints_nothing_else(home: Path) -> None:
    result = run("plan", "small.yaml", "--json")
    plan = json.loads(result.stdout)
    assert plan["name"] == "small"
    assert [trial["label"] for trial in plan["run"]] == [
        "ann none seed 1",
        "ann none seed 2",
        "ann batchnorm seed 1",
        "ann batchnorm seed 2",
    ]
    assert plan["reuse"] == plan["resume"] == []
    assert not home.exists()


def test_plan_says_what_seeds_until_decided_take(home: Path) -> None:
    told = [line.rstrip() for line in run("plan", "decided").stdout.splitlines()]
    rows = [line.split(maxsplit=3) for line in told if line.startswith(("certain", "likely"))]
    assert rows == [
        ["certain", "15", "–", "5 seeds of each cell"],
        ["likely", "–", "–", "known once every comparison has two pairs of seeds"],
    ]
    assert "at most  24      –           8 seeds of each cell that is compared" in told
    no_equal = (
        "no verdict can be equal: that takes at least 29 seeds without a failure; at_most is 8"
    )
    assert no_equal in " ".join(told)
    assert json.loads(run("plan", "decided", "--json").stdout)["seeds"] == {
        "certain": {"trials": 15, "hours": None},
        "likely": None,
        "most": {"trials": 24, "hours": None},
        "hours_of": "core",
        "equal": {"fewest": 29, "fewest_with_spread": 54, "from_records": False},
    }
    assert not home.exists()


@pytest.mark.usefixtures("home")
def test_plan_says_when_seeds_are_too_few_for_the_verdict_equal() -> None:
    def told(**seeds: object) -> str:
        spec = {
            **yaml.safe_load(Path("small.yaml").read_text()),
            "seeds": {"until": "decided", **seeds},
            "compare": [{"norm": ["none", "batchnorm"]}],
        }
        Path("until.yaml").write_text(yaml.safe_dump(spec))
        return " ".join(run("plan", "until.yaml").stdout.split())

    few = "29 seeds without a failure if the two values of each seed are the same, and 52 if values"
    assert f"hardly any verdict can be equal: that takes {few}" in told(
        practically_equal=0.01, at_most=51
    )
    assert "Raise at_most, or expect undecided" in told(practically_equal=0.01, at_most=28)
    for seeds in (
        {"practically_equal": 0.01, "at_most": 52},
        {"practically_equal": 0.01, "at_most": 20, "assume": "normal"},
        {"at_most": 20},
    ):
        assert "can be equal" not in told(**seeds)


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("norm: [none, batchnorn]", "wrong.yaml:6: grid[0].norm[1]: must be one of none, batchn"),
        ("epochs: 0", "wrong.yaml:3: epochs: "),
        ("seeds: [1, 1]", "wrong.yaml:4: seeds[1]: must be given once each, got 1 again"),
        ("name: a/b", "wrong.yaml:1: name: must not hold / or \\"),
        ("dataset: nobody.has:this", "wrong.yaml:2: dataset: "),
        ("colour: red", "wrong.yaml:7: colour: is not a key here; valid are name, train, dataset"),
    ],
)
def test_a_wrong_spec_is_refused_with_file_line_and_field_and_creates_nothing(
    home: Path, command: str, change: str, message: str
) -> None:
    key = change.partition(":")[0]
    lines = Path("small.yaml").read_text().splitlines()
    if key == "norm":
        lines[5] = f"  - {{architecture: ann, {change}, width: 2}}"
    elif any(line.startswith(f"{key}:") for line in lines):
        lines = [change if line.startswith(f"{key}:") else line for line in lines]
    else:
        lines.append(change)
    Path("wrong.yaml").write_text("\n".join(lines))
    result = run(command, "wrong.yaml")
    assert result.exit_code == 2
    assert f"snn-sweep: {message}" in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output
    assert not home.exists()


def test_plan_with_data_names_all_that_cannot_be_loaded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    Path("wrong.yaml").write_text(
        "name: wrong\ndataset: own_code:exits\nepochs: 1\nseeds: [1]\ngrid:\n"
        "  - {architecture: ann, norm: none}\n"
        "  - {architecture: ann, norm: none, dataset: [digits, own_code:tiny]}\n"
        "  - {architecture: ann, norm: none, dataset: own_code:tiny, image_size: 8}\n"
        "  - {architecture: ann, norm: none, dataset: own_code:wrong_labels}\n"
        "  - {architecture: snn, norm: none, dataset: own_code:frames}\n"
    )
    assert run("plan", "wrong.yaml").exit_code == 0
    result = run("plan", "wrong.yaml", "--data")
    assert (result.exit_code, result.stdout) == (2, "")
    first, second, third, fourth = result.stderr.splitlines()
    assert "wrong.yaml:2: dataset: data set 'own_code:exits' raised SystemExit: 3" in first
    assert second.startswith("wrong.yaml:7: grid[1].dataset[1]: images must be at least 8x8 for")
    assert second.endswith("to resize them: image_size: 8")
    assert third.startswith("wrong.yaml:9: grid[3].dataset: ")
    assert fourth.startswith("wrong.yaml:10: grid[4].dataset: data set 'own_code:frames' gives seq")
    assert fourth.endswith("of 3 time steps, got num_steps 25: set it to 3")
    assert not home.exists()


def test_debug_shows_the_traceback(home: Path) -> None:
    program = "from orchestration import main; main()"
    command = [sys.executable, "-c", program, "--debug", "plan", "absent.yaml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "InputError: absent.yaml: there is no such file" in ended.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [("results", "small"), ("status", "small"), ("results", "small", "--format", "json")],
)
def test_an_unknown_sweep_is_an_error_of_the_input(home: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("snn-sweep: ")
    assert "run" in result.stderr, "it does not say what to do"
    assert result.stdout == ""
    assert not home.exists()


def test_before_the_first_sweep_list_says_how_to_begin(home: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    assert f"snn-sweep run SPEC (packaged: {', '.join(packaged_specs())})" in result.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments", [("results", "small"), ("run", "small.yaml"), ("list",), ("ui",)]
)
def test_a_server_that_does_not_answer_ends_with_3(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    result = run(*arguments)
    assert result.exit_code == 3
    assert "MLFLOW_TRACKING_URI" in result.stderr
    assert "secret" not in result.output
    assert not home.exists()


def test_a_wrong_variable_ends_with_2(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgres://x")
    result = run("plan", "small.yaml")
    assert result.exit_code == 2
    assert "MLFLOW_TRACKING_URI" in result.stderr
    assert not home.exists()


def test_stop_without_a_driver_says_so(home: Path) -> None:
    result = run("stop", "small")
    assert result.exit_code == 2
    assert "nobody runs sweep 'small'" in result.stderr
    assert not home.exists()


def test_down_without_a_server_says_so(home: Path) -> None:
    result = run("down")
    assert (result.exit_code, result.stdout) == (0, "no tracking server was running\n")
    assert not home.exists()


def test_results_are_the_same_numbers_in_every_form(small: SweepSpec) -> None:
    frame = Results(small.name).best_of_seeds()
    assert frame["best"].tolist() == [0.75, 0.9375]
    rows = json.loads(run("results", small.name, "--format", "json").stdout)
    assert [row["best"] for row in rows] == frame["best"].tolist()
    assert [row["n_seeds"] for row in rows] == [2, 1]
    table = pd.read_csv(io.StringIO(run("results", small.name, "--format", "csv").stdout))
    assert table["best"].tolist() == frame["best"].tolist()
    for form in ("table", "markdown", "latex"):
        shown = run("results", small.name, "--format", form).stdout
        assert "75.00" in shown
        assert "93.75" in shown


def test_list_and_status_say_how_far_it_has_come(small: SweepSpec) -> None:
    assert re.search(rf"{small.name} +incomplete +3 of 4 +93.75% ", run("list").stdout)
    said = run("status", small.name).stdout
    assert f"{small.name}: incomplete, 3 of 4 finished" in said
    assert "3 completed" in said
    status = json.loads(run("status", small.name, "--json").stdout)
    assert (status["finished"], status["expected"], status["driver"]) == (3, 4, None)


def test_a_sweep_whose_spec_cannot_be_read_hides_no_other(
    small: SweepSpec, tracking_uri: str
) -> None:
    """As a spec may have a key of a later version."""
    Recorder(tracking_uri).sweep("of a later version", '{"name": "of a later version", "key": 1}')
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    assert re.search("of a later version +completed +0 of [?] ", listed.stdout)
    assert f"{small.name}: incomplete, 3 of 4 finished" in run("status", small.name).stdout
    said = run("status", "of a later version").stdout
    assert "this version cannot read its spec" in said
    assert json.loads(run("status", "of a later version", "--json").stdout)["expected"] is None


@pytest.mark.parametrize("command", ["results", "list"])
def test_a_reader_that_has_enough_is_no_error(small: SweepSpec, command: str) -> None:
    program = "from orchestration import main; main()"
    arguments = [command, small.name] if command == "results" else [command]
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    os.close(read)
    _, told = process.communicate()
    assert (process.returncode, told) == (141, "")


@pytest.mark.usefixtures("small")
def test_ui_names_the_page_of_the_users_own_server(
    tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for display in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(display, raising=False)
    result = run("ui")
    sweeps, mlflow = result.stdout.splitlines()
    assert sweeps == f"sweeps at {tracking_uri}/sweeps"
    assert mlflow.startswith(f"MLflow at {tracking_uri}/#/experiments")


def test_a_name_that_is_nearly_right_is_helped(small: SweepSpec) -> None:
    result = run("results", small.name[:-1])
    assert result.exit_code == 2
    assert f"did you mean {small.name!r}" in result.stderr


def test_without_its_packages_the_command_says_which_extra_to_install() -> None:
    program = "import sys; sys.modules['click'] = None; from orchestration import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "list"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("snn-sweep needs click, which is not installed")
    assert "pip install 'snn-norm[sweep]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "command",
    ["export {name} {long}", "paper {name} --output {long}", "report {name} --output {long}"],
)
def test_a_file_name_that_is_too_long_is_said_without_a_traceback(
    small: SweepSpec, command: str
) -> None:
    long = 300 * "x"
    result = run(*(part.format(name=small.name, long=long) for part in command.split()))
    assert result.exit_code == 2
    assert f"{long}" in result.stderr
    assert "File name too long" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_empty_name_of_a_spec_is_said(home: Path) -> None:  # noqa: ARG001
    result = run("plan", "")
    assert result.exit_code == 2
    assert "the name of the spec is empty: name a YAML file or a packaged spec" in result.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_an_encoding_lacks_is_escaped(small: SweepSpec, encoding: str) -> None:
    program = "from orchestration import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "results", small.name, "--format", "markdown"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    # And where the encoding has all characters, nothing is escaped.
    table = run("results", small.name, "--format", "markdown").stdout
    assert done.stdout.decode(encoding) == table.encode(encoding, "backslashreplace").decode(
        encoding
    )


def test_a_cluster_that_the_environment_names_need_not_be_named_in_what_follows(
    home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, outside = "http://127.0.0.1:8265", "http://127.0.0.1:18265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", inside)

    def submit_sweep(spec: SweepSpec, *, cluster: str) -> Submission:
        return Submission(spec.name, "sweep-small-1", cluster, is_new=True)

    monkeypatch.setattr("orchestration.cluster.submit.submit_sweep", submit_sweep)
    told = run("submit", "small.yaml").stderr.splitlines()
    assert told[-1] == "follow it with: snn-sweep logs -f small"
    told = run("submit", "small.yaml", "--cluster", outside).stderr.splitlines()
    assert told[-1] == f"follow it with: snn-sweep logs -f small --cluster {outside}"
