"""Chooses finished trials that are to be trained again, with their records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pydantic

from orchestration.errors import InputError
from orchestration.model.metric import EPOCH_METRICS, SPIKE_RATE
from orchestration.model.trial import Trial, cell_label
from orchestration.record.finished_trial import FinishedTrial
from orchestration.record.machine import ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG
from orchestration.record.names import OUTCOME_TAG
from orchestration.results.results import Results
from orchestration.results.typed_params import params_of_runs, value_of
from orchestration.sweep.recorded_spec import spec_fields
from snn_norm.config import RunConfig
from snn_norm.references import check_named
from snn_norm.wording import all_in_words, did_you_mean

_TIMES = ("images_per_second", "epoch_seconds")


def choose(
    results: Results,
    *,
    sample: int = 3,
    seed: int = 0,
    keys: Sequence[str] = (),
    own_code: Sequence[str] = (),
) -> list[tuple[Trial, FinishedTrial]]:
    """Return some of a sweep's finished trials, each with its record.

    The record has the points of the metrics that are compared, which are all but times.

    Args:
        sample: how many of the trials that its spec wants.
        seed: decides which: those with the smallest SHA-256 of "seed key".
        keys: the keys of the wanted trials, instead of a sample.
        own_code: names of the user's own code that may be imported to train them.

    Raises:
        InputError: there are too few trials, or none with such a key; or this version cannot train
            them; or they use code that ``own_code`` does not name.
    """
    snapshot = results.snapshot()
    snapshot.cells.kind.check_networks(
        "training trials again", "--fresh runs all trials of a spec anew"
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
    records, ids = snapshot.records, [run_ids[key] for key in chosen]
    params = params_of_runs(records, ids)
    tags: dict[str, dict[str, str]] = {run_id: {} for run_id in ids}
    for run_id, tag, text in records.tag_rows([MACHINE_TAG, SOFTWARE_TAG, ENGINE_TAG, OUTCOME_TAG]):
        tags.setdefault(run_id, {})[tag] = text
    metrics = [name for name in map(str, records.metrics) if _is_compared(name)]
    points = snapshot.points(ids, metrics).groupby("run_id")[["metric", "epoch", "value"]]
    points_of = {run_id: rows.values.tolist() for run_id, rows in points}
    times = records.runs.loc[ids, ["started", "finished"]].fillna(0).astype(int).values.tolist()
    pairs = []
    for key, run_id, (started, ended) in zip(chosen, ids, times, strict=True):
        texts = {str(k): v for k, v in params.loc[run_id].dropna().items()}
        config = _config(texts, key)
        try:
            named = {"architecture": config.architecture, "norm": config.norm}
            check_named({**named, "dataset": config.dataset}, own_code)
        except ValueError as error:
            raise InputError(f"trial {key}: {error}") from error
        trial = Trial(config, key, cell_label(config, snapshot.cells.axes))
        rows = [(name, epoch, 0, value) for name, epoch, value in points_of.get(run_id, [])]
        pairs.append(
            (trial, FinishedTrial(run_id, trial.label, started, ended, texts, tags[run_id], rows))
        )
    return pairs


def threads_of(results: Results) -> int:
    """The number of torch's threads that trained the trials; it decides how sums are rounded."""
    cpu = spec_fields(results.records.spec).get("resources", {}).get("cpu", 1)
    return max(1, int(cpu))


def _is_compared(metric: str) -> bool:
    per_epoch = metric in EPOCH_METRICS or metric.startswith(SPIKE_RATE)
    return per_epoch and metric not in _TIMES


def _config(params: Mapping[str, str], key: str) -> RunConfig:
    try:
        return RunConfig(**{name: value_of(text) for name, text in params.items()})
    except pydantic.ValidationError as invalid:
        raise InputError(
            f"trial {key} cannot be trained by this version: {all_in_words(invalid)}"
        ) from invalid
