"""The pages of the reference, made from the code: never typed a second time."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click
from pydantic.fields import FieldInfo

import orchestration
import snn_norm
from orchestration.cli.help_text import EXIT_CODES, VARIABLES
from orchestration.cli.main import cli
from orchestration.model.config import Section
from orchestration.reading.records import DIAGNOSTICS, EPOCH_METRICS, SPIKE_RATE
from orchestration.record import names
from orchestration.results.sweep_reader import SweepReader
from orchestration.sweep.own_spec import MetricRule
from orchestration.sweep.schema import spec_schema, value_schema
from orchestration.sweep.search import Confirm, Prune, Search
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.spec_keys import CollapseRule, Resources
from orchestration.sweep.stopping import UntilDecided
from snn_norm.config import MODEL_KEYS, NOT_OF_ANN, TRAINING_KEYS, RunConfig

_MODULES = (snn_norm, orchestration)

_APPLIES_TO = {
    **dict.fromkeys(NOT_OF_ANN, "architecture snn"),
    "momentum": "optimizer sgd",
    "depth": "trunk resnet",
    "shortcut": "trunk resnet",
}
"""What the keys need that do not apply to every run."""


def undocumented() -> list[str]:
    """The public names, and public methods of public classes, that have no docstring."""
    found = []
    for package in _MODULES:
        for name in package.__all__:
            thing = getattr(package, name)
            members = [(name, thing)]
            if inspect.isclass(thing):
                members += [(f"{name}.{key}", value) for key, value in _own_members(thing)]
            found += [
                f"{package.__name__}.{member} has no docstring"
                for member, value in members
                if not inspect.getdoc(value)
            ]
    return found


def _own_members(thing: type) -> Iterator[tuple[str, Any]]:
    """The public functions and properties that this project defines in a class."""
    for name, value in inspect.getmembers(thing):
        module = getattr(getattr(value, "fget", value), "__module__", "") or ""
        is_ours = module.partition(".")[0] in ("snn_norm", "orchestration")
        if not name.startswith("_") and is_ours:
            yield name, value


def python_page() -> str:
    """The public names of both packages."""
    lines = ["# Python", "", "Both packages are typed. Names that are not here may change."]
    for package in _MODULES:
        lines += ["", f"## {package.__name__}", "", (package.__doc__ or "").strip()]
        for name in package.__all__:
            thing = getattr(package, name)
            lines += ["", f"::: {thing.__module__}.{thing.__qualname__}"]
            if inspect.isclass(thing) and issubclass(thing, SweepReader):
                lines += ["    options:", f"      filters: ['!^_', '!^({_OF_THE_READER})$']"]
    return "\n".join(lines) + "\n"


_OF_THE_READER = "|".join(
    name for name in vars(SweepReader) if not name.startswith("_") and name != "snapshot"
)
"""What :class:`Results` has for the code of this package, and not for its users."""

_SECTIONS: dict[str, type[Section]] = {
    "At the top": SweepSpec,
    "In `seeds`, until decided": UntilDecided,
    "In `search`": Search,
    "In `prune` of `search`": Prune,
    "In `confirm`": Confirm,
    "In `metric`": MetricRule,
    "In `resources`": Resources,
    "In `stop_when_collapsed`": CollapseRule,
}


def spec_page() -> str:
    """The keys of a spec."""
    schema = spec_schema()
    lines = [
        "# Keys of a spec", "",
        "This page is made from the models that check a spec. `snn-sweep plan SPEC` says what is "
        "wrong with one, and `snn-sweep schema` lets an editor say it.",
    ]  # fmt: skip
    for heading, section in _SECTIONS.items():
        types = schema["$defs"].get(section.__name__, schema)["properties"]
        rows = [
            (f"`{key}`", _type(types[key]), _default(field), field.description or "")
            for key, field in section.model_fields.items()
            if key in types  # users do not write the others
        ]
        lines += ["", f"## {heading}", "", *_table(("key", "type", "default", "what it is"), rows)]
    for heading, keys in (
        ("In `training`, or in an entry of the grid", TRAINING_KEYS),
        ("In an entry of the grid: the network", ("architecture", "norm", *MODEL_KEYS)),
    ):
        rows = [
            (f"`{key}`", _type(value_schema(key)), _default(RunConfig.model_fields[key]),
             RunConfig.model_fields[key].description or "", _APPLIES_TO.get(key, "all"))
            for key in keys
        ]  # fmt: skip
        columns = ("key", "type", "default", "what it is", "applies to")
        lines += ["", f"## {heading}", "", *_table(columns, rows)]
    return "\n".join(lines) + "\n"


def _type(schema: dict[str, Any]) -> str:
    """The type of a value in words, with its bounds."""
    if "$ref" in schema:
        return "mapping"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    parts = [
        part for part in schema.get("anyOf", schema.get("oneOf", [])) if part != {"type": "null"}
    ]
    if parts and "type" not in schema:
        return " or ".join(filter(None, map(_type, parts)))
    kind = schema.get("type", "")
    words = {
        "integer": "whole number", "number": "number", "string": "text",
        "boolean": "true or false", "array": "list", "object": "mapping",
    }  # fmt: skip
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]:,}" for name, sign in bounds.items() if name in schema]
    return ", ".join([words.get(kind, "any"), *limits])


def _default(field: FieldInfo) -> str:
    """The default; empty if the key must be given or another key decides."""
    if field.is_required() or field.default is None:
        return ""
    if isinstance(field.default, Section):
        return f"`{field.default.model_dump(exclude_none=True)}`"
    return f"`{field.default}`" if field.default not in ((), {}) else "none"


def commands_page() -> str:
    """Every command, with its help."""
    lines = ["# Commands", "", "    snn-sweep COMMAND", "", (cli.help or "").strip()]
    lines += ["", "## Exit codes", "", *_table(("code", "means"), EXIT_CODES.items())]
    for name, command in sorted(cli.commands.items()):
        context = click.Context(command, info_name=f"snn-sweep {name}", max_content_width=100)
        help_text = command.get_help(context).rstrip()
        lines += ["", f"## {name}", "", "```text", help_text, "```"]
    return "\n".join(lines) + "\n"


def environment_page() -> str:
    """Every environment variable."""
    rows = [(f"`{name}`", text) for name, text in VARIABLES.items()]
    lines = ["# Environment variables", "", "An empty variable counts as unset.", ""]
    return "\n".join([*lines, *_table(("variable", "what it is for"), rows)]) + "\n"


def mlflow_page() -> str:
    """The tags of runs, from the module that names them."""
    tree = ast.parse(inspect.getsource(names))
    rows = []
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        value = getattr(names, node.targets[0].id)
        match following:
            case ast.Expr(ast.Constant(str(text))) if isinstance(value, str):
                if value.startswith(names.TAG_PREFIX) and value != names.TAG_PREFIX:
                    rows.append((f"`{value}`", " ".join(text.split())))
    lines = [
        "# Names in MLflow", "",
        "A sweep is an experiment of its name. It has a run of its own, and below it a run for "
        "each trial. A trial's parameters are the keys of its configuration "
        "([keys of a spec](spec.md)). "
        "These names do not change: queries of your own may use them.", "",
        "## Tags", "",
    ]  # fmt: skip
    lines += _table(("tag", "what it holds"), rows)
    metrics = [*EPOCH_METRICS, f"{SPIKE_RATE}<layer>", *(f"{one}<layer>" for one in DIAGNOSTICS)]
    lines += [
        "",
        "## Metrics",
        "",
        "By epoch, from 1; diagnostics from 0, before the first step:",
        "",
    ]
    lines += [f"- `{name}`" for name in metrics]
    lines += ["", f"Once: `{names.BEST_TEST_ACCURACY}` and `{names.BEST_EPOCH}`.", ""]
    lines += ["[Tables and formulas](results.md) says what they measure."]
    return "\n".join(lines) + "\n"


def _table(columns: Any, rows: Any) -> list[str]:
    def line(cells: Any) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), line("---" for _ in columns), *map(line, rows)]


REFERENCE: dict[str, Callable[[], str]] = {
    "python.md": python_page,
    "spec.md": spec_page,
    "commands.md": commands_page,
    "environment.md": environment_page,
    "mlflow.md": mlflow_page,
}
"""The pages by their names."""
