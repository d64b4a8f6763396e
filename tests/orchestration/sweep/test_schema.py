"""The JSON schema takes valid specs, and refuses mistakes that an editor can show."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml
from specs import SPEC

from orchestration.sweep.packaged import packaged_specs
from orchestration.sweep.schema import spec_schema
from orchestration.sweep.yaml_file import parse_yaml, read_yaml

VALIDATOR = jsonschema.Draft202012Validator(spec_schema())

OWN = """
name: own
train: my_lab.segmentation:Run
seeds: [1, 2]
training: {crops: [128, 256]}
grid: [{method: [baseline, ours], depth: [18, 34]}]
metric: {name: val_miou, goal: maximize}
"""
DECIDED = """
name: decided
dataset: digits
epochs: 2
seeds: {until: decided, at_most: 12}
compare: [{norm: [none], against: all}]
grid: [{architecture: snn, norm: [none, bntt, my.module:Norm], threshold: [0.3, 1], compile: auto}]
resources: {gpu: auto}
"""
SEARCHED = """
name: searched
dataset: digits
epochs: 2
training: {validation_fraction: 0.2}
grid: [{architecture: snn, norm: [none, bntt]}]
search: {space: {threshold: {uniform: [0.3, 1]}}, gpu_hours: 0.5}
confirm: {settings: 2, seeds: [101]}
"""


def test_the_schema_is_a_valid_one() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("name", packaged_specs())
def test_packaged_specs_are_valid(name: str) -> None:
    VALIDATOR.validate(read_yaml(packaged_specs()[name], name).data)


@pytest.mark.parametrize("text", [SPEC, OWN, DECIDED, SEARCHED])
def test_other_valid_specs_are_valid(text: str) -> None:
    VALIDATOR.validate(parse_yaml(text, "spec").data)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("epochs: 8", "epoch: 8", []),
        ("epochs: 8", "epochs: 0", ["epochs"]),
        ("dataset: digits", "dataset: cifar-10", ["dataset"]),
        ("optimizer: adam", "optimiser: adam", ["training"]),
        ("norm: bntt", "norm: bnt", ["grid", 1, "norm"]),
        ("num_steps: 10", "num_step: 10", ["grid", 1]),
        ("num_steps: 10", "num_steps: [10, ten]", ["grid", 1, "num_steps"]),
        ("num_steps: 10", "num_steps: 10\n    neuron: lfi", ["grid", 1, "neuron"]),
        ("epochs: 8", "epochs: 8\nresources: {gpu: much}", ["resources", "gpu"]),
    ],
)
def test_mistakes_are_refused_where_they_are(old: str, new: str, path: list[Any]) -> None:
    assert SPEC.count(old) == 1
    errors = list(VALIDATOR.iter_errors(yaml.safe_load(SPEC.replace(old, new))))
    assert [list(error.absolute_path) for error in errors] == [path]


def test_a_search_has_one_budget() -> None:
    for budget in ("gpu_hours: 0.5, trials: 3", "round: 3"):
        spec = yaml.safe_load(SEARCHED.replace("gpu_hours: 0.5", budget))
        errors = list(VALIDATOR.iter_errors(spec))
        assert [list(error.absolute_path) for error in errors] == [["search"]]
