"""The commands that help to write a spec: init, schema, completion."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from orchestration.cli.console import err, out
from orchestration.errors import InputError
from orchestration.sweep.new_spec import Answers, check_data, check_norms, check_seeds, spec_text

_DEFAULTS = Answers()
_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class _Answer(click.ParamType):  # type: ignore[type-arg]  # click 8.1's is not generic
    """An answer, or several that are separated by commas, checked as it is given."""

    def __init__(self, name: str, check: Callable[[tuple[str, ...]], Any]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        try:
            return self._check(words)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _asked(question: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Ask a question whose option was not given, or take the default if nobody can answer."""

    def ask(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        assert parameter.name is not None
        default = getattr(_DEFAULTS, parameter.name)
        if value is not None:
            return value
        if not sys.stdin.isatty():
            return default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        return click.prompt(question, default=shown, type=parameter.type, err=True)

    return ask


def _option(flag: str, kind: click.ParamType[Any], question: str) -> _Decorator:
    return click.option(flag, type=kind, callback=_asked(question), help=f"{question}.")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@_option("--dataset", _Answer("name", check_data), "Data set, or package.module:function")
@_option("--ann-norms", _Answer("list", check_norms("ann")), "Norms of artificial networks")
@_option("--snn-norms", _Answer("list", check_norms("snn")), "Norms of spiking networks")
@_option("--epochs", click.IntRange(min=1), "Epochs of each trial")
@_option("--seeds", _Answer("list", check_seeds), "Seeds, or decided: as many as it takes")
def init(file: Path, **answers: Any) -> None:
    """Write a commented spec to FILE, which must not exist.

    It asks for each option that is not given. Without a terminal it takes the defaults. Lists are
    separated by commas; "-" for norms leaves out the networks of that kind.
    """
    given = Answers(**answers)
    text = spec_text(file.stem, given)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise InputError(f"{str(file)!r} exists and is not overwritten: name a new file") from None
    out.print(f"{file} is written")
    err.print(f"see what it would run: snn-sweep plan {file}")


@click.command()
def schema() -> None:
    """Print the JSON schema of a spec, for editors that complete and check YAML.

    Save it beside your specs: snn-sweep schema > snn-sweep.schema.json. The first line of a spec
    that `snn-sweep init` writes names this file.
    """
    from orchestration.sweep.schema import spec_schema

    click.echo(json.dumps(spec_schema(), indent=2, ensure_ascii=False))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, specs and names of sweeps.

    \b
    bash   in ~/.bashrc: eval "$(snn-sweep completion bash)"
    zsh    in ~/.zshrc, after compinit: eval "$(snn-sweep completion zsh)"
    fish   snn-sweep completion fish > ~/.config/fish/completions/snn-sweep.fish
    """
    root = context.find_root()
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(root.command, {}, "snn-sweep", "_SNN_SWEEP_COMPLETE").source())


COMMANDS = (init, schema, completion)
