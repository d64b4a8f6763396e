"""Training code of a user's own: the base class, generators, and what is no run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snn_norm import BaseRun
from snn_norm.training.own_run import GeneratorRun, Run, make_run

USERS_FOLDER = Path(__file__).parents[2] / "users"
CONFIG = {"rate": 0.05, "epochs": 4, "seed": 1}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    yield
    sys.modules.pop("own_runs", None)


def epochs_of(run: Run) -> list[float]:
    values = []
    while not run.done:
        torch.manual_seed(len(values))
        if (told := run.run_epoch()) is not None:
            values.append(told["val_error"])
    return values


def test_a_model_an_optimizer_and_a_step_make_a_run_that_learns() -> None:
    errors = epochs_of(make_run("own_runs:Fit", CONFIG, CPU))
    assert len(errors) == 4
    assert errors[-1] < errors[0] / 4


def test_a_run_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    torch.manual_seed(9)
    whole = epochs_of(make_run("own_runs:Fit", CONFIG, CPU))
    torch.manual_seed(9)
    first = make_run("own_runs:Fit", CONFIG, CPU)
    for epoch in range(2):
        torch.manual_seed(epoch)
        first.run_epoch()
    later = make_run("own_runs:Fit", CONFIG, CPU)
    later.load_state_dict(first.state_dict())
    assert not later.done
    torch.manual_seed(2)
    told = later.run_epoch()
    assert told is not None
    assert told["val_error"] == whole[2]


def test_further_parts_are_saved_too_and_evaluate_is_without_gradients() -> None:
    class Scheduled(BaseRun):
        parts = ("model", "optimizer", "scheduler")

        def __init__(self) -> None:
            super().__init__({"epochs": 3})
            self.model = nn.Linear(1, 1)
            self.optimizer = torch.optim.SGD(self.model.parameters(), 1.0)
            self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)

        def batches(self) -> list[Tensor]:
            return [torch.ones(1, 1)] * 2

        def step(self, batch: Tensor) -> Tensor:
            assert self.model.training
            return self.model(batch).square().sum()

        def evaluate(self) -> dict[str, float]:
            assert not torch.is_grad_enabled()
            assert not self.model.training
            self.scheduler.step()
            return {}

    run, other = Scheduled(), Scheduled()
    assert run.run_epoch().keys() == {"train_loss"}
    other.load_state_dict(run.state_dict())
    assert other.scheduler.get_last_lr() == [0.5]
    assert other.epoch == 1


def test_an_epoch_without_a_batch_says_so_and_does_not_count() -> None:
    run = make_run("own_runs:OnlyOnce", CONFIG, CPU)
    run.run_epoch()
    with pytest.raises(ValueError, match=r"OnlyOnce.batches\(\) gave no batch in epoch 2"):
        run.run_epoch()
    assert run.epoch == 1


def test_what_a_subclass_must_bring_is_said() -> None:
    class Empty(BaseRun):
        model = nn.Linear(1, 1)

    with pytest.raises(NotImplementedError, match="Empty needs a method batches"):
        Empty({"epochs": 1}).run_epoch()


def test_a_generator_is_a_run_and_ends_when_it_returns() -> None:
    run = make_run("own_runs:forgetful", CONFIG, CPU)
    assert isinstance(run, GeneratorRun)
    assert len(epochs_of(run)) == 4
    assert run.run_epoch() is None
    assert run.state_dict() is None


def test_a_generator_goes_on_with_the_state_that_it_gave() -> None:
    first = make_run("own_runs:mindful", CONFIG, CPU)
    first.run_epoch()
    first.run_epoch()
    later = make_run("own_runs:mindful", CONFIG, CPU)
    later.load_state_dict(first.state_dict())
    assert len(epochs_of(later)) == 2
    ended = make_run("own_runs:mindful", CONFIG, CPU)
    ended.load_state_dict(later.state_dict())
    assert ended.run_epoch() is None
    assert ended.done


def test_what_is_made_must_be_a_run() -> None:
    with pytest.raises(TypeError, match="lacks state_dict, load_state_dict: a run has run_epoch"):
        make_run("own_runs:Partial", CONFIG, CPU)
