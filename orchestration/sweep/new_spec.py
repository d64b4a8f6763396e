"""Writes a commented spec from a few answers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestration.errors import InputError
from snn_norm.data.table import DATASETS
from snn_norm.norms.table import norms_of
from snn_norm.references import is_reference
from snn_norm.wording import not_among

SCHEMA_FILE = "snn-sweep.schema.json"
"""The file to which ``snn-sweep schema`` is saved, beside the specs."""

FIRST_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""The first line of a spec, by which editors find the schema."""

UNTIL_DECIDED = "decided"
"""The answer that lets the data decide how many seeds there are."""


@dataclass(frozen=True)
class Answers:
    """What a new spec is about, with the answers that are suggested.

    Args:
        dataset: its name, or ``package.module:function``.
        ann_norms, snn_norms: norms of the artificial and of the spiking network; empty: it is
            left out.
        epochs: passes over the training images.
        seeds: a list, or UNTIL_DECIDED.
    """

    dataset: str = "digits"
    ann_norms: tuple[str, ...] = ("none", "batchnorm", "homeostatic")
    snn_norms: tuple[str, ...] = ("none", "bntt", "homeostatic")
    epochs: int = 8
    seeds: tuple[int, ...] | str = (42, 123, 456)


def check_data(words: tuple[str, ...]) -> str:
    """The data set that an answer names.

    Raises:
        ValueError: it names none that is known, or several.
    """
    if len(words) != 1:
        raise ValueError("must be one data set")
    _check_name(words[0], list(DATASETS))
    return words[0]


def check_norms(architecture: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A function that checks an answer about the norms of ann or snn; "-" means none of them."""

    def check(words: tuple[str, ...]) -> tuple[str, ...]:
        if words == ("-",):
            return ()
        if not words:
            raise ValueError("must name a norm, or be -")
        for word in words:
            _check_name(word, list(norms_of(architecture)))
        return tuple(dict.fromkeys(words))

    return check


def check_seeds(words: tuple[str, ...]) -> tuple[int, ...] | str:
    """The seeds that an answer lists, or UNTIL_DECIDED.

    Raises:
        ValueError: it is neither.
    """
    if words == (UNTIL_DECIDED,):
        return UNTIL_DECIDED
    if not words or not all(word.isdecimal() for word in words):
        raise ValueError(f"must be whole numbers separated by commas, or {UNTIL_DECIDED}")
    return tuple(dict.fromkeys(map(int, words)))


def _check_name(name: str, known: list[str]) -> None:
    if name not in known and not is_reference(name):
        raise ValueError(not_among([*known, "package.module:name"], name))


def spec_text(name: str, answers: Answers) -> str:
    """The YAML of a spec, which has been checked.

    Raises:
        InputError: there is no norm, or nothing to decide.
        SpecError: together the answers make no valid spec.
    """
    if not answers.ann_norms and not answers.snn_norms:
        raise InputError("a spec needs norms of artificial or of spiking networks, got neither")
    if answers.seeds == UNTIL_DECIDED and max(map(len, _norms(answers))) < 2:
        raise InputError(
            "seeds until decided need two norms of the same networks to compare, got one: name "
            "another norm, or list the seeds"
        )
    from orchestration.sweep.spec import SweepSpec
    from orchestration.sweep.yaml_file import parse_yaml

    text = "\n".join(_lines(name, answers)) + "\n"
    SweepSpec.from_dict(parse_yaml(text, name).data)
    return text


def _norms(answers: Answers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return answers.ann_norms, answers.snn_norms


def _lines(name: str, answers: Answers) -> list[str]:
    grid = [
        f"  - {{architecture: {architecture}, norm: [{', '.join(norms)}]}}"
        for architecture, norms in (("ann", answers.ann_norms), ("snn", answers.snn_norms))
        if norms
    ]
    return [
        FIRST_LINE,
        f"# For an editor that completes and checks: snn-sweep schema > {SCHEMA_FILE}",
        f"name: {_quoted(name)}  # MLflow experiment of the same name",
        f"dataset: {answers.dataset}",
        f"epochs: {answers.epochs}",
        *_seeds(answers),
        "training:",
        "  batch_size: 128",
        "  learning_rate: 0.001",
        "  # validation_fraction: 0.1  # of the training images, to select the best epoch",
        "grid:  # any key may be a list, and is then an axis: num_steps: [10, 25]",
        *grid,
        "resources: {cpu: 1, gpu: 0}  # of one trial; gpu: 0.5 lets two share a GPU",
        "retries: 3  # after failures of machines; a network that collapses is a result",
        "keep: best  # the trained network of each trial's best epoch; or last, or none",
    ]


def _seeds(answers: Answers) -> list[str]:
    if answers.seeds != UNTIL_DECIDED:
        return [f"seeds: [{', '.join(map(str, answers.seeds))}]  # each trains every network once"]
    compared = [
        f"  - {{norm: [{', '.join(norms)}]}}" for norms in _norms(answers) if len(norms) > 1
    ]
    return [
        "seeds:  # as many as the comparisons below need",
        "  until: decided",
        "  alpha: 0.05  # the largest family-wise error",
        "  practically_equal: 0.005  # differences of accuracy below it do not matter",
        "  at_least: 5",
        "  at_most: 40  # seeds of each network",
        "compare:  # every pair of these, in each setting of the other axes",
        *compared,
    ]


def _quoted(name: str) -> str:
    """The name as YAML text, also if it looks like a number or has special characters."""
    return "'" + name.replace("'", "''") + "'"
