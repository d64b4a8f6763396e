"""A run's diagnostics: without effect on it, and where there can be none."""

from __future__ import annotations

from typing import Any

import pytest
from small_runs import Fading, Noisy, assert_bit_for_bit, config, through_a_file
from torch import nn

from snn_norm.data.dataset import Dataset
from snn_norm.training.run import TrainingRun


class Uncopied(Fading):
    """A user's network that holds what cannot be copied."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self.act = nn.ReLU()
        self.doubled = self.classifier.weight * 2


class TestDiagnostics:
    @pytest.mark.parametrize(
        "changes",
        [
            {"norm": "none"},
            {"norm": "batchnorm", "augment": True},
            {"norm": "small_runs:Noisy"},
            {"architecture": "snn", "norm": "homeostatic", "precision": "bf16"},
            {"architecture": "snn", "norm": "mpbn", "validation_fraction": 0.25},
            {"architecture": "snn", "norm": "small_runs:Noisy"},
            {"architecture": "snn", "norm": "bntt", "neuron": "plif"},
            {"architecture": "small_runs:Fading", "norm": "none"},
        ],
    )
    def test_with_and_without_them_a_run_is_the_same(
        self, data: Dataset, changes: dict[str, Any]
    ) -> None:
        without, run = (TrainingRun(config(**changes), data) for _ in range(2))
        for _ in without.epochs():
            pass
        assert bool(run.diagnostics()) == bool(run.layers)
        for _ in run.epochs():
            run.diagnostics()
        assert_bit_for_bit(run, without)

    def test_a_resumed_run_has_those_of_an_undisturbed_one(self, data: Dataset) -> None:
        keys = config(architecture="snn", norm="small_runs:Noisy")
        run, resumed = (TrainingRun(keys, data) for _ in range(2))
        at_first = run.diagnostics()
        run.run_epoch()
        assert run.diagnostics() != at_first
        resumed.load_state_dict(through_a_file(run.state_dict()))
        assert resumed.diagnostics() == pytest.approx(run.diagnostics(), rel=0, abs=0, nan_ok=True)

    def test_of_a_network_that_cannot_be_copied_there_are_none(
        self, data: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = TrainingRun(config(architecture=f"{__name__}:Uncopied", norm="none"), data)
        assert run.diagnostics() == {} == run.diagnostics()
        assert caplog.text.count("no diagnostics: RuntimeError: Only Tensors created") == 1
        run.run_epoch()

    def test_memory_that_is_used_up_is_not_passed_over(
        self, data: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hungry(*_: Any, **__: Any) -> None:
            raise MemoryError

        run = TrainingRun(config(norm="small_runs:Noisy"), data)
        monkeypatch.setattr(Noisy, "forward", hungry)
        with pytest.raises(MemoryError):
            run.diagnostics()
