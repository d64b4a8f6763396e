"""The optimizer and the learning rate that a configuration asks for."""

from __future__ import annotations

import math
from typing import Any

import pytest
from small_runs import BATCH, TRAIN, config

from snn_norm.data.dataset import Dataset
from snn_norm.training.run import TrainingRun


class TestOptimizer:
    STEPS = math.ceil(TRAIN / BATCH)

    def rates(self, data: Dataset, **keys: Any) -> list[float]:
        """The learning rate of each training step, and the one that would come next."""
        run = TrainingRun(config(learning_rate=0.5, **keys), data)

        def rate(_: int = 0) -> None:
            found.append(run.state_dict()["optimizer"]["param_groups"][0]["lr"])

        found: list[float] = []
        rate()
        for _ in range(run.config.epochs):
            run.run_epoch(rate)
        return found

    def test_constant(self, data: Dataset) -> None:
        assert set(self.rates(data, schedule="constant")) == {0.5}

    def test_cosine_ends_at_zero(self, data: Dataset) -> None:
        rates = self.rates(data, schedule="cosine")
        total = 3 * self.STEPS
        expected = [0.25 * (1 + math.cos(math.pi * step / total)) for step in range(total + 1)]
        assert rates == pytest.approx(expected)
        assert rates[0] == 0.5
        assert rates[-1] == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_warm_up_rises_to_the_peak(self, data: Dataset, schedule: str) -> None:
        rates = self.rates(data, schedule=schedule, warmup_epochs=2)
        warm = 2 * self.STEPS
        assert rates[:warm] == sorted(rates[:warm])
        assert rates[warm] == pytest.approx(0.5)
        assert max(rates) == pytest.approx(0.5)
        assert rates[warm // 2] == pytest.approx(0.25, rel=0.2)
        assert rates[-1] == pytest.approx(0 if schedule == "cosine" else 0.5, abs=1e-12)

    @pytest.mark.parametrize(
        ("keys", "group"),
        [
            ({"optimizer": "sgd"}, {"momentum": 0.9, "weight_decay": 0.0}),
            ({"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.1}, {"momentum": 0.5}),
            ({"optimizer": "adam", "weight_decay": 0.1}, {"weight_decay": 0.1}),
            ({"optimizer": "adamw", "weight_decay": 0.1}, {"weight_decay": 0.1}),
        ],
    )
    def test_its_settings(
        self, data: Dataset, keys: dict[str, Any], group: dict[str, float]
    ) -> None:
        found = TrainingRun(config(**keys), data).state_dict()["optimizer"]["param_groups"]
        assert len(found) == 1
        assert group.items() <= found[0].items()

    def test_decay_is_decoupled_with_adamw_alone(self, data: Dataset) -> None:
        norms = {}
        for optimizer in ("adam", "adamw"):
            keys = config(optimizer=optimizer, weight_decay=50.0, epochs=1)
            run = TrainingRun(keys, data)
            run.run_epoch()
            norms[optimizer] = run.model.get_parameter("hidden.weight").norm().item()
        assert norms["adamw"] < 0.5 * norms["adam"]
