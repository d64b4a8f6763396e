"""The MLflow names that this project writes and reads: tags, metrics, and how params are spelled.

They are a contract: other people's scripts query them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestration.model.config import text_of

TAG_PREFIX = "snn_sweep."
"""What the tags of this project begin with."""

PARENT_TAG = "mlflow.parentRunId"
LABEL_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
ROLE_TAG = "snn_sweep.role"
NAME_TAG = "snn_sweep.name"
STATUS_TAG = "snn_sweep.status"
SPEC_TAG = "snn_sweep.spec"
TRIAL_KEY_TAG = "snn_sweep.trial_key"
OUTCOME_TAG = "snn_sweep.outcome"
REASON_TAG = "snn_sweep.reason"
VERSION_TAG = "snn_sweep.version"
LAYERS_TAG = "snn_sweep.layers"
"""The layers that a trial's diagnostics are of, as JSON, in the network's order."""
COPIED_TAG = "snn_sweep.copied_from"
"""The run of another sweep that a run is a copy of."""

IMPORTING = "importing"
"""The status of a sweep until all trials of its archive have arrived."""

REPLACED_ROLE = "replaced"
"""Of a trial's run that another, made anew, stands for."""

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""By which MLflow's pages open on runs and curves, and not on those for language models."""

TRAINING_PAGES = "workflowType=machine_learning"
"""In a link to MLflow's pages: those on runs and curves."""

SAMPLE_TAG = "snn_sweep.sample"
"""What a trial's network is given, as JSON: channels, image_size, classes, sequences."""

BEST_TEST_ACCURACY = "best_test_accuracy"
BEST_EPOCH = "best_epoch"

LONGEST_TAG = 8000
"""Characters of a tag's value: MLflow's limit."""


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as MLflow params: text as it is, all else as JSON."""
    return {key: text_of(value) for key, value in config.items()}


def layers_tag(layers: Sequence[str]) -> dict[str, str]:
    """The order of a network's layers as a tag; none of those that are too many for one."""
    text = json.dumps(layers, separators=(",", ":"))
    return {LAYERS_TAG: text} if len(text) <= LONGEST_TAG else {}


def spec_tags(spec_json: str) -> dict[str, str]:
    """A spec's JSON as tags, in as many pieces as MLflow's limit asks for."""
    pieces = [spec_json[i : i + LONGEST_TAG] for i in range(0, len(spec_json), LONGEST_TAG)]
    return {_spec_tag(index): piece for index, piece in enumerate(pieces)}


def spec_from_tags(tags: Mapping[str, str]) -> str | None:
    """The spec's JSON out of a sweep's tags; None where there is none."""

    def pieces() -> Iterator[str]:
        index = 0
        while (piece := tags.get(_spec_tag(index))) is not None:
            yield piece
            index += 1

    return "".join(pieces()) or None


def spec_fields(spec_json: str | None) -> dict[str, Any]:
    """What a recorded spec says, as plain data, which need be no spec that this version can read.

    Empty where it is no mapping: who may write to an experiment may have put anything there.
    """
    try:
        fields = json.loads(spec_json or "{}")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _spec_tag(index: int) -> str:
    return SPEC_TAG if index == 0 else f"{SPEC_TAG}.{index}"
