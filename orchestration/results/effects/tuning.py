"""What is left of a gap when each side is tuned, and how many settings of a network train. Pure.

A *network* is an architecture and a value of each axis that says which network is trained on which
images, at what expense. Its *settings* are the values of the other axes, TUNED_KEYS: how it starts
and how it is trained. Which setting is the best is decided by the mean over seeds of the accuracy
that selected the epochs: on held-out images, where there are any. What is reported of a setting is
its test accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_SET
from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY
from orchestration.results.columns import (
    AS_BUILT,
    SELECTED_ON,
    TUNED_KEYS,
    plain,
    shortfall,
)
from orchestration.results.statistics import paired_differences, t_interval
from snn_norm.norms.table import standard_norm

SELECTING_ACCURACY = "selecting_accuracy"
"""The column of each trial's accuracy, in its best epoch, on the images that selected that."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Setting:
    """A norm's cell: the values of the tuned axes, and each seed's accuracies.

    Args:
        values: by axis.
        as_built: whether they are the reference's.
        test, selecting: accuracy by seed; 0 of a trial that diverged before its first epoch ended.
        lacks: what the cell lacks, in words.
    """

    values: dict[str, Any]
    as_built: bool
    test: dict[int, float]
    selecting: dict[int, float]
    lacks: str

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.test.values()))) if self.test else math.nan

    @property
    def words(self) -> str:
        """Its values, such as ``threshold 0.3, init kaiming``; empty where there is one alone."""
        given = {axis: value for axis, value in self.values.items() if value is not None}
        shown = (
            f"{axis} {f'{one:g}' if isinstance(one, float) else one}" for axis, one in given.items()
        )
        return ", ".join(shown)


@dataclass
class _Network:
    values: dict[str, Any]
    selected_on: Any
    norms: dict[str, list[_Setting]] = field(default_factory=dict)

    def as_built(self, norm: str) -> _Setting | None:
        """The reference's setting, if it was tried."""
        return next((one for one in self.norms.get(norm, ()) if one.as_built), None)

    def are_alike(self, norms: Iterable[str]) -> bool:
        """Whether these norms were tried with the same settings."""
        first, *others = ({one.words for one in self.norms.get(norm, ())} for norm in norms)
        return all(one == first for one in others)

    def tuned(self, norm: str) -> _Setting | None:
        """A norm's best setting, the first of equals; None without a result."""
        tried = [setting for setting in self.norms.get(norm, []) if setting.test]
        return max(tried, key=lambda one: np.mean(list(one.selecting.values())), default=None)


def has_settings(axes: Iterable[str]) -> bool:
    """Whether a sweep has an axis to tune."""
    return not set(axes).isdisjoint(TUNED_KEYS)


