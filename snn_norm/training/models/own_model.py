"""The model of training code of a user's own as one file, and what comes out of such a file.

A run says what its model is by ``model_state()``; of one without, it is its ``state_dict()``. If
the run has ``load_model_state(state)`` too, loading the model makes such a run. That imports the
user's code, so the caller must name it. Otherwise loading gives plain data and runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from snn_norm.references import check_named
from snn_norm.training.models.model_file import (
    UnsavableError,
    is_of_own_training,
    model_file,
    read_model_file,
)
from snn_norm.training.models.model_sources import tell_of_changes
from snn_norm.training.models.plain_state import join_state, split_state
from snn_norm.training.own_run import Run, make_run
from snn_norm.training.seeding import generators_restored
from snn_norm.wording import all_in_words


class OwnDescription(pydantic.BaseModel):
    """What is said of a model besides its tensors.

    Args:
        format: of this description.
        train: the user's code, ``package.module:Name``.
        config: what it was given.
        epoch: after which the model was taken, from 1.
        metrics: of that epoch, those that are finite; no times.
        loads: whether a run of that code can take the model.
        sources: digest of the code, where it can be read.
        state: of ``split_state``.
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
    """The model of a run as it is, as a file; the same state gives the same bytes.

    Args:
        run: after an epoch.
        description: of it; ``loads`` and ``state`` are the run's to say.

    Raises:
        UnsavableError: its state holds what cannot be written without pickle, or it gives none.
    """
    state = getattr(run, "model_state", run.state_dict)()
    if state is None:
        raise UnsavableError(f"{description.train!r} gives no state: there is no model to keep")
    tensors, said = split_state(state)
    told = {"loads": hasattr(run, "load_model_state"), "state": said}
    return model_file(tensors, json.dumps({**description.model_dump(), **told}))


def load_own_model(
    path: str | Path,
    device: torch.device | str = "cpu",
    *,
    own_code: str | Iterable[str] = (),
) -> Any:
    """Load the model of training code of a user's own.

    Args:
        path: its folder, or the file ``model.safetensors`` itself.
        device: where a run is to compute.
        own_code: the training code, ``package.module:Name``; needed where it has
            ``load_model_state``.

    Returns:
        Where the code has ``load_model_state``, the run, made anew and with the model loaded; a
        warning says so where the code has changed since. Else a dictionary: ``state`` as it was,
        tensors on the CPU; ``config``, ``epoch``, ``metrics``, and ``train``.

    Raises:
        ValueError: there is no such file, or it is another model's, or damaged; or the user's code
            is not named by ``own_code``, or cannot be imported.
    """
    tensors, said = read_model_file(path)
    if not is_of_own_training(said):
        raise ValueError(
            f"{str(path)!r} is a network of this package: snn_norm.load_model() gives it"
        )
    try:
        description = OwnDescription.model_validate(said)
    except pydantic.ValidationError as error:
        raise ValueError(
            f"its description cannot be read by this version: {all_in_words(error)}"
        ) from error
    state = join_state(tensors, description.state)
    if not description.loads:
        told = description.model_dump(include={"train", "config", "epoch", "metrics"})
        return {**told, "state": state}
    train, sources = description.train, description.sources
    check_named({"train": train}, own_code)
    tell_of_changes({train: sources[train]} if train in sources else {})
    with generators_restored():
        run: Any = make_run(train, description.config, torch.device(device))
    run.load_model_state(state)
    return run
