"""Restores what a trial may change in its worker's process, before the next trial starts."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_Switch = tuple[Callable[[], Any], Callable[[Any], object]]
"""A function that reads a state, and one that sets it."""


def _attribute(of: object, name: str) -> _Switch:
    return lambda: getattr(of, name), lambda value: setattr(of, name, value)


def _autocast(device: str) -> _Switch:
    return (
        lambda: torch.is_autocast_enabled(device),
        lambda enabled: torch.set_autocast_enabled(device, enabled),
    )


def _restore_environment(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)


def _restore_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = before  # type: ignore[index] # typeshed says Sequence; it is a list


def _restore_path(before: list[str]) -> None:
    sys.path[:] = before


_SWITCHES: tuple[_Switch, ...] = (
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), _restore_environment),
    (lambda: list(sys.path), _restore_path),
    (lambda: list(warnings.filters), _restore_filters),
    (np.geterr, lambda before: np.seterr(**before)),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _autocast("cpu"),
    _autocast("cuda"),
    _attribute(torch.backends.cudnn, "enabled"),
    _attribute(torch.backends.cudnn, "benchmark"),
    _attribute(torch.backends.cudnn, "deterministic"),
    _attribute(torch.backends.cudnn, "allow_tf32"),
    _attribute(torch.backends.mkldnn, "enabled"),
)


class ProcessState:
    """The state of a process at the time when this object is created.

    It covers what affects numbers, speed or where files are found, except random generators: a
    training run seeds all of them itself.
    """

    def __init__(self) -> None:
        self._values = [get() for get, _ in _SWITCHES]

    def restore(self) -> None:
        """Restore what has changed since, and release a GPU's cached memory."""
        for (get, set_back), value in zip(_SWITCHES, self._values, strict=True):
            if get() != value:
                set_back(value)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
