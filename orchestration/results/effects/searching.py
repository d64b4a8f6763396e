"""The tables of a search: one row per setting, and one row per cell. Pure.

A setting's score is the mean over the search's seeds of the best value, over epochs, of the metric
that chooses settings: accuracy on held-out images. The score of the best setting is too high,
because it was chosen by its score. So its reported accuracy is that of fresh seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from orchestration.model.durations import possible_seconds
from orchestration.model.metric import Metric
from orchestration.model.run import PRUNED
from orchestration.results.cells import Cells
from orchestration.results.columns import setting_words
from orchestration.results.frames import histories
from orchestration.results.spec_cells import SpecCells
from orchestration.sweep.dimension import Dimension
from orchestration.sweep.halving import TrialProgress, score
from orchestration.sweep.space import dimensions_of
from orchestration.sweep.spec import SweepSpec

SETTING = "setting"
"""The column with the number of a setting in its cell."""


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
    values = histories(points[points["metric"] == metric.name])
    seconds = points.loc[points["metric"] == "epoch_seconds"]
    possible = seconds["value"].map(possible_seconds).astype("float64")
    hours = (possible.groupby(seconds["run_id"]).sum() / 3600).to_dict()
    runs: dict[tuple[int, int], list[str]] = {}
    for run_id, cell, number in tried[["cell", SETTING]].itertuples(name=None):
        runs.setdefault((cell, number), []).append(run_id)
    used = {key for _, setting in of_spec.settings for key in setting.values}
    keys = [key for key in search.space if key in used]
    dimensions = dimensions_of_cells(spec)
    rows, best = [], cells.best_settings()
    for cell, setting in of_spec.settings:
        tried_runs = runs.get((cell, setting.number), [])
        ended = [run for run in tried_runs if outcomes.get(run) not in (None, PRUNED)]
        progress = [TrialProgress(values.get(run, ())) for run in tried_runs]
        reached = score(progress, metric) if tried_runs else -math.inf
        state = "waiting" if not tried_runs else "unfinished"
        state = PRUNED if any(outcomes.get(run) == PRUNED for run in tried_runs) else state
        near_ends = (dimensions[cell][k].near_end(v) for k, v in setting.values.items())
        rows.append(
            {
                **{axis: cells.table[axis].iloc[cell] for axis in cells.axes},
                SETTING: setting.number,
                **{key: setting.values.get(key) for key in keys},
                metric.best_name: metric.sign * reached if math.isfinite(reached) else math.nan,
                "epochs": sum(len(trial.values) for trial in progress),
                "hours": sum(hours.get(run, 0.0) for run in tried_runs),
                "n_seeds": len(ended),
                "n_collapsed": sum(outcomes[run] == "collapsed" for run in ended),
                "n_diverged": sum(outcomes[run] == "diverged" for run in ended),
                "state": "finished" if len(ended) == search.seeds else state,
                "is_best": best[cell] == setting.number,
                "note": "; ".join(filter(None, near_ends)),
                "cell": cell,
            }
        )
    return pd.DataFrame(rows)


def dimensions_of_cells(spec: SweepSpec) -> list[dict[str, Dimension]]:
    """The dimensions of the space that each cell has, by key."""
    assert spec.search is not None
    return [
        {dimension.key: dimension for dimension in dimensions_of(spec.search.space, given)}
        for given in spec.given()
    ]


def searched_cells(
    table: pd.DataFrame,
    best: pd.DataFrame,
    cells: Cells,
    metric: Metric,
    counts: Sequence[int],
    rank: int = 0,
) -> pd.DataFrame:
    """The cost of each cell's search, its best setting, and the accuracy with fresh seeds.

    Args:
        table: the table that :func:`search_table` returns.
        best: best of seeds, which are those of ``confirm``.
        cells: the cells of the sweep.
        metric: the metric that chooses settings.
        counts: how many settings each cell tries in the end.
        rank: of which setting; 1 is the next best, and so on.

    Returns:
        One row for each cell: the axes; ``n_settings`` (tried, of ``n_settings_expected``),
        ``n_pruned``, ``epochs`` and ``hours`` of the search; ``searched_best`` (the best
        setting's score) and ``best_at`` (that setting in words), missing before any has finished;
        ``mean``, ``ci_low``, ``ci_high`` (of the metric that the sweep is judged by, over
        ``n_seeds`` of ``n_expected`` fresh seeds, and its 95 % t-interval); ``note``, the ends of
        ranges near which the best setting is, or that no setting has learned anything.
    """
    names = [str(name) for name in table]
    keys = names[names.index(SETTING) + 1 : names.index(metric.best_name)]
    rows = []
    for cell, confirmed in enumerate(best.to_dict("records")):
        settings = table[table["cell"] == cell]
        number = cells.best_settings(rank)[cell]
        of_best = settings[settings[SETTING] == number].to_dict("records")
        chosen = of_best[0] if of_best else None
        learned = (settings["n_seeds"] > settings["n_collapsed"] + settings["n_diverged"]).any()
        nothing = "every setting collapsed or diverged" if chosen and not learned else ""
        rows.append(
            {
                **{axis: cells.table[axis].iloc[cell] for axis in cells.axes},
                "n_settings": int(settings["state"].isin(["finished", PRUNED]).sum()),
                "n_settings_expected": counts[cell],
                "n_pruned": int((settings["state"] == PRUNED).sum()),
                "epochs": int(settings["epochs"].sum()),
                "hours": float(settings["hours"].sum()),
                "searched_best": chosen[metric.best_name] if chosen else math.nan,
                "best_at": setting_words({key: chosen[key] for key in keys}) if chosen else "",
                **{name: confirmed[name] for name in ("mean", "ci_low", "ci_high")},
                **{name: int(confirmed[name]) for name in ("n_seeds", "n_expected")},
                "note": nothing or (chosen["note"] if chosen else ""),
            }
        )
    return pd.DataFrame(rows)
