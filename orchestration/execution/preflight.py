"""What a sweep needs of its machine and its data sets, looked at before anything is started."""

from __future__ import annotations

import os

import torch

from orchestration.errors import InputError
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings
from snn_norm.data.dataset import DatasetError, load_dataset
from snn_norm.references import is_reference

__all__ = ["check_data", "check_resources"]


def check_resources(spec: SweepSpec, settings: Settings) -> None:
    """Refuse, on this machine alone, a trial that could never start."""
    if settings.ray_address is not None:
        return
    gpu = spec.resources.gpu
    for kind, wanted, present in (
        ("gpu", 1.0 if gpu == "auto" else gpu, torch.cuda.device_count()),
        ("cpu", spec.resources.cpu, os.cpu_count() or 1),
    ):
        if wanted > present:
            raise InputError(
                f"resources.{kind}: a trial asks for {wanted:g}, this machine has {present}: "
                f"lower resources.{kind}, or set RAY_ADDRESS to a cluster that has them"
            )


def check_data(spec: SweepSpec, settings: Settings) -> None:
    """Load each data set once, which downloads what is missing, before anything is started."""
    for name, size in {(cell.dataset, cell.image_size) for cell in spec.cells()}:
        try:
            load_dataset(name, settings.data, size)
        except DatasetError as error:
            raise InputError(f"dataset: {error}") from error
        except Exception as error:
            if not is_reference(name):
                raise
            raise InputError(
                f"dataset: {name} raised {type(error).__name__}: {error} "
                "(snn-sweep --debug shows where)"
            ) from error
