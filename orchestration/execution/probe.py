"""Predicts which cells of a sweep will collapse, from one batch through each untrained network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from orchestration.execution.worker.process_state import ProcessState
from orchestration.model.trial import Trial
from orchestration.sweep.plan import Plan
from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.references import is_reference
from snn_norm.training.prediction import COLLAPSES_BELOW, Prediction, predict
from snn_norm.training.run import TrainingRun


@dataclass(frozen=True)
class Probed:
    """The prediction for a cell from the network of one of its trials, or why there is none."""

    trial: Trial
    prediction: Prediction | None
    why: str | None = None

    def warning(self) -> str | None:
        """What will go wrong and what to try, in words; None if nothing is expected to."""
        if self.prediction is None:
            return f"{self.trial.label}: unknown: {self.why}"
        if not self.prediction.collapses:
            return None
        config = self.trial.config
        assert isinstance(config, RunConfig)  # the user's own training code has no predictions
        return (
            f"{self.trial.label} is predicted to collapse: {self.prediction.cause}; "
            f"try {_way_out(config)}"
        )

    def to_dict(self) -> dict[str, object]:
        """The prediction as plain data, for JSON."""
        prediction = self.prediction
        return {
            "label": self.trial.label,
            "key": self.trial.key,
            "collapses": None if prediction is None else prediction.collapses,
            "signal": None if prediction is None else prediction.signal,
            "threshold": COLLAPSES_BELOW,
            "layer": None if prediction is None else prediction.layer,
            "warning": self.warning(),
        }


def to_probe(plan: Plan) -> list[Trial]:
    """The first trial of each cell that has trials to train."""
    return list({trial.cell: trial for trial in reversed(plan.to_train)}.values())[::-1]


def probe(trials: Iterable[Trial], data: Path, threads: int) -> Iterator[Probed]:
    """Give one batch to each trial's network and predict, on the first GPU if there is one.

    Args:
        trials: one trial of each cell, ordered by data set.

    Raises:
        DatasetError: a data set cannot be loaded.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    state = ProcessState()  # the user's own code may change it
    loaded: dict[tuple[str, int | None], Dataset] = {}
    for trial in trials:
        config = trial.config
        if not isinstance(config, RunConfig):
            yield Probed(trial, None, "it trains with code of your own")
            continue
        name = (config.dataset, config.image_size)
        if name not in loaded:
            loaded.clear()  # one at a time: some fill the memory
            loaded[name] = load_dataset(config.dataset, data, config.image_size)
        probed = _probed(trial, config, loaded[name], device)
        state.restore()
        yield probed


def _probed(trial: Trial, config: RunConfig, dataset: Dataset, device: str) -> Probed:
    try:
        # Compiling takes far longer than one batch.
        uncompiled = config.model_copy(update={"compile": False})
        run = TrainingRun(uncompiled, dataset, device=device)
        prediction = predict(run.diagnostics(), run.layers)
    except (Exception, SystemExit) as error:  # the user's code may call sys.exit
        own = any(map(is_reference, (config.architecture, config.norm)))
        if not own and not isinstance(error, ValueError):
            raise
        return Probed(trial, None, f"its first batch failed: {type(error).__name__}: {error}")
    if prediction is None:
        return Probed(trial, None, "it has no diagnostics, as it has no snn_norm.LIF or nn.ReLU")
    return Probed(trial, prediction)


def _way_out(config: RunConfig) -> str:
    """Changes to the spec that give such a network a signal, without those it already has."""
    ways = []
    if config.norm == "none":
        ways.append("a norm")
    if config.architecture == "snn":
        ways += ["a lower threshold", "a smaller slope"]
    starts = ("fluctuation", "activity") if config.architecture == "snn" else ("kaiming",)
    ways.append(f"init: {' or '.join(start for start in starts if start != config.init)}")
    return ", ".join(ways)