def with_selecting(seeds: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Trials with the accuracy that selected their best epoch.

    Args:
        seeds: one row per trial, as ``Results.by_seed`` gives it.
        held_out: accuracies on held-out images by ``run_id`` and ``epoch``, as ``value``.
    """
    in_best = seeds[["run_id", BEST_EPOCH]].merge(
        held_out, "left", left_on=["run_id", BEST_EPOCH], right_on=["run_id", "epoch"]
    )
    of_test_set = seeds[BEST_TEST_ACCURACY].where(seeds[SELECTED_ON] == TEST_SET, in_best["value"])
    return seeds.assign(**{SELECTING_ACCURACY: of_test_set})


def tuned_gap(
    cells: pd.DataFrame, seeds: pd.DataFrame, axes: Sequence[str], *, by_norm: bool = False
) -> pd.DataFrame:
    """Give the gap as built, and tuned against tuned.

    Args:
        cells: best of seeds, a row a cell, with the column ``as_built`` besides.
        seeds: a row a trial: ``cell`` (its row there), ``seed``, ``best_test_accuracy`` and
            ``selecting_accuracy``.
        axes: the columns of ``cells`` that tell them apart.
        by_norm: give a row each norm instead of the standard one's alone.

    Returns:
        A row a network, or a row each norm of it but none: ``architecture``, ``norm``, the axes
        that are not tuned; ``built_none``, ``built`` (mean test accuracy over seeds at the
        reference's setting, without a norm and with it; NaN where the sweep has no such setting),
        ``built_gap_pp``, ``built_ci_low_pp``, ``built_ci_high_pp`` (mean difference over the seeds
        that both have, and its 95 % t-interval, in percentage points); ``tuned_none``, ``tuned``,
        ``tuned_gap_pp``, ``tuned_ci_low_pp``, ``tuned_ci_high_pp``, the same of each side's best
        setting; ``none_at``, ``norm_at``, those settings in words; ``is_standard``; ``note``, what
        they lack; ``selected_on``, the images that chose epochs and settings.
    """
    rows = []
    for network in _networks(cells, seeds, axes):
        standard = standard_norm(network.values["architecture"], network.norms)
        for norm in network.norms:
            if norm == "none" or not (by_norm or norm == standard):
                continue
            sides = {
                "built": (network.as_built("none"), network.as_built(norm)),
                "tuned": (network.tuned("none"), network.tuned(norm)),
            }
            numbers = {k: v for side, pair in sides.items() for k, v in _gap(side, *pair).items()}
            none, own = sides["tuned"]
            rows.append(
                {
                    **_keys(network, norm),
                    **numbers,
                    "none_at": none.words if none else "",
                    "norm_at": own.words if own else "",
                    "is_standard": norm == standard,
                    "note": _note(network, {"none": none, norm: own}),
                    SELECTED_ON: network.selected_on,
                }
            )
    accuracies = [
        f"{side}{part}"
        for side in ("built", "tuned")
        for part in ("_none", "", "_gap_pp", "_ci_low_pp", "_ci_high_pp")
    ]
    columns = [*accuracies, "none_at", "norm_at", "is_standard", "note", SELECTED_ON]
    table = pd.DataFrame(rows, columns=[*_key_names(axes), *columns])
    return table.astype({"is_standard": "bool"})


def basin(
    cells: pd.DataFrame, seeds: pd.DataFrame, axes: Sequence[str], points: float = 2.0
) -> pd.DataFrame:
    """Give the share of the settings that end near the best one.

    Args:
        cells, seeds, axes: as of :func:`tuned_gap`.
        points: how near, in percentage points of the mean test accuracy over seeds.

    Returns:
        A row each norm of a network: ``architecture``, ``norm``, the axes that are not tuned;
        ``basin`` (share of the settings that have results, a fraction, within ``points`` of the
        norm's own best setting), ``basin_low``, ``basin_high`` (what is certain: see below);
        ``basin_of_all``, ``basin_of_all_low``, ``basin_of_all_high``, the same with the best
        setting of all norms of that network; ``best`` (mean test accuracy at its own best
        setting), ``best_at`` (that setting in words), ``n_settings`` (with results),
        ``n_settings_expected``; ``note``; ``selected_on``, the images that chose the best setting.

        Each setting's difference to the best one, paired by seed, has a t-interval of confidence
        1 - 5 % / (number of settings compared), so that all hold at once with 95 %. Settings whose
        interval lies within the margin are certain to be in (``low``); those whose interval lies
        outside are certain not to be (``high`` counts all others). A setting with a single seed,
        or with none, is never certain.

    Raises:
        InputError: points is negative.
    """
    if not points >= 0:
        raise InputError(f"points must be 0 or more percentage points, got {points}")
    rows = []
    for network in _networks(cells, seeds, axes):
        bests = {norm: network.tuned(norm) for norm in network.norms}
        known = [one for one in bests.values() if one is not None]
        top = max(known, key=lambda one: np.mean(list(one.selecting.values())), default=None)
        for norm, settings in network.norms.items():
            best = bests[norm]
            rows.append(
                {
                    **_keys(network, norm),
                    **_shares("basin", settings, best, points / 100),
                    **_shares("basin_of_all", settings, top, points / 100),
                    "best": best.mean if best else math.nan,
                    "best_at": best.words if best else "",
                    "n_settings": sum(bool(setting.test) for setting in settings),
                    "n_settings_expected": len(settings),
                    "note": _basin_note(network, settings, best),
                    SELECTED_ON: network.selected_on,
                }
            )
    shares = [f"{of}{end}" for of in ("basin", "basin_of_all") for end in ("", "_low", "_high")]
    columns = [*shares, "best", "best_at", "n_settings", "n_settings_expected", "note"]
    return pd.DataFrame(rows, columns=[*_key_names(axes), *columns, SELECTED_ON])


def _shares(
    name: str, settings: Sequence[_Setting], best: _Setting | None, margin: float
) -> dict[str, float]:
    """The share of settings within the margin of the best one, and its certain ends."""
    names = (name, f"{name}_low", f"{name}_high")
    if best is None:
        return dict.fromkeys(names, math.nan)
    others = [setting for setting in settings if setting is not best]
    near = sure = possible = int(len(others) < len(settings))
    measured = near + sum(bool(setting.test) for setting in others)
    for setting in others:
        differences = _paired(setting, best)
        n = len(differences)
        mean = float(differences.mean()) if n else math.nan
        std = float(differences.std(ddof=1)) if n > 1 else math.nan
        confidence = 1 - 0.05 / len(others)
        low, high = t_interval(np.array(mean), np.array(std), np.array(n), confidence)
        near += mean >= -margin - _ROUNDING
        sure += float(low) >= -margin - _ROUNDING
        possible += not float(high) < -margin - _ROUNDING
    total = len(settings)
    shares = (near / measured if measured else math.nan, sure / total, possible / total)
    return dict(zip(names, shares, strict=True))


def _gap(side: str, none: _Setting | None, own: _Setting | None) -> dict[str, float]:
    found = {f"{side}_none": none.mean if none else math.nan, side: own.mean if own else math.nan}
    names = [f"{side}{part}" for part in ("_gap_pp", "_ci_low_pp", "_ci_high_pp")]
    if none is None or own is None:
        return found | dict.fromkeys(names, math.nan)
    differences = _paired(own, none)
    told = paired_differences(differences, np.zeros(len(differences)))
    values = (100 * told[name] for name in ("difference", "ci_low", "ci_high"))
    return found | dict(zip(names, values, strict=True))


def _paired(first: _Setting, second: _Setting) -> np.ndarray[Any, np.dtype[np.float64]]:
    """First - second, of each seed that both have."""
    common = sorted(first.test.keys() & second.test.keys())
    return np.array([first.test[seed] - second.test[seed] for seed in common], dtype=float)


def _networks(cells: pd.DataFrame, seeds: pd.DataFrame, axes: Sequence[str]) -> list[_Network]:
    """The cells by network and norm, in their order."""
    kept = [axis for axis in axes if axis != "norm" and axis not in TUNED_KEYS]
    tuned = [axis for axis in axes if axis in TUNED_KEYS]
    known = seeds.fillna({BEST_TEST_ACCURACY: 0.0, SELECTING_ACCURACY: 0.0})
    of_cell = dict(iter(known.groupby("cell")))
    networks: dict[tuple[Any, ...], _Network] = {}
    for number, cell in enumerate(cells.to_dict("records")):
        if pd.isna(cell["norm"]):  # of another program
            continue
        values = {axis: plain(cell[axis]) for axis in kept}
        at = {axis: plain(cell[axis]) for axis in tuned}
        network = networks.get(tuple(values.values()))
        if network is None:
            network = _Network(values, cell[SELECTED_ON])
            networks[tuple(values.values())] = network
        trials = of_cell.get(number)
        test, selecting = (
            {} if trials is None else dict(zip(trials["seed"], trials[name], strict=True))
            for name in (BEST_TEST_ACCURACY, SELECTING_ACCURACY)
        )
        network.norms.setdefault(cell["norm"], []).append(
            _Setting(at, cell[AS_BUILT], test, selecting, shortfall(cell))
        )
    return list(networks.values())


def _key_names(axes: Sequence[str]) -> list[str]:
    return [axis for axis in axes if axis not in TUNED_KEYS]


def _keys(network: _Network, norm: str) -> dict[str, Any]:
    return {**network.values, "norm": norm}


def _note(network: _Network, settings: Mapping[str, _Setting | None]) -> str:
    lacks = [f"{norm}: {one.lacks}" for norm, one in settings.items() if one and one.lacks]
    lacks += [f"{norm}: no results" for norm, one in settings.items() if one is None]
    if not network.are_alike(settings):
        lacks.append("not the same settings tried")
    return "; ".join(lacks)


def _basin_note(network: _Network, settings: Sequence[_Setting], best: _Setting | None) -> str:
    missing = sum(not setting.test for setting in settings)
    notes = [f"{missing} of {len(settings)} settings without results"] if missing else []
    if best is not None and best.lacks:  # collapsed, as where no setting trains
        notes.append(f"best setting: {best.lacks}")
    if not network.are_alike(network.norms):
        notes.append("not all norms were tried with the same settings")
    return "; ".join(notes)
