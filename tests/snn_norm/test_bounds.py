"""Numbers out of their bounds are refused, by the layers as by the configuration."""

from __future__ import annotations

import math
from typing import Any

import pydantic
import pytest
import torch

from snn_norm import ANNCNN, LIF, SNNCNN
from snn_norm.bounds import BOUNDS, check_bounds
from snn_norm.config import RunConfig
from snn_norm.neurons import LeakyReadout
from snn_norm.norms import make_norm
from snn_norm.norms.table import norms_of

WRONG: dict[str, list[Any]] = {
    "width": [0, -3],
    "image_size": [7, 0],
    "num_steps": [0, -1],
    "beta": [2, -0.5, math.nan],
    "threshold": [-1.0, 0.0, math.nan, math.inf],
    "slope": [0.0, -1.0, math.nan],
}
CASES = [(key, value) for key, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES)
def test_a_network_and_its_configuration_refuse_the_same_numbers(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be .*, got {value}$"):
        SNNCNN(**{key: value})
    with pytest.raises(pydantic.ValidationError, match=f"1 validation error.*\n{key}\n"):
        RunConfig(
            architecture="snn", norm="bntt", dataset="digits", seed=1, epochs=1, **{key: value}
        )


def test_every_bound_of_a_configuration_is_in_the_table() -> None:
    keys = BOUNDS.keys() & RunConfig.model_fields.keys()
    assert keys == WRONG.keys()
    for key in keys:
        of_field = {
            name: getattr(one, name)
            for one in RunConfig.model_fields[key].metadata
            for name in ("ge", "le", "gt")
            if hasattr(one, name)
        }
        assert of_field == BOUNDS[key]


def test_numbers_at_their_bounds_pass() -> None:
    check_bounds(width=1, image_size=8, num_steps=1, beta=0, threshold=1e-9, slope=None)
    check_bounds(beta=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ANNCNN(in_channels=0), "in_channels must be at least 1, got 0"),
        (lambda: ANNCNN(num_classes=0), "num_classes must be at least 1, got 0"),
        (lambda: SNNCNN(neuron="snntorch", beta=2), "beta must be at least 0 and at most 1, got 2"),
        (lambda: LIF(2), "beta must be at least 0 and at most 1, got 2"),
        (lambda: LIF(math.nan), "beta must be a finite number, got nan"),
        (lambda: LIF(threshold=-1), "threshold must be greater than 0, got -1"),
        (lambda: LeakyReadout(-0.1), "beta must be at least 0 and at most 1, got -0.1"),
        (lambda: make_norm("none", 4, 0), "num_steps must be at least 1, got 0"),
        (lambda: make_norm("batchnorm", 0), "num_features must be at least 1, got 0"),
    ],
)
def test_layers_refuse_them(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_a_sequence_without_time_steps_is_refused() -> None:
    for layer in (LIF(), LeakyReadout()):
        with pytest.raises(ValueError, match=r"at least one time step, got \(0, 3\)"):
            layer(torch.zeros(0, 3))
    per_sample = {"none", "groupnorm", "layernorm"}  # of which nothing is left then, as of N = 0
    for name in set(norms_of("snn")) - per_sample - {"weightstd"}:
        with pytest.raises(ValueError, match=r"with T from 1 to 3 and C = 4, got \(0, 2,"):
            make_norm(name, 4, 3)(torch.zeros(0, 2, 4, 8, 8))
