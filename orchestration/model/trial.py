"""One training run that a sweep wants, and the key that stands for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.model.config import Config
from orchestration.model.metric import TEST_ACCURACY, Metric
from snn_norm.norms.table import ARCHITECTURES

__all__ = ["Trial", "later_keys", "trial_key", "trial_keys"]

_LATER_KEYS: Mapping[str, Any] = {
    "precision": "float32",
    "validation_fraction": 0.0,
    "compile": "auto",
}
_LATER_KEYS_OF_OURS: Mapping[str, Any] = {"trunk": "reference", "init": "default"}
_LATER_SPIKING_KEYS: Mapping[str, Any] = {
    "neuron": "lif",
    "reset": "subtract",
    "surrogate": "fast_sigmoid",
}


def later_keys(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys that came after trials had been recorded, each with the value that it then stood for.

    Args:
        given: a configuration's keys, as far as they are known; of the user's own training code
            all of them are the user's.
    """
    if "train" in given:
        return {}
    architecture = given.get("architecture")
    ours = _LATER_KEYS_OF_OURS if architecture in ARCHITECTURES else {}
    spiking = _LATER_SPIKING_KEYS if architecture == "snn" else {}
    return {**_LATER_KEYS, **ours, **spiking}


@dataclass(frozen=True)
class Trial:
    """One training run that a sweep wants.

    Args:
        config: everything that decides its numbers.
        key: 16 hexadecimal digits that stand for that, the same in every sweep that wants it.
        label: what tells it apart in this sweep, such as ``snn bntt seed 42``.
        metric: what it is judged by in this sweep; it decides none of the numbers.
    """

    config: Config
    key: str
    label: str
    metric: Metric = TEST_ACCURACY

    @property
    def cell(self) -> Config:
        """The configuration with seed 0: one for all trials that differ in their seed alone."""
        return self.config.model_copy(update={"seed": 0})


def trial_key(config: Config, sources: Mapping[str, str] | None = None) -> str:
    """Hash of everything that decides a trial's numbers, and of nothing else.

    Args:
        config: the trial's configuration.
        sources: digest of the source of each of the user's own modules it names.
    """
    return trial_keys(config, [config.seed], sources)[0]


def trial_keys(
    cell: Config, seeds: Iterable[int], sources: Mapping[str, str] | None = None
) -> list[str]:
    """The :func:`trial_key` of a cell with each of these seeds; its own seed does not matter."""
    later = later_keys(cell.given())
    # Adding 0.0 makes -0.0 and 0.0, which train alike, the same text.
    given = {
        k: v + 0.0 if isinstance(v, float) else v
        for k, v in cell.given().items()
        if k not in later or v != later[k]
    }
    config = {**given, "seed": None}
    text = json.dumps({"config": config, "sources": dict(sources or {})}, sort_keys=True)
    # No value is None but this, and in a text the quotes would have backslashes.
    before, _, after = text.partition('"seed": null')
    return [
        hashlib.sha256(f'{before}"seed": {seed}{after}'.encode()).hexdigest()[:16] for seed in seeds
    ]
