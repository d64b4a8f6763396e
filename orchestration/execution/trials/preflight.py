"""Checks resources and data sets before a sweep is started."""

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
"""An image size in pixels that every packaged network accepts."""


def check_resources(spec: SweepSpec, settings: Settings) -> None:
    """Refuse trials that need more than this machine has; clusters are not checked."""
    if settings.ray_address is not None:
        return
    for kind, wanted, present in (
        ("gpu", spec.resources.gpu_count, torch.cuda.device_count()),
        ("cpu", spec.resources.cpu, os.cpu_count() or 1),
    ):
        if wanted > present:
            raise InputError(
                f"resources.{kind}: a trial asks for {wanted:g}, this machine has {present}: "
                f"lower resources.{kind}, or set RAY_ADDRESS to a cluster that has them"
            )


def check_data(spec: SweepSpec, settings: Settings) -> None:
    """Load each data set once, and download those that are missing.

    Raises:
        SpecError: data sets cannot be loaded, or do not fit a network.
    """
    problems = spec.problems()
    cells: dict[str, list[RunConfig]] = {}
    for cell in spec.cells():
        if isinstance(cell, RunConfig):  # the user's own code loads what it needs itself
            cells.setdefault(cell.dataset, []).append(cell)
    for name, its_cells in cells.items():
        try:
            loaded = load_dataset(name, settings.data)
            for cell in its_cells:
                loaded.check_fits(cell.architecture, cell.num_steps)
            parts = ((cell.training_images, cell.validation_fraction) for cell in its_cells)
            for part in dict.fromkeys(parts):
                training_part(loaded, *part)
        except DatasetError as error:
            problems.add(_path_of(spec, name), str(error))
        else:
            for message in filter(None, (_too_small(cell, loaded) for cell in its_cells)):
                problems.add(_path_of(spec, name), message)
    problems.raise_any()


def _too_small(cell: RunConfig, dataset: Dataset) -> str | None:
    """The problem of images that are too small for a packaged network; None if they are not."""
    size = dataset.image_size
    if cell.image_size is not None or is_reference(cell.architecture) or _accepts(cell, size):
        return None
    enough = next((n for n in range(size + 1, _LARGEST) if _accepts(cell, n)), _LARGEST)
    return (
        f"images must be at least {enough}x{enough} for architecture {cell.architecture}, "
        f"{cell.dataset} has {size}x{size}; to resize them: image_size: {enough}"
    )


def _accepts(cell: RunConfig, size: int) -> bool:
    keys = cell.model_arguments() | {"in_channels": 1, "num_classes": 2, "image_size": size}
    try:
        with torch.device("meta"):
            make_model(cell.architecture, **keys | {"norm": "none"})
    except ValueError:
        return False
    return True


def _path_of(spec: SweepSpec, name: str) -> FieldPath:
    """The path at which a spec names a data set."""
    for number, entry in enumerate(spec.grid):
        if name in (named := entry.get("dataset", ())):
            return ("grid", number, "dataset", named.index(name))
    return ("dataset",)
