"""A run that goes on elsewhere, after an epoch or within one, ends as if undisturbed."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import (
    BATCH,
    TRAIN,
    assert_bit_for_bit,
    config,
    through_a_file,
)

from snn_norm.data.dataset import Dataset
from snn_norm.neurons.layers import LIF
from snn_norm.training.run import TrainingRun


def images_in(state: dict[str, Any]) -> int:
    """How many images a state within an epoch has trained in that epoch."""
    images: int = state["within_epoch"]["sums"]["images"]
    return images


class TestResume:
    @pytest.mark.parametrize("changes", [{}, {"validation_fraction": 0.25}, {"precision": "bf16"}])
    @pytest.mark.parametrize("norm", ["homeostatic", "small_runs:Noisy"])
    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
    @pytest.mark.parametrize("architecture", ["ann", "snn"])
    def test_after_any_epoch_it_goes_on_as_undisturbed(
        self, data: Dataset, architecture: str, optimizer: str, norm: str, changes: dict[str, Any]
    ) -> None:
        keys = config(
            architecture=architecture,
            optimizer=optimizer,
            norm=norm,
            augment=True,
            warmup_epochs=1,
            weight_decay=0.01,
            **changes,
        )
        undisturbed = TrainingRun(keys, data)
        states = [through_a_file(undisturbed.state_dict())]
        for _ in undisturbed.epochs():
            states.append(through_a_file(undisturbed.state_dict()))
        assert len(states) == 4
        for epoch, state in enumerate(states):
            resumed = TrainingRun(keys, data)
            resumed.load_state_dict(state)
            assert len(resumed.history) == epoch
            torch.rand(3), np.random.rand(3), random.random()
            for _ in resumed.epochs():
                pass
            assert_bit_for_bit(resumed, undisturbed)

    @pytest.mark.parametrize("norm", ["homeostatic", "small_runs:Noisy"])
    @pytest.mark.parametrize("architecture", ["ann", "snn"])
    def test_after_any_batch_it_goes_on_as_undisturbed(
        self, data: Dataset, architecture: str, norm: str
    ) -> None:
        keys = config(architecture=architecture, norm=norm, augment=True, epochs=2)
        undisturbed = TrainingRun(keys, data)
        states: list[dict[str, Any]] = []
        while undisturbed.outcome is None:
            undisturbed.run_epoch(
                lambda _images: states.append(through_a_file(undisturbed.state_dict()))
            )
        assert len(states) == 2 * math.ceil(TRAIN / BATCH)
        assert "within_epoch" not in undisturbed.state_dict()
        for state in states:
            resumed = TrainingRun(keys, data)
            resumed.load_state_dict(state)
            torch.rand(3), np.random.rand(3), random.random()
            again: list[int] = []
            while resumed.outcome is None:
                resumed.run_epoch(again.append)
            assert sum(again) == 2 * TRAIN - len(state["history"]) * TRAIN - images_in(state)
            assert_bit_for_bit(resumed, undisturbed)

    def test_an_exception_leaves_an_epoch_and_the_next_call_goes_on_within_it(
        self, data: Dataset
    ) -> None:
        class EnoughError(Exception):
            pass

        def leave(_images: int) -> None:
            raise EnoughError

        run, undisturbed = (TrainingRun(config(augment=True), data) for _ in range(2))
        undisturbed.run_epoch()
        for _ in range(2):
            with pytest.raises(EnoughError):
                run.run_epoch(leave)
        loaded = TrainingRun(config(augment=True), data)
        loaded.load_state_dict(through_a_file(run.state_dict()))
        assert images_in(through_a_file(loaded.state_dict())) == 2 * BATCH
        for other in (run, loaded):
            other.run_epoch()
            assert_bit_for_bit(other, undisturbed)

    def test_the_seconds_of_an_epoch_are_those_of_all_processes(self, data: Dataset) -> None:
        run, later = (TrainingRun(config(), data) for _ in range(2))
        states: list[dict[str, Any]] = []
        run.run_epoch(lambda _images: states.append(through_a_file(run.state_dict())))
        states[0]["within_epoch"]["seconds"] += 1000
        later.load_state_dict(states[0])
        result = later.run_epoch()
        assert 1000 < result.epoch_seconds < 1100
        assert result.images_per_second < TRAIN / 1000

    def test_a_loaded_state_is_what_was_saved(self, data: Dataset) -> None:
        run, fresh = (TrainingRun(config(), data) for _ in range(2))
        run.run_epoch()
        fresh.load_state_dict(through_a_file(run.state_dict()))
        assert fresh.history == run.history
        assert_bit_for_bit(fresh, run)

    def test_from_before_a_key_was_there(self, data: Dataset) -> None:
        run, fresh = (TrainingRun(config(), data) for _ in range(2))
        run.run_epoch()
        state = run.state_dict()
        for key in ("validation_fraction", "precision", "compile"):
            del state["config"][key]
        for name in ("validation_loss", "validation_accuracy"):
            del state["history"][0][name]
        fresh.load_state_dict(state)
        assert_bit_for_bit(fresh, run)
        with pytest.raises(ValueError, match="the state is that of"):
            TrainingRun(config(validation_fraction=0.25), data).load_state_dict(state)

    def test_it_keeps_the_engine_that_it_began_with(self, data: Dataset) -> None:
        keys = config(architecture="snn", norm="bntt")
        eager, by_default = TrainingRun(keys, data), TrainingRun(keys, data)
        assert by_default.engine == "numba"
        eager.keep_engine("eager")
        begun = through_a_file(eager.state_dict())
        older = {name: value for name, value in begun.items() if name != "engine"}
        resumed = [TrainingRun(keys, data) for _ in range(2)]
        for run, state in zip(resumed, (begun, older), strict=True):
            run.load_state_dict(state)
            assert run.engine == "eager"
            neurons = [module for module in run.model.modules() if isinstance(module, LIF)]
            assert {neuron.engine for neuron in neurons} == {"eager"}
        by_default.load_state_dict(through_a_file(TrainingRun(keys, data).state_dict()))
        assert by_default.engine == "numba"

    def test_an_engine_that_is_not_here_is_replaced_with_a_warning(
        self, data: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = TrainingRun(config(architecture="snn", norm="bntt"), data)
        run.load_state_dict({**run.state_dict(), "engine": "compiled"})
        assert run.engine == "numba"
        assert "spiking layers was compiled and is numba here" in caplog.text

    @pytest.mark.parametrize("change", [{"seed": 43}, {"norm": "batchnorm"}, {"epochs": 4}])
    def test_not_with_another_configuration(self, data: Dataset, change: dict[str, Any]) -> None:
        run, other = TrainingRun(config(), data), TrainingRun(config(**change), data)
        run.run_epoch()
        untouched = TrainingRun(config(**change), data)
        with pytest.raises(ValueError, match=r"the state is that of .*this run is"):
            other.load_state_dict(run.state_dict())
        assert_bit_for_bit(other, untouched)
