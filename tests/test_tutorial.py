"""The first hour: every command as it is written, and what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from console_page import commands_of, masked, run

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(3000)
def test_every_command_prints_what_the_page_says(tmp_path: Path) -> None:
    commands = [one for one in commands_of(PAGE.read_text()) if not one.text.startswith("pip ")]
    for command in commands:
        printed = run(command, tmp_path, tmp_path / "home")
        assert masked(printed) == masked(command.printed), command.text


def test_there_are_at_most_fifteen_commands() -> None:
    page = PAGE.read_text(encoding="utf-8")
    on_a_cluster = re.findall(r"^    (?:make|snn-sweep) ", page, re.MULTILINE)
    assert len(commands_of(page)) + len(on_a_cluster) <= 15
