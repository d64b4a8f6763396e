"""Which cells of a sweep will collapse, from one batch through each network before any training."""

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
    """What one batch says of a cell.

    Args:
        trial: the one whose network was looked at.
        prediction: None where nothing is known.
        why: why nothing is known; None where something is.
    """

    trial: Trial
    prediction: Prediction | None
    why: str | None = None

    def warning(self) -> str | None:
        """In words, what will go wrong and what to try; None where nothing is expected to."""
        if self.prediction is None:
            return f"{self.trial.label}: unknown: {self.why}"
        if not self.prediction.collapses:
            return None
        config = self.trial.config
        assert isinstance(config, RunConfig)  # nothing is predicted of training code of one's own
        return (
            f"{self.trial.label} is predicted to collapse: {self.prediction.cause}; "
            f"try {_way_out(config)}"
        )

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, for JSON."""
        found = self.prediction
        return {
            "label": self.trial.label,
            "key": self.trial.key,
            "collapses": None if found is None else found.collapses,
            "signal": None if found is None else found.signal,
            "threshold": COLLAPSES_BELOW,
            "layer": None if found is None else found.layer,
            "warning": self.warning(),
        }


def to_probe(plan: Plan) -> list[Trial]:
    """The first trial still to train of each cell."""
    return list({trial.cell: trial for trial in reversed(plan.to_train)}.values())[::-1]


def probe(trials: Iterable[Trial], data: Path, threads: int) -> Iterator[Probed]:
    """Build each trial's network, give it one batch, and predict; on the first GPU if there is one.

    Args:
        trials: one of each cell; those of the same data set beside each other.
        data: the folder of the data sets.
        threads: of torch.

    Raises:
        DatasetError: a data set cannot be loaded.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    state = ProcessState()  # which a user's own code may change
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
        found = _probed(trial, config, loaded[name], device)
        state.restore()
        yield found


def _probed(trial: Trial, config: RunConfig, dataset: Dataset, device: str) -> Probed:
    try:
        # Nothing is compiled for one batch.
        uncompiled = config.model_copy(update={"compile": False})
        run = TrainingRun(uncompiled, dataset, device=device)
        prediction = predict(run.diagnostics(), run.layers)
    except (Exception, SystemExit) as error:  # a user's code may call sys.exit
        own = any(map(is_reference, (config.architecture, config.norm)))
        if not own and not isinstance(error, ValueError):
            raise
        return Probed(trial, None, f"its first batch failed: {type(error).__name__}: {error}")
    if prediction is None:
        return Probed(trial, None, "it has no diagnostics, for want of an snn_norm.LIF or nn.ReLU")
    return Probed(trial, prediction)


def _way_out(config: RunConfig) -> str:
    """Keys of the spec that give such a network a signal, where they are not set so already."""
    ways = []
    if config.norm == "none":
        ways.append("a norm")
    if config.architecture == "snn":
        ways += ["a lower threshold", "a smaller slope"]
    starts = ("fluctuation", "activity") if config.architecture == "snn" else ("kaiming",)
    ways.append(f"init: {' or '.join(start for start in starts if start != config.init)}")
    return ", ".join(ways)
