"""A state of tensors and plain values survives as tensors and JSON, and nothing else is taken."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from snn_norm.training.models.plain_state import join_state, split_state


def again(state: Any) -> Any:
    tensors, said = split_state(state)
    return join_state(tensors, json.loads(json.dumps(said, allow_nan=False)))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor | np.ndarray):
        if isinstance(one, np.ndarray):
            assert one.dtype.newbyteorder("=") == other.dtype
        return type(one) is type(other) and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict):
        keys = list(one) == list(other) and list(map(type, one)) == list(map(type, other))
        return keys and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(map(same, one, other)) and len(one) == len(other)
    return type(one) is type(other) and (one == other or math.isnan(one))


@pytest.mark.parametrize(
    "state",
    [
        {},
        None,
        3.25,
        torch.arange(6).view(2, 3),
        [torch.ones(2), [torch.zeros(1, dtype=torch.bfloat16), ()], {"a": [None, True, "é", -1]}],
        {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, "__metadata__": torch.ones(3)},
        {0: {"step": 1}, "0": 2, None: 3, (1, "x"): torch.ones(2), 1.5: [4]},
        (1, (2, [3]), math.inf, -math.inf, math.nan, 2**200),
        {"weights": np.arange(12.0).reshape(3, 4).T[::-1], "n": np.zeros((), dtype=">i2")},
        np.array([[True, False]]),
        random.Random(1).getstate(),
        np.random.RandomState(1).get_state(),
        np.random.default_rng(1).bit_generator.state,
        torch.Generator().manual_seed(1).get_state(),
    ],
    ids=itertools.count(),
)
def test_it_comes_back_as_it_was(state: Any) -> None:
    assert same(state, again(state))


def test_a_state_of_an_optimizer_can_be_loaded_again() -> None:
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    other = torch.optim.Adam(layer.parameters())
    other.load_state_dict(again(optimizer.state_dict()))
    assert same(optimizer.state_dict(), other.state_dict())


def test_what_is_only_of_another_type_becomes_plain() -> None:
    state = OrderedDict(a=np.float32(0.5), b=np.int64(3), c=np.bool_(True), d=torch.Size([2]))
    assert same({"a": 0.5, "b": 3, "c": True, "d": (2,)}, again(state))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": [1, object()]}, "something of type object at model.1"),
        (b"pickled", "holds something of type bytes; a model is made of"),
        ({"a": {1, 2}}, "of type set at a"),
        ({"a": np.array([None])}, "an array of object at a"),
        ({"a": np.ma.masked_array([1, 2], [True, False])}, "of type MaskedArray at a"),
        ({torch.ones(1): 1}, "a tensor as a key"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_state(state)


def test_what_holds_itself_is_refused() -> None:
    state: list[Any] = []
    state.append(state)
    with pytest.raises(ValueError, match="nested too deeply, or holds itself"):
        split_state(state)


@pytest.mark.parametrize("said", [{"tensor": "absent"}, {"set": [1]}, {"dict": [1]}, {}])
def test_a_text_that_says_something_else_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="its state cannot be read"):
        join_state({}, said)
