"""The command init: what it asks, what it writes, and what it refuses."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestration import SweepSpec
from orchestration.cli.main import cli
from orchestration.sweep.new_spec import FIRST_LINE


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """An empty home, and a current folder."""


def init(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments])


def test_without_a_terminal_it_takes_the_defaults() -> None:
    assert init("mine.yaml").exit_code == 0
    spec = SweepSpec.load("mine.yaml")
    assert (spec.name, spec.dataset, spec.seeds) == ("mine", "digits", (42, 123, 456))
    assert [cell.norm for cell in spec.cells()] == [
        "none", "batchnorm", "homeostatic", "none", "bntt", "homeostatic",
    ]  # fmt: skip
    assert Path("mine.yaml").read_text().splitlines()[0] == FIRST_LINE


def test_options_are_answers() -> None:
    Path("own_images.py").write_text("def data(root): ...\n")
    options = ["--dataset", "own_images:data", "--ann-norms", "-", "--snn-norms", "bntt, tab"]
    assert init("mine.yaml", *options, "--epochs", "3", "--seeds", "decided").exit_code == 0
    spec = SweepSpec.load("mine.yaml")
    assert (spec.dataset, spec.epochs) == ("own_images:data", 3)
    assert len(spec.comparisons()) == 1


def test_on_a_terminal_it_asks_and_asks_again_after_a_wrong_answer() -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", "from orchestration import main; main()", "init", "mine.yaml"]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as asking:
        os.close(terminal)
        said = ""
        for question, answer in (
            ("Data set", "mnsit"),
            ("did you mean 'mnist'?", "mnist"),
            ("Norms of artificial networks", "-"),
            ("Norms of spiking networks", ""),
            ("Epochs", "2"),
            ("Seeds", "1,2"),
        ):
            said = ""
            while question not in said:
                assert select.select([controller], [], [], 60)[0], f"it does not ask: {question}"
                said += os.read(controller, 1000).decode()
            os.write(controller, f"{answer}\n".encode())
        assert asking.wait(60) == 0
    os.close(controller)
    spec = SweepSpec.load("mine.yaml")
    assert (spec.dataset, spec.epochs, spec.seeds, len(spec.cells())) == ("mnist", 2, (1, 2), 3)


def test_a_file_is_never_overwritten() -> None:
    before = Path("small.yaml").read_text()
    result = init("small.yaml")
    assert result.exit_code == 2
    assert "'small.yaml' exists and is not overwritten: name a new file" in result.output
    assert Path("small.yaml").read_text() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--snn-norms", "bnt"], "did you mean 'bntt'?"),
        (["--ann-norms", "bntt"], "must be one of none, batchnorm, "),
        (["--dataset", "no_such_file:data"], "No module named 'no_such_file'"),
        (["--dataset", "mnist,digits"], "must be one data set"),
        (["--seeds", "1,two"], "must be whole numbers separated by commas, or decided"),
        (["--seeds", "4294967296"], "seeds[0]: must be less than 4,294,967,296"),
        (["--ann-norms", "-", "--snn-norms", "-"], "needs norms of artificial or of spiking"),
        (
            ["--ann-norms", "none", "--snn-norms", "-", "--seeds", "decided"],
            "need two norms of the same networks",
        ),
    ],
)
def test_wrong_answers_write_nothing(options: list[str], message: str) -> None:
    result = init("mine.yaml", *options)
    assert result.exit_code == 2
    assert message in result.output
    assert not Path("mine.yaml").exists()


@pytest.mark.parametrize("name", ["123", "it's", "true", "# spec", "größe: 1"])
def test_a_file_of_any_name_has_a_spec_of_that_name(name: str) -> None:
    assert init(f"{name}.yaml").exit_code == 0
    assert SweepSpec.load(f"{name}.yaml").name == name
