"""The names of this project in MLflow: its tags and metrics, and how parameters are written.

They must not change: other people's scripts query them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestration.model.config import text_of

TAG_PREFIX = "snn_sweep."
"""The prefix of this project's tags."""

PARENT_TAG = "mlflow.parentRunId"
LABEL_TAG = "mlflow.runName"
OWNER_TAG = "mlflow.user"
"""The user who began a sweep, as the tracking server names them; MLflow's pages show it."""
NOTE_TAG = "mlflow.note.content"
ROLE_TAG = "snn_sweep.role"
"""What a run is: sweep, trial, or replaced (a trial's earlier run, since run with --fresh)."""
NAME_TAG = "snn_sweep.name"
"""The sweep's name."""
STATUS_TAG = "snn_sweep.status"
"""How a sweep's last driver left it: running, completed, failed or stopped."""
SPEC_TAG = "snn_sweep.spec"
"""A sweep's spec as JSON; a long one goes on in the tags of this name with .1, .2, …."""
NOTIFY_TAG = "snn_sweep.notify"
"""Whether a notification of the sweep's end is due or done."""
WAITING_TAG = "snn_sweep.waiting"
"""What a sweep that shares a cluster with others waits for; empty if it waits no longer."""
TRIAL_KEY_TAG = "snn_sweep.trial_key"
"""A hash of everything that decides a trial's numbers."""
OUTCOME_TAG = "snn_sweep.outcome"
"""How a trial ended: completed, collapsed or diverged."""
REASON_TAG = "snn_sweep.reason"
"""Why a trial ended without a result, with its traceback."""
VERSION_TAG = "snn_sweep.version"
"""The version of this package that made the run."""
LAYERS_TAG = "snn_sweep.layers"
"""The layers that have diagnostics, as JSON, in the network's order."""
CURVES_TAG = "snn_sweep.curves"
"""The artifact of a sweep's own run with the curves that have left MLflow's database."""
COPIED_TAG = "snn_sweep.copied_from"
"""The id of the run of another sweep from which a run was copied."""

IMPORTING = "importing"
"""The status of a sweep until all trials of its archive have arrived."""

REPLACED_ROLE = "replaced"
"""The role of a run that no longer counts, because its trial was run again with ``--fresh``."""

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""With these tags MLflow opens an experiment on runs and curves, not on language models."""

TRAINING_PAGES = "workflowType=machine_learning"
"""The parameter of a link that opens MLflow's pages on runs and curves."""

SAMPLE_TAG = "snn_sweep.sample"
"""The input of a trial's network, as JSON: channels, image_size, classes, sequences."""

BEST_TEST_ACCURACY = "best_test_accuracy"
BEST_EPOCH = "best_epoch"

LONGEST_TAG = 8000
"""MLflow's limit on the characters of a tag's value."""


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as MLflow parameters: text as it is, everything else as JSON."""
    return {key: text_of(value) for key, value in config.items()}


def layers_tag(layers: Sequence[str]) -> dict[str, str]:
    """The order of a network's layers as a tag; empty if they are too many for one tag."""
    text = json.dumps(layers, separators=(",", ":"))
    return {LAYERS_TAG: text} if len(text) <= LONGEST_TAG else {}


def spec_tags(spec_json: str) -> dict[str, str]:
    """A spec's JSON as tags, in as many pieces as MLflow's limit requires."""
    pieces = [spec_json[i : i + LONGEST_TAG] for i in range(0, len(spec_json), LONGEST_TAG)]
    return {_spec_tag(index): piece for index, piece in enumerate(pieces)}


def spec_from_tags(tags: Mapping[str, str]) -> str | None:
    """The spec's JSON from a sweep's tags; None if there is none."""

    def pieces() -> Iterator[str]:
        index = 0
        while (piece := tags.get(_spec_tag(index))) is not None:
            yield piece
            index += 1

    return "".join(pieces()) or None


def _spec_tag(index: int) -> str:
    return SPEC_TAG if index == 0 else f"{SPEC_TAG}.{index}"


def sendable(text: str) -> str:
    """The text with lone surrogates escaped and without NUL characters.

    A file name that is not UTF-8 holds lone surrogates, and the error that names the file holds
    them too; UTF-8 cannot encode them. PostgreSQL cannot store NUL.
    """
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")
