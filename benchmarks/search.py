"""Searches on a known surface: regret by sampler, epochs by pruning, and the tuned gap's interval.

    python -m benchmarks.search                        # 400 searches a row, a minute

The surface is one of accuracies that depend on the learning rate, the threshold and the initial
weights, with noise of a seed, and learning curves that cross: a small learning rate starts slowly
and may end higher. The code that draws settings, prunes them and estimates is the product's own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from orchestration.results.effects.search_budget import tuned_gap_by_budget
from orchestration.results.statistics import expected_best
from orchestration.sweep.halving import TrialProgress, cell_search
from orchestration.sweep.points import SearchedSpace, Setting, settings_of_cells
from orchestration.sweep.search import HELD_OUT_ACCURACY, Search
from orchestration.sweep.space import Sampler
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.tpe import with_next_round

SPACE: dict[str, Any] = {
    "learning_rate": {"log": [1e-4, 3e-2]},
    "threshold": {"uniform": [0.2, 2.0]},
    "init": ["default", "kaiming"],
}
RAW = {"architecture": "snn", "norm": "none", "dataset": "digits", "epochs": 4}
EPOCHS = 4
NOISE = 0.01
"""The standard deviation of a score between seeds."""


def accuracy(values: Mapping[str, Any]) -> float:
    """The true accuracy of a setting after all epochs."""
    rate = math.log10(values["learning_rate"]) + 2.5
    threshold = values["threshold"] - 0.6
    kaiming = 0.02 if values["init"] == "kaiming" else 0.0
    return 0.1 + 0.8 * math.exp(-(rate**2) / 0.5 - threshold**2 / 0.3) + kaiming


BEST = max(
    accuracy({"learning_rate": 10 ** (-2.5 + x), "threshold": 0.6, "init": "kaiming"})
    for x in np.linspace(-0.1, 0.1, 21)
)


def curve(values: Mapping[str, Any], random: np.random.Generator) -> list[float]:
    """The held-out accuracy by epoch of a trial, which a small learning rate reaches late."""
    speed = (0.5 + 100 * values["learning_rate"]) * random.lognormal(0, 0.4)
    final = accuracy(values) + random.normal(0, NOISE)
    return [
        0.1
        + (final - 0.1) * (1 - math.exp(-speed * epoch)) / (1 - math.exp(-speed * EPOCHS))
        + random.normal(0, NOISE)
        for epoch in range(1, EPOCHS + 1)
    ]


def search(trials: int, prune: Mapping[str, Any] | None = None) -> Search:
    """A search of this space."""
    return Search.model_validate({"space": SPACE, "trials": trials, "prune": prune})


def regret_of_samplers(searches: int) -> None:
    """Print how far the chosen setting's true accuracy is below the best there is."""
    print("regret in points (mean; 90th percentile) by settings tried")
    for sampler in ("random", "sobol", "tpe"):
        regrets: dict[int, list[float]] = {8: [], 24: [], 64: []}
        for number in range(searches):
            settings, scores = searched(sampler, number, max(regrets))
            for trials, of_trials in regrets.items():
                chosen = settings[int(np.argmax(scores[:trials]))]
                of_trials.append(100 * (BEST - accuracy(chosen.values)))
        row = [f"{n}: {np.mean(r):5.2f}; {np.quantile(r, 0.9):5.2f}" for n, r in regrets.items()]
        print(f"  {sampler:7} {'   '.join(row)}")


def searched(sampler: str, number: int, trials: int) -> tuple[list[Setting], list[float]]:
    """The settings of a search without pruning, and their scores."""
    grid = {key: RAW[key] for key in ("architecture", "norm")}
    spec = SweepSpec.from_dict(
        {
            "name": f"s{number}",
            "dataset": RAW["dataset"],
            "epochs": EPOCHS,
            "training": {"validation_fraction": 0.1},
            "grid": [grid],
            "search": {"space": SPACE, "trials": trials, "sampler": sampler},
            "confirm": {"seeds": [100]},
        }
    )
    random, scores = np.random.default_rng(number), list[float]()
    while True:
        (settings,) = spec.settings()
        further = settings[len(scores) :]
        scores += [accuracy(one.values) + random.normal(0, NOISE) for one in further]
        if len(settings) == trials:
            return settings, scores
        spec = with_next_round(spec, [scores])


def regret_after_widening(searches: int) -> None:
    """Print what it takes to search a wider range after one that was too narrow."""
    narrow = {**SPACE, "learning_rate": {"log": [1e-4, 2e-3]}}
    earlier = (SearchedSpace(narrow, tuple(range(24))),)
    print("24 settings of a narrow range, then 46 of a wider one: trained anew, regret in points")
    for words, kept in (("nothing kept", ()), ("kept", earlier)):
        new, regrets = list[int](), list[float]()
        for number in range(searches):
            random = np.random.default_rng(number)
            settings = points("sobol", f"s{number}", 46, kept)
            scores = [accuracy(one.values) + random.normal(0, NOISE) for one in settings]
            new.append(sum(one.point is not None for one in settings))
            chosen = settings[int(np.argmax(scores))]
            regrets.append(100 * (BEST - accuracy(chosen.values)))
        mean, high = np.mean(regrets), np.quantile(regrets, 0.9)
        print(f"  {words:12} {np.mean(new):4.1f} trained   {mean:5.2f}; {high:5.2f}")


