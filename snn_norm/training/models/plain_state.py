"""Converts a state of tensors and plain values to named tensors and JSON, without pickle.

Plain values are None, booleans, numbers, strings, lists, tuples and dictionaries with plain keys,
nested to any depth, and also numpy's arrays and numbers. In the JSON, strings, numbers and lists
stand for themselves, and an object with one key stands for a value that JSON lacks:

    {"tensor": "model.weight"}, {"array": "scaler.mean"}     the tensor of this name
    {"dict": {"rate": 0.1}}, {"items": [[0, "first"]]}        with strings as keys, with others
    {"tuple": [1, 2]}, {"float": "nan"}
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_norm.training.models.model_file import UnsavableError


def split_state(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a state into its tensors and a JSON value for the rest.

    Raises:
        UnsavableError: a value is neither a tensor nor plain; the message names its place.
    """
    tensors: dict[str, Tensor] = {}
    try:
        return tensors, _split(state, (), tensors)
    except RecursionError as error:
        raise UnsavableError("it is nested too deeply, or holds itself") from error


def join_state(tensors: dict[str, Tensor], rest: Any) -> Any:
    """Restore the state that :func:`split_state` split; arrays are numpy's again.

    Raises:
        ValueError: tensors and JSON do not belong together.
    """
    if isinstance(rest, list):
        return [join_state(tensors, part) for part in rest]
    if not isinstance(rest, dict):
        return rest
    if len(rest) != 1:
        raise ValueError(f"its state cannot be read by this version: it holds {rest}")
    ((kind, value),) = rest.items()
    try:
        match kind:
            case "tensor":
                return tensors[value]
            case "array":
                return tensors[value].numpy()
            case "float":
                return float(value)
            case "tuple":
                return tuple(join_state(tensors, part) for part in value)
            case "dict":
                return {key: join_state(tensors, part) for key, part in value.items()}
            case "items":
                return {join_state(tensors, k): join_state(tensors, v) for k, v in value}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its state cannot be read: {error}") from error
    raise ValueError(f"its state cannot be read by this version: it holds a {kind!r}")


def _split(value: Any, path: tuple[Any, ...], tensors: dict[str, Tensor]) -> Any:
    """Return the JSON value of a value, and add its tensors to ``tensors``."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        case Tensor():
            return {"tensor": _add(value, path, tensors)}
        case np.generic():
            return _split(value.item(), path, tensors)
        case np.ndarray() if type(value) is np.ndarray:  # a subclass would lose its mask
            try:
                # torch refuses arrays with negative strides or foreign byte order.
                plain = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
                return {"array": _add(torch.tensor(plain.reshape(value.shape)), path, tensors)}
            except TypeError as error:
                raise _refused(path, f"an array of {value.dtype}") from error
        case list():
            return [_split(part, (*path, n), tensors) for n, part in enumerate(value)]
        case tuple():
            return {"tuple": [_split(part, (*path, n), tensors) for n, part in enumerate(value)]}
        case dict() if all(type(key) is str for key in value):
            return {"dict": {k: _split(v, (*path, k), tensors) for k, v in value.items()}}
        case dict():
            items = value.items()
            return {"items": [[_key(k, path), _split(v, (*path, k), tensors)] for k, v in items]}
    raise _refused(path, f"something of type {type(value).__name__}")


def _key(key: Any, path: tuple[Any, ...]) -> Any:
    tensors: dict[str, Tensor] = {}
    plain = _split(key, path, tensors)
    if tensors:
        raise _refused(path, "a tensor as a key")
    return plain


def _add(tensor: Tensor, path: tuple[Any, ...], tensors: dict[str, Tensor]) -> str:
    """Add a tensor under the name of its place, with a number if that name is taken."""
    name = wanted = ".".join(map(str, path)) or "state"
    number = 1
    while name in tensors or name == "__metadata__":  # the latter is reserved for the file's header
        number += 1
        name = f"{wanted}#{number}"
    tensors[name] = tensor
    return name


def _refused(path: tuple[Any, ...], what: str) -> UnsavableError:
    place = f" at {'.'.join(map(str, path))}" if path else ""
    return UnsavableError(
        f"its state holds {what}{place}; a model is made of tensors, arrays, numbers, texts, "
        "lists and dictionaries"
    )
