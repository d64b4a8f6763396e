"""A trained model's file: tensors, and a JSON text in the header that describes them.

The format is safetensors (https://github.com/huggingface/safetensors). It contains no code and no
pickles, so reading it runs no code. The module ``saved_model`` is for models of this package's
networks, ``own_model`` for those of a user's own training code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from snn_norm.wording import described

WEIGHTS_FILE = "model.safetensors"
"""The name of the model's file in its folder."""

CONFIG_FILE = "config.json"
"""The name of a copy of that file's header in its folder, for people and other programs."""

_KEY = "snn_norm"
"""The only key in a file's metadata, for the text: the order of several keys would vary."""


class UnsavableError(ValueError):
    """A model cannot be written in this format, although it can be trained."""


def model_file(tensors: Mapping[str, Tensor], text: str) -> bytes:
    """Return tensors and a JSON text as one file; equal arguments yield equal bytes.

    Raises:
        UnsavableError: the format does not support one of the tensors' types or layouts.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise UnsavableError(f"{name!r} cannot be saved as safetensors: it is {tensor.layout}")
    # They are copied because the format refuses tensors that share memory.
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    try:
        return bytes(safetensors.torch.save(copies, {_KEY: text}))
    except (KeyError, safetensors.SafetensorError) as error:
        raise UnsavableError(f"its tensors cannot be saved as safetensors: {error}") from error


def header_of(data: bytes) -> dict[str, Any]:
    """Return the parsed text in the header of a file.

    Raises:
        ValueError: the file was not made by :func:`model_file`.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        return _parsed(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("it is not the file of a trained model") from error


def _parsed(text: str) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:  # it is not JSON, or nested too deeply
        raise ValueError(f"the text in its header cannot be read: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(
            f"the text in its header must be an object that describes a model, "
            f"got {described(header)}"
        )
    return header


def is_of_own_training(header: Mapping[str, Any]) -> bool:
    """Whether the text in a file's header describes a model of a user's own training code."""
    return "train" in header


def check_whole(data: bytes) -> None:
    """Check that a file is complete.

    Raises:
        ValueError: it is truncated, or was not made by :func:`model_file`.
    """
    header_of(data)
    try:
        safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is damaged: {error}") from error


def read_model_file(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a model, on the CPU, and the parsed text in its header.

    Args:
        path: the model's folder, or the file ``model.safetensors`` itself.

    Raises:
        ValueError: there is no such file, or it is damaged or not a model's.
    """
    path = Path(path)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"there is no trained model {os.fspath(file)!r}; a sweep's are fetched with "
            "snn-sweep models NAME --download DIR"
        )
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        header = None if text is None else _parsed(text)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"{os.fspath(file)!r} is not a trained model: {error}") from error
    if header is None:
        raise ValueError(f"{os.fspath(file)!r} does not say how its network is made")
    return tensors, header
