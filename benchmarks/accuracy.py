"""Accuracy of training runs that differ in one thing, as a Markdown table with every value.

Runs are written to a file as they finish, one JSON line each, and are not repeated when found
there. Ctrl-C prints the tables of what there is.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

SEEDS = (42, 123, 456)


@dataclass(frozen=True)
class Row:
    """A row of a table: what is trained, and how often."""

    label: str
    config: dict[str, Any]
    """Keys of a RunConfig, without the seed."""
    seeds: tuple[int, ...] = SEEDS


def main(description: str, tables: dict[str, list[Row]]) -> None:
    """Measure what the results file lacks, then print a table under each title."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--results", type=Path, required=True, help="file of JSON lines, continued if it exists"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for rows in tables.values() for row in rows]
    found = _read(arguments.results)
    # Seed by seed, so that an interrupted measurement has something for each row.
    wanted = [(row, seed) for seed in SEEDS for row in rows if seed in row.seeds]
    try:
        for row, seed in tqdm(wanted, unit="run", file=sys.stderr):
            if _key(row, seed) not in found:
                found[_key(row, seed)] = result = _train(row, seed)
                with arguments.results.open("a") as file:
                    file.write(json.dumps({"key": _key(row, seed), **result}) + "\n")
    except KeyboardInterrupt:
        print("interrupted: the tables are of what there is", file=sys.stderr)
    print(f"{_machine()}.\n")
    for title, rows in tables.items():
        print(f"{title}\n\n{_table(rows, found)}\n")


def _train(row: Row, seed: int) -> dict[str, Any]:
    config = RunConfig(seed=seed, **row.config)
    dataset = load_dataset(config.dataset, Path("data"), config.image_size)
    run = TrainingRun(config, dataset)
    curve = [result.test_accuracy for result in run.epochs()]
    seconds = sum(result.epoch_seconds for result in run.history)
    return {"curve": curve, "outcome": run.outcome, "seconds": round(seconds, 1)}


def _table(rows: list[Row], found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| variant | n | best | mean | each seed's best | mean of last epochs | not completed |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    for row in rows:
        keys = [_key(row, seed) for seed in row.seeds]
        results = [found[key] for key in keys if key in found]
        if not results:
            continue
        best = [100 * max(result["curve"]) for result in results]
        last = [100 * result["curve"][-1] for result in results]
        ends = [result["outcome"] for result in results if result["outcome"] != "completed"]
        lines.append(
            f"| {row.label} | {len(results)} | {max(best):.1f} | {statistics.mean(best):.1f} "
            f"| {', '.join(f'{value:.1f}' for value in best)} "
            f"| {statistics.mean(last):.1f} | {', '.join(ends) or '–'} |"
        )
    return "\n".join(lines)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    return {result.pop("key"): result for result in map(json.loads, path.open())}


def _key(row: Row, seed: int) -> str:
    return json.dumps({**row.config, "seed": seed}, sort_keys=True)


def _machine() -> str:
    names = [line.split(":")[1] for line in _cpu_info() if line.startswith("model name")]
    return (
        f"{names[0].strip() if names else platform.machine()}, one thread; "
        f"Python {platform.python_version()}, torch {torch.__version__}; "
        "test accuracy in percent; best over a run's epochs unless it says last"
    )


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
