"""The gap if both sides are tuned, and the share of a network's settings that train well. Pure.

A *network* is an architecture with a value of each axis that decides which network is trained on
which images, and for how long. Its *settings* are the values of the other axes, TUNED_KEYS, which
decide how it is initialized and trained. The best setting is the one with the highest mean over
seeds of the accuracy that selected the epochs, which is on held-out images if there are any. The
accuracy that is reported for a setting is its test accuracy.
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
from orchestration.results.columns import AS_BUILT, SELECTED_ON, plain, setting_words, shortfall
from orchestration.results.statistics import moments, paired_differences, t_interval
from orchestration.sweep.space import TUNED_KEYS
from snn_norm.norms.table import standard_norm

SELECTING_ACCURACY = "selecting_accuracy"
"""The column with each trial's accuracy on the images that selected its best epoch."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Setting:
    """The cell of a network and a norm: the values of the tuned axes, and each seed's accuracies.

    Args:
        as_built: whether these are the reference's.
        test, selecting: the accuracy by seed; 0 if the trial diverged before its first epoch ended.
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
        """Its values, such as ``threshold 0.3, init kaiming``; empty if no axis is tuned."""
        return setting_words(self.values)


@dataclass
class _Network:
    values: dict[str, Any]
    selected_on: Any
    norms: dict[str, list[_Setting]] = field(default_factory=dict)

    def as_built(self, norm: str) -> _Setting | None:
        """The reference's setting, if it was tried."""
        return next((tried for tried in self.norms.get(norm, ()) if tried.as_built), None)

    def are_alike(self, norms: Iterable[str]) -> bool:
        """Whether these norms were tried with the same settings."""
        tried = [{setting.words for setting in self.norms.get(norm, ())} for norm in norms]
        return all(words == tried[0] for words in tried)

    def tuned(self, norm: str) -> _Setting | None:
        """A norm's best setting, the first of equals; None without a result."""
        return _best(setting for setting in self.norms.get(norm, ()) if setting.test)


def _best(settings: Iterable[_Setting]) -> _Setting | None:
    """The setting with the highest mean of the accuracy that selects, the first of equals."""
    return max(settings, key=lambda tried: np.mean(list(tried.selecting.values())), default=None)


def has_settings(axes: Iterable[str]) -> bool:
    """Whether a sweep has an axis to tune."""
    return not set(axes).isdisjoint(TUNED_KEYS)


