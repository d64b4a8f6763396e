"""Which number of the layers, before the first step, tells the trials that train from the others.

The contenders are those of :mod:`benchmarks.prediction`: its rule, and of each diagnostic the layer
and the sign that did best on the trials that the rule was made on. None was made on a trial of a
sweep on the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from benchmarks.prediction import (
    MADE_ON,
    RECORDED,
    Row,
    area,
    by_rule,
    collapsed,
    contenders,
    ended,
    recorded,
)
from orchestration.errors import InputError
from orchestration.results.results import Results
from snn_norm.training.diagnostics import DIAGNOSTICS
from snn_norm.training.prediction import COLLAPSES_BELOW


def separation(sweeps: Mapping[str, Results]) -> pd.DataFrame:
    """How contenders separate trials that learned from those that collapsed, as the page shows it.

    Args:
        sweeps: by the name that heads their column; one without trials of both kinds is left out.

    Raises:
        InputError: no sweep has both.
    """
    rows = {name: rows_of(results) for name, results in sweeps.items()}
    both = {name: of for name, of in rows.items() if len(set(collapsed(of))) == 2}
    if not both:
        raise InputError("no sweep has both trials that learned and trials that collapsed")
    of_rule = mistakes(both)
    table = areas(both).map("{:.3f}".format)
    table.loc["false warnings of the rule"] = [
        f"{row.false_warnings} of {row.learned}" for row in of_rule.itertuples()
    ]
    table.loc["collapses that it missed"] = [
        f"{row.missed} of {row.collapsed}" for row in of_rule.itertuples()
    ]
    headings = {
        name: f"{name} ({of_rule.collapsed[name]} of {len(of)} collapsed)"
        for name, of in both.items()
    }
    return table.rename(columns=headings).rename_axis("before the first step").reset_index()


def areas(rows: Mapping[str, list[Row]]) -> pd.DataFrame:
    """The areas under the ROC curve: one row per contender, one column per sweep."""
    made = contenders(ended(recorded(RECORDED), MADE_ON))
    return pd.DataFrame(
        {
            name: [area(scorer(of), collapsed(of)) for scorer in made.values()]
            for name, of in rows.items()
        },
        index=list(made),
    )


def mistakes(rows: Mapping[str, list[Row]]) -> pd.DataFrame:
    """The rule's at its threshold: one row per sweep.

    Returns:
        ``learned``, ``false_warnings`` (those of which it foretold a collapse), ``collapsed``,
        ``missed`` (those of which it did not).
    """
    counts = {}
    for name, of in rows.items():
        warned, lost = by_rule(of) < COLLAPSES_BELOW, collapsed(of)
        counts[name] = {
            "learned": (~lost).sum(),
            "false_warnings": (warned & ~lost).sum(),
            "collapsed": lost.sum(),
            "missed": (~warned & lost).sum(),
        }
    return pd.DataFrame.from_dict(counts, orient="index")


def rows_of(results: Results) -> list[Row]:
    """A sweep's spiking trials that did not diverge, as :mod:`benchmarks.prediction` has them."""
    trials = results.trials()
    wanted = trials[(trials["architecture"] == "snn") & (trials["outcome"] != "diverged")]
    outcomes = wanted.set_index("run_id")["outcome"]
    diagnostics = results.diagnostics()
    start = diagnostics[(diagnostics["epoch"] == 0) & diagnostics["run_id"].isin(outcomes.index)]
    return [
        {
            "outcome": outcomes[run_id],
            "layers": list(layers["layer"]),
            **{
                name: [None if math.isnan(value) else value for value in layers[name]]
                for name in DIAGNOSTICS
            },
        }
        for run_id, layers in start.groupby("run_id", sort=False)
    ]
