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
    collapsed,
    contenders,
    ended,
    recorded,
)
from orchestration.errors import InputError
from orchestration.results.results import Results
from snn_norm.training.diagnostics import DIAGNOSTICS


def separation(sweeps: Mapping[str, Results]) -> pd.DataFrame:
    """The areas under the ROC curve, of spiking trials that learned against those that collapsed.

    Args:
        sweeps: by the name that heads their column; one without trials of both kinds is left out.

    Raises:
        InputError: no sweep has both.
    """
    rows = {name: rows_of(results) for name, results in sweeps.items()}
    both = {name: of for name, of in rows.items() if len(set(collapsed(of))) == 2}
    if not both:
        raise InputError("no sweep has both trials that learned and trials that collapsed")
    made = ended(recorded(RECORDED), MADE_ON)
    table = pd.DataFrame({"before the first step": list(contenders(made))})
    for name, of in both.items():
        heading = f"{name} ({collapsed(of).sum()} of {len(of)} collapsed)"
        areas = [area(scorer(of), collapsed(of)) for scorer in contenders(made).values()]
        table[heading] = [f"{value:.3f}" for value in areas]
    return table


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
