"""What ``--help`` says of the whole command, and of each of its parts."""

from __future__ import annotations

import re

from click.testing import CliRunner

from orchestration.cli.help_text import VARIABLES
from orchestration.cli.main import cli
from orchestration.errors import FAILED, INTERRUPTED, UNREACHABLE, WRONG_INPUT
from orchestration.sweep.packaged import packaged_specs


def help_of(*arguments: str) -> str:
    result = CliRunner().invoke(cli, [*arguments, "-h"], terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_top_level_lists_specs_variables_and_exit_codes() -> None:
    text = help_of()
    assert f"Packaged specs: {', '.join(packaged_specs())}" in text
    assert re.findall(r"^    ([A-Z_]{4,}) ", text, flags=re.MULTILINE) == list(VARIABLES)
    codes = re.findall(r"^    (\d+) ", text, flags=re.MULTILINE)
    assert codes == [str(code) for code in (0, FAILED, WRONG_INPUT, UNREACHABLE, INTERRUPTED)]


def test_the_short_option_gives_the_same_help() -> None:
    assert help_of() == CliRunner().invoke(cli, ["--help"], terminal_width=100).output
