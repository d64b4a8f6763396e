"""How the evidence of each declared comparison grew, pair by pair of seeds. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestration.results.columns import SELECTED_ON
from orchestration.results.deciding.decisions import declared_rule, trials_by_cell
from orchestration.results.deciding.sequential import UNDECIDED
from orchestration.results.deciding.state import decision_state, interval_shown, level_of
from orchestration.results.deciding.verdicts import verdict_of
from orchestration.sweep.spec import SweepSpec


def evidence_curves(cells: pd.DataFrame, seeds: pd.DataFrame, spec: SweepSpec) -> pd.DataFrame:
    """Return one row for each comparison and pair, in the spec's order of both.

    Args:
        cells, seeds, spec: see ``decisions.decisions``; the spec declares comparisons.

    Returns:
        The axes of the first cell; ``compared``, ``against``; ``n`` (pairs so far) and the
        ``seed`` of the last; ``e_value``, ``p``, and the interval's ends (see ``decisions``);
        ``bound`` (what 1/p has to reach at this pair to be found different, by Holm's method);
        ``verdict`` (at the pair at which it was
        decided, else missing); ``selected_on``; ``cell``, of the first.

    Raises:
        InputError: the spec declares no comparisons.
    """
    rule = declared_rule(spec)
    metric = spec.judged_by()
    low, high = (metric.difference(name) for name in ("ci_low", "ci_high"))
    now = decision_state(spec, trials_by_cell(cells, seeds))
    axes = [str(name) for name in cells if name != SELECTED_ON]
    rows = []
    for number, (one, pairs, found, verdict, look) in enumerate(
        zip(now.comparisons, now.pairs, now.found, now.verdicts, now.looks, strict=True)
    ):
        names = cells.loc[one.first]
        decided_at = 0 if verdict == UNDECIDED else min(int(look), len(pairs.seeds))
        for n, seed in enumerate(pairs.seeds, 1):
            ends = interval_shown(pairs.upto(n), found, rule, len(now.pairs))
            rows.append(
                {
                    **names[axes].to_dict(),
                    "compared": one.axis,
                    "against": cells.loc[one.second, one.axis],
                    "n": n,
                    "seed": seed,
                    "e_value": float(np.exp(found.log_e[n - 1])),
                    "p": float(found.p[n - 1]),
                    low: metric.scale * ends[0],
                    high: metric.scale * ends[1],
                    "bound": 1 / level_of(now, rule, n, but=number),
                    "verdict": (
                        verdict_of(verdict, pairs.upto(n), rule, metric)
                        if n == decided_at
                        else None
                    ),
                    SELECTED_ON: names[SELECTED_ON],
                    "cell": one.first,
                }
            )
    columns = ["compared", "against", "n", "seed", "e_value", "p", low, high]
    return pd.DataFrame(rows, columns=[*axes, *columns, "bound", "verdict", SELECTED_ON, "cell"])
