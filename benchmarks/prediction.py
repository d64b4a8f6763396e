"""Whether a trial will collapse, foretold from its diagnostics before the first step.

    python -m benchmarks.prediction                      # the table, from the recorded trials
    python -m benchmarks.prediction --train FILE         # trains those that FILE has not yet

Random norms, starts, thresholds, slopes, depths, shortcuts and seeds, on digits. The rule is that
of :mod:`snn_norm.training.prediction`, beside each single diagnostic: of a diagnostic, the layer
and the sign that do best on the trials that the rule was made on. The areas under the ROC curve
are over other trials, the intervals percentiles over trials drawn again with replacement.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.norms.table import norms_of
from snn_norm.training.diagnostics import DIAGNOSTICS
from snn_norm.training.prediction import COLLAPSES_BELOW, predict
from snn_norm.training.run import TrainingRun

MADE_ON = (*range(40), *range(1010, 1210))
"""Draws, each also the seed of its trial: those that the rule and its threshold were made on."""

TRIED_ON = range(2010, 2210)
"""Those that it is tried on."""

RECORDED = Path(__file__).parent / "evidence" / "prediction.jsonl"

Row = dict[str, Any]
Scores = np.ndarray[tuple[int], np.dtype[np.float64]]
Scorer = Callable[[Sequence[Row]], Scores]

RULE = "**the rule**"

_RESAMPLES = 2000

_LAYERS: dict[str, Callable[[Scores], float]] = {
    "first layer": lambda of_layers: of_layers[0],
    "last layer": lambda of_layers: of_layers[-1],
    "least": np.nanmin,
    "largest": np.nanmax,
    "mean": np.nanmean,
}
"""What makes one number of a diagnostic of all layers."""

_TRAINING: Row = {
    "dataset": "digits", "image_size": 8, "training_images": 600, "epochs": 3, "batch_size": 32,
    "learning_rate": 5e-3,
}  # fmt: skip


def draw(number: int) -> Row:
    """The keys of a random network; half of them without a norm, for most others learn."""
    choose = random.Random(number).choice
    spiking = choose((True, True, True, False))
    architecture = "snn" if spiking else "ann"
    norms = [norm for norm in norms_of(architecture) if norm != "none"]
    keys: Row = {
        "architecture": architecture,
        "norm": choose(("none", choose(norms))),
        "trunk": choose(("reference", "vgg9", "resnet", "resnet", "resnet")),
        "width": choose((4, 6)),
        "init": choose(("default", "kaiming", "fluctuation", "activity")[: 4 if spiking else 2]),
    }
    if keys["trunk"] == "resnet":
        keys["depth"] = choose((8, 14, 20))
        keys["shortcut"] = choose(("none", "spike", "membrane"))
    if spiking:
        keys["threshold"] = choose((0.3, 1.0, 2.0, 4.0))
        keys["slope"] = choose((2.0, 5.0, 10.0, 25.0, 50.0, 100.0))
        keys["num_steps"] = choose((4, 5))
    return keys


def trial(number: int) -> Row:
    """Train one: its keys, its diagnostics before the first step by layer, and how it ended."""
    torch.set_num_threads(1)
    config = RunConfig(seed=number, **draw(number), **_TRAINING)
    run = TrainingRun(config, load_dataset("digits", Path(), image_size=8))
    found = run.diagnostics()
    for _ in run.epochs():
        pass
    return {
        "draw": number,
        **draw(number),
        "outcome": run.outcome,
        "train_accuracy": round(max(result.train_accuracy for result in run.history), 4),
        "layers": run.layers,
        **{
            name: [_short(found.get(f"{name}.{layer}")) for layer in run.layers]
            for name in DIAGNOSTICS
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.3g}")


def recorded(path: Path) -> dict[int, Row]:
    """The trials of a file, by draw."""
    if not path.exists():
        return {}
    rows = map(json.loads, path.read_text().splitlines())
    return {row["draw"]: row for row in rows}


def train(numbers: Iterable[int], path: Path, processes: int) -> None:
    """Train these, a line each to the file as it ends."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(trial, number) for number in numbers]):
            with path.open("a") as file:
                file.write(json.dumps(done.result()) + "\n")


def by_rule(rows: Sequence[Row]) -> Scores:
    """The rule's signal of each trial: large of one that learns."""
    signals = []
    for row in rows:
        found = {
            f"{name}.{layer}": value
            for name in DIAGNOSTICS
            for layer, value in zip(row["layers"], row[name], strict=True)
            if value is not None
        }
        prediction = predict(found, row["layers"])
        assert prediction is not None
        signals.append(prediction.signal)
    return np.array(signals)


