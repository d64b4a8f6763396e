"""Finished trials as they can be trained again: their configurations, machines and curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pydantic

from orchestration.errors import InputError
from orchestration.model.metric import EPOCH_METRICS, SPIKE_RATE
from orchestration.record.machine import ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG
from orchestration.results.cells import params_of_runs
from orchestration.results.results import Results
from snn_norm.config import RunConfig
from snn_norm.references import check_named
from snn_norm.wording import all_in_words, did_you_mean

_TIMES = ("images_per_second", "epoch_seconds")


@dataclass(frozen=True)
class RecordedTrial:
    """A finished trial as it is on record.

    Args:
        run_id, key, outcome: as recorded.
        label: its cell and seed, in words.
        config: what it was trained with.
        tags: of its machine, by name.
        threads: that torch had.
        curves: value by metric and epoch, times left out.
    """

    run_id: str
    key: str
    outcome: str
    label: str
    config: RunConfig
    tags: Mapping[str, str]
    threads: int
    curves: Mapping[str, Mapping[int, float]]


def choose(
    results: Results,
    *,
    sample: int = 3,
    seed: int = 0,
    keys: Sequence[str] = (),
    own_code: Sequence[str] = (),
) -> list[RecordedTrial]:
    """Take some of a sweep's finished trials.

    Args:
        results: the sweep's.
        sample: how many, of the trials that its spec wants.
        seed: decides which: those whose SHA-256 of "seed key" are the smallest.
        keys: the keys of those wanted, instead of a sample.
        own_code: names of the user's own code that may be imported to train them.

    Raises:
        InputError: there are not so many, or not such ones; or they cannot be trained by this
            version, or are of code that ``own_code`` does not name.
    """
    snapshot = results.snapshot()
    if (train := snapshot.cells.kind.train) is not None:
        raise InputError(
            f"sweep {results.name!r} trains {train}: only networks of this package "
            "are trained again here; --fresh runs all trials of a spec anew"
        )
    trials = snapshot.trials()
    known = trials[trials["trial_key"].notna()]
    if keys:
        for key in keys:
            if key not in set(known["trial_key"]):
                hint = did_you_mean(key, known["trial_key"])
                raise InputError(f"sweep {results.name!r} has no finished trial {key!r}{hint}")
        chosen = list(dict.fromkeys(keys))
    else:
        wanted = known.loc[known["in_spec"], "trial_key"].tolist()
        if sample > len(wanted):
            raise InputError(
                f"sweep {results.name!r} has {len(wanted)} finished trials of its spec, and "
                f"{sample} are asked for"
                + (f": --sample {len(wanted)} takes all of them" if wanted else "")
            )
        wanted.sort(key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).hexdigest())
        chosen = wanted[:sample]
    run_ids = dict(zip(known["trial_key"], known["run_id"], strict=True))
    outcomes = dict(zip(known["trial_key"], known["outcome"], strict=True))
    records, ids = snapshot.records, [run_ids[key] for key in chosen]
    params = params_of_runs(records, ids)
    tags: dict[str, dict[str, str]] = {}
    for run_id, tag, text in records.tag_rows([MACHINE_TAG, SOFTWARE_TAG, ENGINE_TAG]):
        tags.setdefault(run_id, {})[tag] = text
    metrics = [name for name in map(str, records.metrics) if _is_compared(name)]
    points = snapshot.points(ids, metrics)
    found = []
    for key, run_id in zip(chosen, ids, strict=True):
        config = _config({str(k): v for k, v in params.loc[run_id].dropna().items()}, key)
        try:
            named = {"architecture": config.architecture, "norm": config.norm}
            check_named({**named, "dataset": config.dataset}, own_code)
        except ValueError as error:
            raise InputError(f"trial {key}: {error}") from error
        given = config.given()
        others = [f"{k}={given[k]}" for k in snapshot.cells.axes[2:] if k in given]
        found.append(
            RecordedTrial(
                run_id=run_id,
                key=key,
                outcome=outcomes[key],
                label=" ".join([config.architecture, config.norm, *others, f"seed {config.seed}"]),
                config=config,
                tags=tags.get(run_id, {}),
                threads=_threads(records.spec),
                curves=_curves(points[points["run_id"] == run_id]),
            )
        )
    return found


def _is_compared(metric: str) -> bool:
    per_epoch = metric in EPOCH_METRICS or metric.startswith(SPIKE_RATE)
    return per_epoch and metric not in _TIMES


def _threads(spec: str | None) -> int:
    """As many as a worker has: what a sum is split into decides how it rounds."""
    cpu = json.loads(spec).get("resources", {}).get("cpu", 1) if spec else 1
    return max(1, int(cpu))


def _config(params: Mapping[str, str], key: str) -> RunConfig:
    """The configuration that a trial's parameters are."""

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    try:
        return RunConfig(**{name: value(text) for name, text in params.items()})
    except pydantic.ValidationError as invalid:
        raise InputError(
            f"trial {key} cannot be trained by this version: {all_in_words(invalid)}"
        ) from invalid


def _curves(points: pd.DataFrame) -> dict[str, dict[int, float]]:
    return {
        str(metric): dict(zip(group["epoch"].tolist(), group["value"].tolist(), strict=True))
        for metric, group in points.groupby("metric")
    }
