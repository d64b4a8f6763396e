"""The arguments SPEC and NAME, which many commands take, and how a shell completes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from orchestration.sweep.packaged import packaged_specs
from services.settings import Settings


def complete_spec(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """The packaged specs and the YAML files of this folder."""
    files = sorted(path.name for path in Path().glob("*.y*ml"))
    return _beginning(begun, [*packaged_specs(), *files])


def complete_name(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """The sweeps that have a log on this machine: a shell must not wait for a tracking server."""
    logs = Settings.from_environment().home / "logs"
    return _beginning(begun, sorted(path.name for path in logs.glob("*")))


def _beginning(begun: str, names: Iterable[str]) -> list[CompletionItem]:
    """The names that begin with this text; if there are none, the shell completes files."""
    matching = [CompletionItem(name) for name in names if name.startswith(begun)]
    return matching or [CompletionItem(begun, type="file")]


spec = click.argument("spec", metavar="SPEC", shell_complete=complete_spec)
name = click.argument("name", metavar="NAME", shell_complete=complete_name)
