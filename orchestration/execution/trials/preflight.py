"""What a sweep needs of its machine and its data sets, looked at before anything is started."""

from __future__ import annotations

import os

import torch

from orchestration.errors import InputError
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.yaml_file import FieldPath
from services.settings import Settings
from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.data.hold_out import training_part
from snn_norm.data.local import DatasetError
from snn_norm.networks.cnn import make_model
from snn_norm.references import is_reference

_LARGEST = 64
"""Pixels; some network of ours takes any image that is as large."""


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
    """Load each data set once, which downloads what is missing, before anything is started.

    Raises:
        SpecError: with all that cannot be loaded, or does not fit a network.
    """
    problems = spec.problems()
    cells: dict[str, list[RunConfig]] = {}
    for cell in spec.cells():
        if isinstance(cell, RunConfig):  # the user's own code loads what it needs itself
            cells.setdefault(cell.dataset, []).append(cell)
    for name, of_it in cells.items():
        try:
            loaded = load_dataset(name, settings.data)
            for cell in of_it:
                loaded.check_fits(cell.architecture, cell.num_steps)
            parts = ((cell.training_images, cell.validation_fraction) for cell in of_it)
            for part in dict.fromkeys(parts):
                training_part(loaded, *part)
        except DatasetError as error:
            problems.add(_place(spec, name), str(error))
        else:
            for message in filter(None, (_too_small(cell, loaded) for cell in of_it)):
                problems.add(_place(spec, name), message)
    problems.raise_any()


def _too_small(cell: RunConfig, dataset: Dataset) -> str | None:
    """What is wrong with images that a packaged network cannot take; a user's own says itself."""
    size = dataset.image_size
    if cell.image_size is not None or is_reference(cell.architecture) or _takes(cell, size):
        return None
    enough = next((n for n in range(size + 1, _LARGEST) if _takes(cell, n)), _LARGEST)
    return (
        f"images must be at least {enough}x{enough} for architecture {cell.architecture}, "
        f"{cell.dataset} has {size}x{size}; to have them resized: image_size: {enough}"
    )


def _takes(cell: RunConfig, size: int) -> bool:
    keys = cell.model_arguments() | {"in_channels": 1, "num_classes": 2, "image_size": size}
    try:
        with torch.device("meta"):
            make_model(cell.architecture, **keys | {"norm": "none"})
    except ValueError:
        return False
    return True


def _place(spec: SweepSpec, name: str) -> FieldPath:
    """Where a spec names a data set."""
    for number, entry in enumerate(spec.grid):
        if name in (named := entry.get("dataset", ())):
            return ("grid", number, "dataset", named.index(name))
    return ("dataset",)