def by_diagnostic(rows: Sequence[Row], name: str, layers: str) -> Scores:
    """One number of a single diagnostic; where there is none, as of networks in the middle."""
    scores = []
    for row in rows:
        of_layers = np.array([math.nan if v is None else v for v in row[name]], float)
        known = np.isfinite(of_layers).any()
        scores.append(_LAYERS[layers](of_layers) if known else math.nan)
    found = np.array(scores)
    return np.where(np.isfinite(found), found, np.nanmedian(found))


def area(scores: Scores, collapsed: np.ndarray[Any, Any]) -> float:
    """How often a trial that learned has a larger score than one that collapsed; ties are half."""
    ranks = stats.rankdata(scores)
    learned = int((~collapsed).sum())
    pairs = learned * int(collapsed.sum())
    return float((ranks[~collapsed].sum() - learned * (learned + 1) / 2) / pairs)


def contenders(made: Sequence[Row]) -> dict[str, Scorer]:
    """The rule, and each diagnostic by the layer and the sign that do best on these trials."""
    of_made = collapsed(made)
    found: dict[str, Scorer] = {RULE: by_rule}
    for name in DIAGNOSTICS:
        areas = {way: area(by_diagnostic(made, name, way), of_made) for way in _LAYERS}
        best = max(areas, key=lambda way: abs(areas[way] - 0.5))
        found[f"{name}, {best}"] = functools.partial(
            _signed, name=name, layers=best, sign=1 if areas[best] > 0.5 else -1
        )
    return found


def _signed(rows: Sequence[Row], name: str, layers: str, sign: int) -> Scores:
    return sign * by_diagnostic(rows, name, layers)


def collapsed(rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Which of these trials collapsed."""
    return np.array([row["outcome"] == "collapsed" for row in rows])


def ended(trials: Mapping[int, Row], numbers: Iterable[int]) -> list[Row]:
    """Those of these draws that are recorded and did not diverge."""
    return [trials[n] for n in numbers if n in trials and trials[n]["outcome"] != "diverged"]


def table(trials: Mapping[int, Row]) -> None:
    """Print how well the rule and each diagnostic foretell which trials collapse."""
    made, tried = ended(trials, MADE_ON), ended(trials, TRIED_ON)
    of_made, of_tried = collapsed(made), collapsed(tried)
    diverged = sum(row["outcome"] == "diverged" for row in trials.values())
    print(
        f"made on {len(made)} trials, {of_made.sum()} collapsed; "
        f"tried on {len(tried)}, {of_tried.sum()} collapsed; left out, diverged: {diverged}\n"
    )
    scores = {name: scorer(tried) for name, scorer in contenders(made).items()}
    drawn = np.random.default_rng(0).integers(len(tried), size=(_RESAMPLES, len(tried)))
    again = {
        name: np.array([area(of_tried_by[rows], of_tried[rows]) for rows in drawn])
        for name, of_tried_by in scores.items()
    }
    print("| | area | 95 % | rule minus it | 95 % |\n| --- | ---: | --- | ---: | --- |")
    for name, of_tried_by in scores.items():
        cells = [f"{area(of_tried_by, of_tried):.3f}", _interval(again[name])]
        if name != RULE:
            difference = area(scores[RULE], of_tried) - area(of_tried_by, of_tried)
            cells += [f"{difference:+.3f}", _interval(again[RULE] - again[name])]
        print(f"| {name} | {' | '.join([*cells, '', ''][:4])} |")
    foretold = scores[RULE] < COLLAPSES_BELOW
    print(
        f"\nat its threshold: {(foretold & of_tried).sum()} of {of_tried.sum()} that collapsed "
        f"were warned of, and {(foretold & ~of_tried).sum()} of {(~of_tried).sum()} that learned"
    )


def _interval(values: Scores) -> str:
    low, high = np.percentile(values, (2.5, 97.5))
    return f"{low:.3f} to {high:.3f}"


def main() -> None:
    """Train what is missing, if that is asked for, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prediction", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--train", type=Path, metavar="FILE")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if options.train is not None:
        done = recorded(options.train)
        wanted = [n for n in (*MADE_ON, *TRIED_ON) if n not in done]
        train(wanted, options.train, options.processes)
    table(recorded(options.train or RECORDED))


if __name__ == "__main__":
    main()
