"""The adapters of docs/own-training.md train, and go on from any epoch, with the libraries' own."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pytest
from own_training_page import save_programs

from orchestration.execution.worker.own_training import OwnTraining
from orchestration.model.config import OwnConfig
from orchestration.model.metric import Metric

pytestmark = [pytest.mark.slow, pytest.mark.release]


@pytest.mark.parametrize(
    ("library", "module", "metric"),
    [("lightning", "my_lightning", "val_loss"), ("transformers", "my_trainer", "eval_loss")],
)
def test_an_adapter_learns_and_goes_on_where_it_was(
    library: str, module: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_programs(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    # Which SpikingJelly brings, and which does not load beside torch for a CPU alone.
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    for name in dict(os.environ):
        monkeypatch.setenv(name, os.environ[name])  # what the libraries set there goes again
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries'
        pytest.importorskip(library)
        config = OwnConfig(train=f"{module}:Run", params=(("rate", 0.1),), epochs=4, seed=1)

        def training() -> OwnTraining:
            return OwnTraining(config, Metric(metric, "minimize"), "cpu")

        whole = values_of(training(), metric)
        assert len(whole) == 4
        assert whole[-1] < whole[0] / 2
        interrupted = training()
        interrupted.run_epoch()
        interrupted.run_epoch()
        state = interrupted.state_dict()
        assert state is not None
        later = training()
        later.load_state_dict(state)
        assert values_of(later, metric) == pytest.approx(whole)


def values_of(run: OwnTraining, metric: str) -> list[float]:
    while run.outcome is None:
        run.run_epoch()
    return [epoch.measured[metric] for epoch in run.history]