def points(
    sampler: Sampler, name: str, count: int, earlier: Sequence[SearchedSpace] = ()
) -> list[Setting]:
    """Settings that do not depend on results."""
    return settings_of_cells(SPACE, sampler, name, [count], [RAW], earlier)[0]


def epochs_of_pruning(searches: int) -> None:
    """Print the epochs that pruning takes, and how often it drops the setting that would win."""
    print("24 settings, 4 epochs: epochs, how often the winner is dropped, and what that costs")
    for prune in (
        None,
        {"keep": 0.5, "at": [1]},
        {"keep": 0.5, "at": [1, 2]},
        {"keep": 0.34, "at": [1]},
    ):
        section, whole = search(24, prune), search(24)
        epochs, dropped, lost = [], 0, []
        for number in range(searches):
            random = np.random.default_rng(number)
            settings = points("sobol", f"s{number}", 24)
            curves = [curve(one.values, random) for one in settings]
            full = [[TrialProgress(one, True)] for one in curves]
            state, winner = trained(section, curves), cell_search(full, whole).winner
            assert winner is not None
            assert state[0] is not None
            dropped += state[0] != winner
            lost.append(
                100 * (accuracy(settings[winner].values) - accuracy(settings[state[0]].values))
            )
            epochs.append(state[1])
        words = "none" if prune is None else f"keep {prune['keep']} at {prune['at']}"
        print(
            f"  {words:20} {np.mean(epochs):5.1f} epochs   dropped {dropped / searches:6.1%}   "
            f"{np.mean(lost):5.2f} points lost"
        )


def trained(section: Search, curves: Sequence[Sequence[float]]) -> tuple[int | None, int]:
    """The best setting of a search, and the epochs that it took."""
    done = [0] * len(curves)
    while True:
        progress = [
            [TrialProgress(curve[:n], n == EPOCHS)] for curve, n in zip(curves, done, strict=True)
        ]
        state = cell_search(progress, section)
        if state.winner is not None:
            return state.winner, sum(done)
        for index, target in state.target.items():
            done[index] = EPOCHS if target is None else target


def gap_without_a_difference(searches: int, trials: int) -> None:
    """Print how often the tuned gap's interval excludes 0 where both sides are alike."""
    rows: dict[int, list[bool]] = {}
    errors: dict[int, list[float]] = {}
    for number in range(searches):
        random = np.random.default_rng(number)
        frames = []
        for cell, norm in enumerate(("none", "bntt")):
            settings = points("random", f"s{number} {norm}", trials)
            scores = [accuracy(one.values) + random.normal(0, NOISE) for one in settings]
            frames.append(pd.DataFrame({"architecture": "snn", "norm": norm, "cell": cell,
                                        HELD_OUT_ACCURACY.best_name: scores}))  # fmt: skip
        found = tuned_gap_by_budget(
            pd.concat(frames), ["architecture", "norm"], HELD_OUT_ACCURACY, by_norm=True
        )
        for row in found.to_dict("records"):
            excluded = not row["tuned_ci_low_pp"] <= 0 <= row["tuned_ci_high_pp"]
            rows.setdefault(row["n_settings"], []).append(excluded)
            errors.setdefault(row["n_settings"], []).append(row["tuned_gap_pp"])
    print(f"true gap 0, {trials} settings a side: wrong intervals, and the gap's spread in points")
    for n in sorted({1, 2, trials // 4, trials // 2, trials}):
        print(f"  best of {n:3}: {np.mean(rows[n]):6.1%} wrong   ±{np.std(errors[n]):5.2f}")


def flattery(searches: int) -> None:
    """Print by how much the best score exceeds the true accuracy of its setting."""
    over = []
    for number in range(searches):
        random = np.random.default_rng(number)
        settings = points("sobol", f"s{number}", 24)
        scores = [accuracy(one.values) + random.normal(0, NOISE) for one in settings]
        chosen = settings[int(np.argmax(scores))]
        over.append(100 * (expected_best(scores, 24) - accuracy(chosen.values)))
    print(f"best of 24 scores exceeds its setting's true accuracy by {np.mean(over):.2f} points")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=400)
    searches = parser.parse_args().searches
    regret_of_samplers(searches)
    regret_after_widening(searches)
    epochs_of_pruning(searches)
    gap_without_a_difference(searches, 24)
    flattery(searches)


if __name__ == "__main__":
    main()
