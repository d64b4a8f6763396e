"""What the documentation names is there: links, files, folders, headings; what it shows runs."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

from orchestration.cli.main import cli
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("*/*.md")])
PACKAGES = ("snn_norm", "orchestration", "services", "tests", "docs", "benchmarks")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_are_there(page: Path) -> None:
    path = rf"`((?:{'|'.join(PACKAGES)})/[\w./-]+)`"
    named = re.findall(path, page.read_text(encoding="utf-8"))
    roots = (ROOT, ROOT / "tests")  # a table of tests leaves the folder of all of them out
    assert [one for one in named if not any(list(root.glob(f"{one}*")) for root in roots)] == []


@pytest.mark.parametrize("norm", ["none", "tebn", "groupnorm"])
def test_the_network_of_your_own_trains(
    norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = f"my_networks_{norm}"  # a name of its own, as modules stay imported
    (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    digits = load_dataset("digits", tmp_path, image_size=8)
    first = {part: getattr(digits, part)[:256] for part in vars(digits) if part.startswith("t")}
    config = RunConfig(
        architecture=f"{module}:MyNet", norm=norm, dataset="digits", seed=1, epochs=1,
        num_steps=3, width=4, image_size=8, batch_size=32,
    )  # fmt: skip
    run = TrainingRun(config, dataclasses.replace(digits, **first))
    before = {name: weight.detach().clone() for name, weight in run.model.named_parameters()}
    result = run.run_epoch()
    assert result.is_finite
    assert result.spike_rates.keys() == {"first", "second"}
    assert result.spike_rates["first"] > 0
    assert [n for n, weight in run.model.named_parameters() if weight.equal(before[n])] == []


def commands_of(page: Path) -> list[list[str]]:
    """The words of a page's lines that call snn-sweep, without comments and redirections."""
    calls = r"^    (?:eval \"\$\()?snn-sweep (.*?)(?:\)\")?$"
    lines = re.findall(calls, page.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line.partition(" > ")[0], comments=True) for line in lines]


@pytest.mark.parametrize(
    "words", commands_of(ROOT / "docs" / "how-do-i.md"), ids=lambda words: " ".join(words)
)
def test_commands_of_the_short_answers_are_understood(words: list[str]) -> None:
    command = cli.commands[words[0]]
    context = click.Context(command)
    given, rest, _ = command.make_parser(context).parse_args(words[1:])
    assert rest == []
    required = [one.name for one in command.params if isinstance(one, click.Argument)]
    assert [name for name in required if not given.get(name)] == []


def test_event_frames_become_a_data_set() -> None:
    page = (ROOT / "docs" / "how-do-i.md").read_text(encoding="utf-8")
    (code,) = [one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "tonic" in one]
    names: dict[str, Any] = {}
    exec(code, names)
    frames = [(np.full((4, 2, 8, 8), value, np.int16), value) for value in (0, 1, 3)]
    images, labels = names["sequences"](frames)
    assert images.shape == (3, 4, 2, 8, 8)
    assert images.dtype == torch.uint8
    assert images[:, 0, 0, 0, 0].tolist() == [0, 85, 255]
    assert labels.tolist() == [0, 1, 3]
