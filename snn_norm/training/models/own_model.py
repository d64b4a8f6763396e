"""Saves the model of a user's own training code to one file, and loads it.

A run's model is its ``model_state()``, or its ``state_dict()`` if it has no such method. If the run
also has ``load_model_state(state)``, loading the model makes such a run. That imports the user's
code, so the caller must name it. Otherwise loading returns plain data and runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from snn_norm.training.models.model_file import (
    UnsavableError,
    is_of_own_training,
    model_file,
    read_model_file,
)
from snn_norm.training.models.model_sources import check_code
from snn_norm.training.models.plain_state import join_state, split_state
from snn_norm.training.own_run import Run, make_run
from snn_norm.training.seeding import generators_restored
from snn_norm.wording import all_in_words


class OwnDescription(pydantic.BaseModel):
    """The description of a model, besides its tensors.

    Args:
        format: version of this description's format.
        train: the user's code, ``package.module:Name``.
        config: the configuration that the code was given.
        epoch: the epoch after which the model was saved, from 1.
        metrics: the finite metrics of that epoch, without times.
        loads: whether a run of that code can load the model.
        sources: digest of the code, if its source can be read.
        state: the JSON part of ``split_state``.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    format: Literal[1] = 1
    train: str
    config: dict[str, Any]
    epoch: int
    metrics: dict[str, float]
    loads: bool = False
    sources: dict[str, str] = {}
    state: Any = None


def own_model_bytes(run: Run, description: OwnDescription) -> bytes:
    """Return the present model of a run as a file; equal states yield equal bytes.

    Args:
        run: a run after an epoch.
        description: its description; ``loads`` and ``state`` are set from the run.

    Raises:
        UnsavableError: its state has values that need pickle, or there is no state.
    """
    state = getattr(run, "model_state", run.state_dict)()
    if state is None:
        raise UnsavableError(f"{description.train!r} gives no state: there is no model to keep")
    tensors, rest = split_state(state)
    of_run = {"loads": hasattr(run, "load_model_state"), "state": rest}
    return model_file(tensors, json.dumps({**description.model_dump(), **of_run}))


def load_own_model(
    path: str | Path, device: torch.device | str = "cpu", *, own_code: str | Iterable[str] = ()
) -> Any:
    """Load the model of a user's own training code.

    Args:
        path: its folder, or the file ``model.safetensors`` itself.
        device: the device on which a run computes.
        own_code: the training code, ``package.module:Name``; required if it has
            ``load_model_state``.

    Returns:
        If the code has ``load_model_state``, a new run with the model loaded; a warning is issued
        if the code has changed since. Otherwise a dictionary with ``state`` as it was saved, its
        tensors on the CPU, and ``config``, ``epoch``, ``metrics`` and ``train``.

    Raises:
        ValueError: there is no such file, it is damaged or another kind of model, or the user's
            code is not named by ``own_code`` or cannot be imported.
    """
    tensors, header = read_model_file(path)
    if not is_of_own_training(header):
        raise ValueError(
            f"{str(path)!r} is a network of this package: snn_norm.load_model() gives it"
        )
    try:
        description = OwnDescription.model_validate(header)
    except pydantic.ValidationError as error:
        raise ValueError(
            f"its description cannot be read by this version: {all_in_words(error)}"
        ) from error
    state = join_state(tensors, description.state)
    if not description.loads:
        known = description.model_dump(include={"train", "config", "epoch", "metrics"})
        return {**known, "state": state}
    check_code({"train": description.train}, own_code, description.sources)
    with generators_restored():
        run: Any = make_run(description.train, description.config, torch.device(device))
    run.load_model_state(state)
    return run