def with_selecting(seeds: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Trials with the accuracy that selected their best epoch.

    Args:
        seeds: one row per trial, from ``Results.by_seed``.
        held_out: the accuracies on held-out images: ``run_id``, ``epoch`` and ``value``.
    """
    in_best = seeds[["run_id", BEST_EPOCH]].merge(
        held_out, "left", left_on=["run_id", BEST_EPOCH], right_on=["run_id", "epoch"]
    )
    of_test_set = seeds[BEST_TEST_ACCURACY].where(seeds[SELECTED_ON] == TEST_SET, in_best["value"])
    return seeds.assign(**{SELECTING_ACCURACY: of_test_set})


def tuned_gap(
    cells: pd.DataFrame, seeds: pd.DataFrame, axes: Sequence[str], *, by_norm: bool = False
) -> pd.DataFrame:
    """Return the gap at the reference's setting, and the gap at each side's best setting.

    Args:
        cells: best of seeds, one row per cell, with the additional column ``as_built``.
        seeds: one row per trial: ``cell`` (the number of its row there), ``seed``,
            ``best_test_accuracy`` and ``selecting_accuracy``.
        axes: the columns of ``cells`` that distinguish them.
        by_norm: return one row per norm, not only that of the standard norm.

    Returns:
        One row per network, or one per network and norm. ``docs/analyses.md`` has the columns.
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
                    **network.values,
                    "norm": norm,
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
    """Return the share of the settings that are nearly as accurate as the best one.

    Args:
        cells, seeds, axes: see :func:`tuned_gap`.
        points: how near, in percentage points of the mean test accuracy over seeds.

    Returns:
        One row per network and norm. ``docs/analyses.md`` has the columns, and says how the bounds
        of the shares are computed.

    Raises:
        InputError: points is negative.
    """
    if not points >= 0:
        raise InputError(f"points must be 0 or more percentage points, got {points}")
    rows = []
    for network in _networks(cells, seeds, axes):
        bests = {norm: network.tuned(norm) for norm in network.norms}
        top = _best(best for best in bests.values() if best is not None)
        for norm, settings in network.norms.items():
            best = bests[norm]
            rows.append(
                {
                    **network.values,
                    "norm": norm,
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
    """The share of settings within the margin of the best one, and its bounds."""
    names = (name, f"{name}_low", f"{name}_high")
    if best is None:
        return dict.fromkeys(names, math.nan)
    others = [setting for setting in settings if setting is not best]
    near = sure = possible = int(len(others) < len(settings))
    measured = near + sum(bool(setting.test) for setting in others)
    for setting in others:
        sample = moments(_paired(setting, best))
        low, high = t_interval(*sample, 1 - 0.05 / len(others))
        near += float(sample[0]) >= -margin - _ROUNDING
        sure += float(low) >= -margin - _ROUNDING
        possible += not float(high) < -margin - _ROUNDING
    total = len(settings)
    shares = (near / measured if measured else math.nan, sure / total, possible / total)
    return dict(zip(names, shares, strict=True))


def _gap(side: str, none: _Setting | None, own: _Setting | None) -> dict[str, float]:
    means = {f"{side}_none": none.mean if none else math.nan, side: own.mean if own else math.nan}
    names = [f"{side}{part}" for part in ("_gap_pp", "_ci_low_pp", "_ci_high_pp")]
    if none is None or own is None:
        return means | dict.fromkeys(names, math.nan)
    differences = _paired(own, none)
    test = paired_differences(differences, np.zeros(len(differences)))
    values = (100 * test[name] for name in ("difference", "ci_low", "ci_high"))
    return means | dict(zip(names, values, strict=True))


def _paired(first: _Setting, second: _Setting) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The difference first - second for each seed that both have."""
    common = sorted(first.test.keys() & second.test.keys())
    return np.array([first.test[seed] - second.test[seed] for seed in common], dtype=float)


def _networks(cells: pd.DataFrame, seeds: pd.DataFrame, axes: Sequence[str]) -> list[_Network]:
    """The networks with their norms and settings, in the order of the cells."""
    kept = [axis for axis in axes if axis != "norm" and axis not in TUNED_KEYS]
    tuned = [axis for axis in axes if axis in TUNED_KEYS]
    known = seeds.fillna({BEST_TEST_ACCURACY: 0.0, SELECTING_ACCURACY: 0.0})
    of_cell = dict(iter(known.groupby("cell")))
    networks: dict[tuple[Any, ...], _Network] = {}
    for number, cell in enumerate(cells.to_dict("records")):
        if pd.isna(cell["norm"]):  # another program recorded it
            continue
        values = {axis: plain(cell[axis]) for axis in kept}
        at = {axis: plain(cell[axis]) for axis in tuned}
        new = _Network(values, cell[SELECTED_ON])
        network = networks.setdefault(tuple(values.values()), new)
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


def _note(network: _Network, settings: Mapping[str, _Setting | None]) -> str:
    lacks = [f"{norm}: {best.lacks}" for norm, best in settings.items() if best and best.lacks]
    lacks += [f"{norm}: no results" for norm, best in settings.items() if best is None]
    if not network.are_alike(settings):
        lacks.append("not the same settings tried")
    return "; ".join(lacks)


def _basin_note(network: _Network, settings: Sequence[_Setting], best: _Setting | None) -> str:
    missing = sum(not setting.test for setting in settings)
    notes = [f"{missing} of {len(settings)} settings without results"] if missing else []
    if best is not None and best.lacks:  # it collapsed if no setting trains
        notes.append(f"best setting: {best.lacks}")
    if not network.are_alike(network.norms):
        notes.append("not all norms were tried with the same settings")
    return "; ".join(notes)
