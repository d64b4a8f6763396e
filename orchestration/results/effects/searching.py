"""What the searches of a sweep have found, setting by setting and against the budget. Pure.

A setting's score is the mean over the search's seeds of the best value, over epochs, of the metric
that chooses settings: accuracy on held-out images. It flatters the best setting, which was chosen
by it; what is reported of that setting is its accuracy with seeds that chose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from orchestration.errors import InputError
from orchestration.model.durations import possible_seconds
from orchestration.model.metric import Metric
from orchestration.model.run import PRUNED
from orchestration.results.cells import Cells
from orchestration.results.spec_cells import SpecCells
from orchestration.results.statistics import Floats, expected_best
from orchestration.sweep.halving import TrialProgress, score
from orchestration.sweep.space import dimensions_of
from orchestration.sweep.spec import SweepSpec
from snn_norm.norms.table import standard_norm

SETTING = "setting"
"""The column with the number of a setting in its cell."""

_RESAMPLES = 2000
_PERMUTATIONS = 500
_SHIFTS = 91
_CONFIDENCE = 0.95


def search_table(
    spec: SweepSpec,
    cells: Cells,
    of_spec: SpecCells,
    tried: pd.DataFrame,
    points: pd.DataFrame,
    outcomes: Mapping[str, str | None],
) -> pd.DataFrame:
    """One row per setting of each cell, in the order of their numbers.

    Args:
        spec: the sweep's spec.
        cells, of_spec: the cells of the sweep.
        tried: the trials of the search by run id, as in ``Cells``, with unfinished ones.
        points: the metric that chooses settings, and ``epoch_seconds``, of these by epoch.
        outcomes: completed, collapsed, diverged or pruned by run id; missing where unfinished.

    Returns:
        The axes; ``setting``; a column for each key of the space, missing where the cell or the
        setting has no such key; the score, named ``best_<metric>``, missing before the first epoch;
        ``epochs`` and ``hours`` that its trials have trained; ``n_seeds`` of its trials have
        finished, of these ``n_collapsed`` and ``n_diverged``; ``state`` (finished, pruned,
        unfinished or waiting); ``is_best``; ``note``, the ends of ranges near
        which its values are; ``cell``, the number of its cell.
    """
    search = spec.search
    assert search is not None
    metric = search.judged_by()
    values: dict[str, list[float]] = {
        str(run): by_run["value"].tolist()
        for run, by_run in points[points["metric"] == metric.name]
        .sort_values(["run_id", "epoch"])
        .groupby("run_id")
    }
    seconds = points.loc[points["metric"] == "epoch_seconds"]
    possible = seconds["value"].map(possible_seconds).astype("float64")
    hours = (possible.groupby(seconds["run_id"]).sum() / 3600).to_dict()
    runs: dict[tuple[int, int], list[str]] = {}
    for run_id, cell, number in tried[["cell", SETTING]].itertuples(name=None):
        runs.setdefault((cell, number), []).append(run_id)
    given = [one.values for _, one in of_spec.settings]
    keys = [key for key in search.space if any(key in one for one in given)]
    dimensions = _dimensions(spec)
    rows = []
    for cell, setting in of_spec.settings:
        its = runs.get((cell, setting.number), [])
        ended = [run for run in its if outcomes.get(run) not in (None, PRUNED)]
        progress = [TrialProgress(values.get(run, ())) for run in its]
        reached = score(progress, metric) if its else -math.inf
        state = "waiting" if not its else "unfinished"
        state = PRUNED if any(outcomes.get(run) == PRUNED for run in its) else state
        rows.append(
            {
                **{axis: cells.table[axis].iloc[cell] for axis in cells.axes},
                SETTING: setting.number,
                **{key: setting.values.get(key) for key in keys},
                metric.best_name: metric.sign * reached if math.isfinite(reached) else math.nan,
                "epochs": sum(len(one.values) for one in progress),
                "hours": sum(hours.get(run, 0.0) for run in its),
                "n_seeds": len(ended),
                "n_collapsed": sum(outcomes[run] == "collapsed" for run in ended),
                "n_diverged": sum(outcomes[run] == "diverged" for run in ended),
                "state": "finished" if len(ended) == search.seeds else state,
                "is_best": cells.best_settings[cell] == setting.number,
                "note": "; ".join(
                    filter(
                        None,
                        (dimensions[cell][k].near_end(v) for k, v in setting.values.items()),
                    )
                ),
                "cell": cell,
            }
        )
    return pd.DataFrame(rows)


def _dimensions(spec: SweepSpec) -> list[dict[str, Any]]:
    assert spec.search is not None
    return [{one.key: one for one in dimensions_of(spec.search.space, raw)} for raw in spec.given()]


def searched_cells(
    table: pd.DataFrame, best: pd.DataFrame, cells: Cells, metric: Metric
) -> pd.DataFrame:
    """What the search of each cell took, its best setting, and what that came to.

    Args:
        table: as of :func:`search_table`.
        best: best of seeds, which are those of ``confirm``.
        cells: the sweep's.
        metric: the metric that chooses settings.

    Returns:
        A row a cell: the axes; ``n_settings`` (tried, of ``n_settings_expected``), ``n_pruned``,
        ``epochs`` and ``hours`` of the search; ``searched_best`` (the best setting's score) and
        ``best_at`` (that setting in words), missing before any has finished; ``mean``, ``ci_low``,
        ``ci_high`` (of the metric that the sweep is judged by, over ``n_seeds`` of
        ``n_expected`` fresh seeds, and its 95 % t-interval); ``note``, the ends of ranges near
        which the best setting is.
    """
    names = [str(name) for name in table]
    keys = names[names.index(SETTING) + 1 : names.index(metric.best_name)]
    rows = []
    for cell, confirmed in enumerate(best.to_dict("records")):
        settings = table[table["cell"] == cell]
        of_best = settings[settings["is_best"]].to_dict("records")
        chosen = of_best[0] if of_best else None
        rows.append(
            {
                **{axis: cells.table[axis].iloc[cell] for axis in cells.axes},
                "n_settings": int(settings["state"].isin(["finished", PRUNED]).sum()),
                "n_settings_expected": len(settings),
                "n_pruned": int((settings["state"] == PRUNED).sum()),
                "epochs": int(settings["epochs"].sum()),
                "hours": float(settings["hours"].sum()),
                "searched_best": chosen[metric.best_name] if chosen else math.nan,
                "best_at": _words({key: chosen[key] for key in keys}) if chosen else "",
                **{name: confirmed[name] for name in ("mean", "ci_low", "ci_high")},
                **{name: int(confirmed[name]) for name in ("n_seeds", "n_expected")},
                "note": chosen["note"] if chosen else "",
            }
        )
    return pd.DataFrame(rows)


def _words(values: Mapping[str, Any]) -> str:
    """A setting in words; keys that it lacks are left out."""
    return ", ".join(
        f"{key} {f'{value:g}' if isinstance(value, float) else value}"
        for key, value in values.items()
        if not pd.isna(value)
    )


def best_of_settings(table: pd.DataFrame, axes: Sequence[str], metric: Metric) -> pd.DataFrame:
    """The expected score of the best of n settings, for each n, one row per cell and n.

    It is the unbiased form of Tang et al. (2020) of the estimate of Dodge et al. (2019), with a 95
    % bootstrap interval over settings. A pruned setting counts with the score that it had reached.

    Args:
        table: as of :func:`search_table`.
        axes: the sweep's axes.
        metric: the metric that chooses settings.

    Returns:
        The axes, ``n``, ``expected_best``, ``ci_low``, ``ci_high``, and ``cell``.
    """
    rows = []
    for cell, settings in table.groupby("cell", sort=True):
        scores = _scores(settings, metric)
        names = {axis: settings[axis].iloc[0] for axis in axes}
        samples = _resampled(scores, metric, np.random.default_rng(0)) if len(scores) else None
        for n in range(1, len(scores) + 1):
            assert samples is not None
            low, high = _interval(samples[:, n - 1])
            expected = expected_best(scores.tolist(), n, metric)
            rows.append(
                {**names, "n": n, "expected_best": expected, "ci_low": low, "ci_high": high}
                | {"cell": cell}
            )
    columns = [*axes, "n", "expected_best", "ci_low", "ci_high", "cell"]
    return pd.DataFrame(rows, columns=columns)


def tuned_gap_by_budget(
    table: pd.DataFrame, axes: Sequence[str], metric: Metric, *, by_norm: bool = False
) -> pd.DataFrame:
    """The gap between the best of n settings with a norm and without, for each budget n.

    Args:
        table, axes, metric: as of :func:`best_of_settings`.
        by_norm: give a row each norm instead of the standard one's alone.

    Returns:
        The axes but ``norm``, ``norm``, ``n_settings``; ``none`` and ``tuned`` (the expected score
        of the best of so many settings, without a norm and with it), ``tuned_gap_pp``,
        ``tuned_ci_low_pp``, ``tuned_ci_high_pp`` (95 % interval by permutation of the settings of
        both sides, so with the choice of the best in it), ``is_standard``.
    """
    others = [axis for axis in axes if axis != "norm"]
    rows = []
    for _, network in table.groupby(others, sort=False, dropna=False):
        names = {axis: network[axis].iloc[0] for axis in others}
        norms = list(dict.fromkeys(network["norm"]))
        standard = standard_norm(names.get("architecture", ""), norms)
        scores = {norm: _scores(network[network["norm"] == norm], metric) for norm in norms}
        if not len(scores.get("none", ())):
            continue
        for norm in norms:
            if norm == "none" or not (by_norm or norm == standard) or not len(scores[norm]):
                continue
            ends = _permuted_intervals(scores[norm], scores["none"], metric)
            for n, (low, high) in enumerate(ends, 1):
                without, with_it = (
                    expected_best(scores[side].tolist(), n, metric) for side in ("none", norm)
                )
                rows.append(
                    {
                        **names,
                        "norm": norm,
                        "n_settings": n,
                        "none": without,
                        "tuned": with_it,
                        "tuned_gap_pp": 100 * (with_it - without),
                        "tuned_ci_low_pp": 100 * low,
                        "tuned_ci_high_pp": 100 * high,
                        "is_standard": norm == standard,
                    }
                )
    columns = ["none", "tuned", "tuned_gap_pp", "tuned_ci_low_pp", "tuned_ci_high_pp"]
    return pd.DataFrame(rows, columns=[*others, "norm", "n_settings", *columns, "is_standard"])


def searched_basin(
    table: pd.DataFrame, axes: Sequence[str], metric: Metric, margin: float
) -> pd.DataFrame:
    """The share of the declared space whose score is near the best one of the cell.

    Args:
        table, axes, metric: as of :func:`best_of_settings`.
        margin: how near, in units of the metric.

    Returns:
        The axes; ``basin`` (the share of the settings tried), ``basin_low``, ``basin_high`` (exact
        95 % interval of Clopper and Pearson: settings are random points of the space), ``best``
        (the best score), ``n_settings``.

    Raises:
        InputError: the margin is negative.
    """
    if not margin >= 0:
        raise InputError(f"points must be 0 or more percentage points, got {100 * margin:g}")
    rows = []
    for _, settings in table.groupby("cell", sort=True):
        scores = metric.sign * _scores(settings, metric)
        n = len(scores)
        names = {axis: settings[axis].iloc[0] for axis in axes}
        if not n:
            rows.append({**names, "n_settings": 0})
            continue
        near = int((scores >= scores.max() - margin - 1e-9).sum())
        rows.append(
            {
                **names,
                "basin": near / n,
                "basin_low": float(stats.beta.ppf(0.025, near, n - near + 1)),
                "basin_high": 1.0
                if near == n
                else float(stats.beta.ppf(0.975, near + 1, n - near)),
                "best": metric.sign * float(scores.max()),
                "n_settings": n,
            }
        )
    columns = ["basin", "basin_low", "basin_high", "best", "n_settings"]
    return pd.DataFrame(rows, columns=[*axes, *columns])


def _scores(settings: pd.DataFrame, metric: Metric) -> Floats:
    return settings[metric.best_name].dropna().to_numpy(float)


def _resampled(scores: Floats, metric: Metric, random: np.random.Generator) -> Floats:
    """The expected best of n scores for each n (columns), of resampled scores (rows)."""
    count = len(scores)
    drawn = np.sort(metric.sign * random.choice(scores, (_RESAMPLES, count)), axis=1)[:, ::-1]
    return metric.sign * (drawn @ _weights(count).T)


def _weights(count: int) -> Floats:
    """How probably the value of a rank (column) is the best of n drawn (row), of so many values."""
    weights = np.zeros((count, count))
    for n in range(1, count + 1):
        ranks = np.arange(1, count - n + 1)
        its = np.cumprod([n / count, *(1 - (n - 1) / (count - ranks))])
        weights[n - 1, : len(its)] = its
    return weights


def _permuted_intervals(first: Floats, second: Floats, metric: Metric) -> list[tuple[float, float]]:
    """95 % intervals of the difference of the expected best of n, first - second, for each n.

    They hold the shifts that a permutation test does not reject: if one side's scores, without the
    shift, were drawn like the other's, exchanging scores between sides changes nothing. A bootstrap
    of the largest values would be too narrow.
    """
    counts, most = (len(first), len(second)), min(len(first), len(second))
    weights = [_weights(count)[:most] for count in counts]
    random = np.random.default_rng(0)
    orders = random.permuted(np.tile(np.arange(sum(counts)), (_PERMUTATIONS, 1)), axis=1)
    orders[0] = np.arange(sum(counts))  # as it is
    spread = float(np.ptp(np.concatenate([first, second]))) or 1e-9
    center = float(metric.sign * (np.max(metric.sign * first) - np.max(metric.sign * second)))
    shifts = center + spread * np.linspace(-1.5, 1.5, _SHIFTS)
    kept = np.zeros((_SHIFTS, most), dtype=bool)
    distances = np.zeros((_SHIFTS, most))
    for number, shift in enumerate(shifts):
        pooled = metric.sign * np.concatenate([first - shift, second])[orders]
        sides = (pooled[:, : counts[0]], pooled[:, counts[0] :])
        best = [
            np.sort(side, axis=1)[:, ::-1] @ weight.T
            for side, weight in zip(sides, weights, strict=True)
        ]
        size = np.abs(best[0] - best[1])
        distances[number] = size[0]
        kept[number] = (size >= size[0] - 1e-12).mean(axis=0) > 1 - _CONFIDENCE
    step = shifts[1] - shifts[0]
    ends = []
    for n in range(most):
        kept[np.argmin(distances[:, n]), n] = True  # an interval may lie between two shifts
        places = np.flatnonzero(kept[:, n])
        ends.append((float(shifts[places[0]] - step), float(shifts[places[-1]] + step)))
    return ends


def _interval(samples: Floats) -> tuple[float, float]:
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)
