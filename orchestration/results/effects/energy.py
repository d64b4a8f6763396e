"""The synaptic operations of a trained network per image, and an estimate of their energy. Pure.

Spike rates are those of the trial's best epoch, on the test set.
:mod:`snn_norm.networks.operations` says what is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from orchestration.model.metric import SPIKE_RATE
from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY
from orchestration.results.columns import SELECTED_ON
from orchestration.results.statistics import t_interval
from snn_norm.data.table import DATASETS
from snn_norm.networks.operations import operations
from snn_norm.networks.table import Trunk, make_trunk
from snn_norm.norms.table import ARCHITECTURES

_SUMMED = ("accumulates", "multiply_accumulates", "energy_nj", "folded_energy_nj")
"""The columns that are counted for each layer, and summed for a network."""


class Sample(NamedTuple):
    """The input and output sizes of a trial's network."""

    channels: int
    image_size: int
    """Height and width in pixels."""
    classes: int
    sequences: bool = False
    """Whether it is a sequence of frames, not an image."""


def samples_of(trials: pd.DataFrame, recorded: Mapping[str, str]) -> dict[str, Sample]:
    """The sample of each trial's network by run id, where it is known.

    Args:
        trials: one row for each trial: ``run_id``, ``dataset``, ``image_size``.
        recorded: the tag ``snn_sweep.sample`` by run id. Earlier runs lack it, but the samples of
            packaged data sets are known.
    """
    samples = {}
    for trial in trials.to_dict("records"):
        run_id, packaged = str(trial["run_id"]), DATASETS.get(str(trial.get("dataset")))
        if run_id in recorded:
            samples[run_id] = Sample(**json.loads(recorded[run_id]))
        elif packaged is not None and not pd.isna(size := trial.get("image_size")):
            samples[run_id] = Sample(packaged.channels, int(size), packaged.classes)
    return samples


def operations_of(
    trials: pd.DataFrame, rates: pd.DataFrame, samples: Mapping[str, Sample]
) -> pd.DataFrame:
    """Count the operations of trials' networks, layer by layer.

    Args:
        trials: one row for each trial: ``run_id``, its parameters by name, ``best_epoch``.
        rates: one row for each trial and epoch: ``run_id``, ``epoch``, ``spike_rate.<layer>``.

    Returns:
        One row for each trial and layer, in the network's order: ``run_id``, ``layer``,
        ``accumulates``, ``multiply_accumulates``, ``energy_nj``, ``folded_energy_nj``, all per
        image. A trial has no rows if its network is the user's own, the shape of its data is not
        recorded, or it has no best epoch or no spike rates.
    """
    layers = [name for name in map(str, rates) if name.startswith(SPIKE_RATE)]
    by_epoch = rates.set_index(["run_id", "epoch"])[layers]
    rows: list[tuple[Any, ...]] = []
    for trial in trials.to_dict("records"):
        run_id, epoch = str(trial["run_id"]), trial.get(BEST_EPOCH)
        known = trial.get("architecture") in ARCHITECTURES and run_id in samples
        if not known or pd.isna(epoch) or (run_id, epoch) not in by_epoch.index:
            continue
        measured = by_epoch.loc[(run_id, epoch)].dropna()
        found = {name[len(SPIKE_RATE) :]: float(rate) for name, rate in measured.items()}
        trunk = _trunk(trial)
        if trial["architecture"] == "snn" and not trunk.spiking <= found.keys():
            continue
        sample = samples[run_id]
        counted = operations(
            trunk,
            str(trial["norm"]),
            in_channels=sample.channels,
            num_classes=sample.classes,
            image_size=sample.image_size,
            num_steps=_number(trial, "num_steps") if trial["architecture"] == "snn" else None,
            rates=found,
            sequences=sample.sequences,
        )
        rows += [
            (
                *(run_id, layer.layer, layer.accumulates, layer.multiply_accumulates),
                *(layer.nanojoules, layer.folded_nanojoules),
            )
            for layer in counted
        ]
    return pd.DataFrame(rows, columns=["run_id", "layer", *_SUMMED])


def energy(trials: pd.DataFrame, counted: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Sum the operations of each cell.

    Args:
        trials: one row for each trial that counts: ``run_id``, ``cell``, ``best_test_accuracy``.
        counted: the table of :func:`operations_of`.
        cells: one row for each cell, whose number is its index: the axes, ``selected_on``.

    Returns:
        One row for each cell that has any, whose number is the index. ``docs/analyses.md`` has the
        columns.
    """
    sums = counted.groupby("run_id")[list(_SUMMED)].sum()
    joined = trials[["run_id", "cell", BEST_TEST_ACCURACY]].join(sums, on="run_id", how="inner")
    by_cell = joined.drop(columns="run_id").groupby("cell")
    means = by_cell[[BEST_TEST_ACCURACY, *sums]].mean()
    means = means.rename(columns={BEST_TEST_ACCURACY: "accuracy"})
    n = by_cell.size()
    deviations = by_cell.std()
    for name in ("energy", "folded_energy"):
        mean, std = (frame[f"{name}_nj"].to_numpy("float64") for frame in (means, deviations))
        low, high = t_interval(mean, std, n.to_numpy("int64"))
        means[f"{name}_ci_low"], means[f"{name}_ci_high"] = low, high
    means["n_seeds"] = n
    axes = [str(name) for name in cells if name != SELECTED_ON]
    known = cells.loc[means.index.astype("int64")]
    table = pd.concat([known[axes], means.set_axis(known.index)], axis="columns")
    return table.assign(**{SELECTED_ON: known[SELECTED_ON]})


def _trunk(trial: Mapping[Any, Any]) -> Trunk:
    # A run without a trunk was recorded before there was another than the reference.
    name, shortcut = (
        None if pd.isna(value) else str(value)
        for value in (trial.get("trunk"), trial.get("shortcut"))
    )
    return make_trunk(
        name or "reference", _number(trial, "width"), _number(trial, "depth"), shortcut
    )


def _number(trial: Mapping[Any, Any], name: str) -> int | None:
    value = trial.get(name)
    return None if pd.isna(value) else int(value)
