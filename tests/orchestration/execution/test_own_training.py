"""The user's own training code, as a session runs it: judged, saved, and its mistakes said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import USERS_FOLDER
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name

from orchestration.execution.worker import within_epoch
from orchestration.execution.worker.kept_model import ModelKeeper
from orchestration.execution.worker.own_training import OwnTraining
from orchestration.execution.worker.within_epoch import PreemptedError, WithinEpoch
from orchestration.model.config import OwnConfig
from orchestration.model.metric import Metric
from orchestration.record.kept_model import KeptModel
from orchestration.store.base import Storage
from orchestration.store.checkpoints import CheckpointStore
from orchestration.sweep.spec_keys import Keep
from snn_norm import load_own_model

METRIC = Metric("val_error", "minimize")


@pytest.fixture(autouse=True)
def _own_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    return None


def training(name: str, *, epochs: int | None = 4, **params: object) -> OwnTraining:
    config = OwnConfig(
        train=f"own_runs:{name}", params=tuple(params.items()), epochs=epochs, seed=3
    )
    return OwnTraining(config, METRIC, "cpu")


def values_of(run: OwnTraining) -> list[float]:
    while run.outcome is None:
        run.run_epoch()
    return [epoch.measured["val_error"] for epoch in run.history]


def test_it_is_judged_by_the_metric_and_its_goal() -> None:
    run = training("Fit", rate=0.2)
    values = values_of(run)
    assert run.outcome == "completed"
    assert run.best is not None
    assert run.best.measured["val_error"] == min(values)
    assert run.best.metrics().keys() == {"train_loss", "val_error", "epoch_seconds"}


@pytest.mark.parametrize("name", ["Fit", "mindful"])
def test_it_goes_on_from_any_epoch_through_a_checkpoint(name: str) -> None:
    whole = values_of(training(name, rate=0.05))
    assert len(whole) == 4
    for done in range(1, 5):
        first = training(name, rate=0.05)
        for _ in range(done):
            first.run_epoch()
        state = first.state_dict()
        assert state is not None
        torch.manual_seed(done)  # whatever another process has drawn meanwhile
        later = training(name, rate=0.05)
        later.load_state_dict(state)
        assert [one.epoch for one in later.history] == list(range(1, done + 1))
        found = values_of(later)
        assert len(found) == 4
        if name == "Fit":  # a generator draws for its preparations within an epoch
            assert found == whole


@pytest.mark.parametrize("name", ["FitWithin", "ByHand"])
def test_it_goes_on_from_any_batch_through_a_checkpoint(
    name: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(within_epoch, "seconds_left", lambda: None)
    undisturbed = training(name, rate=0.05, epochs=2)
    states, checkpoints = [], CheckpointStore(storage)

    def save() -> None:
        state = undisturbed.state_dict()
        assert state is not None
        checkpoints.save({**state, "seconds": 1000.0})
        states.append(checkpoints.load())

    while undisturbed.outcome is None:
        undisturbed.run_epoch(WithinEpoch(0, save))
    assert len(states) == 2 * 24
    assert "position" not in (undisturbed.state_dict() or {})
    assert all(epoch.epoch_seconds < 1000 for epoch in undisturbed.history)
    for state in states[::5]:
        torch.manual_seed(9)
        later = training(name, rate=0.05, epochs=2)
        later.load_state_dict(state)
        resumed = len(later.history)
        values_of(later)
        assert [one.measured for one in later.history] == [
            one.measured for one in undisturbed.history
        ]
        assert [one.epoch_seconds > 1000 for one in later.history] == [
            epoch == resumed for epoch in range(2)
        ]


def test_a_position_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(within_epoch, "seconds_left", lambda: None)
    run = training("ByHand", rate=0.05)
    run.run_epoch(WithinEpoch(3600, lambda: pytest.fail("it is not due")))
    with pytest.raises(TypeError, match=r"at position None: a position says where to go on"):
        run._run.save(None)


def test_a_notice_reaches_the_users_code_and_ends_its_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(within_epoch, "seconds_left", lambda: 29.0)
    saved: list[object] = []
    run = training("ByHand", rate=0.05)
    with pytest.raises(PreemptedError):
        run.run_epoch(WithinEpoch(3600, lambda: saved.append(run.state_dict())))
    assert len(saved) == 1
    assert run._run.save.seconds_left == 29.0


def test_a_generator_without_a_state_has_nothing_to_be_saved_and_repeats_itself() -> None:
    run = training("forgetful", rate=0.05)
    whole = values_of(run)
    assert run.state_dict() is None
    torch.manual_seed(11)
    assert values_of(training("forgetful", rate=0.05)) == whole


def test_what_its_module_draws_when_it_is_imported_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "drawing.py").write_text(
        "import torch\nfrom own_runs import Fit\ntorch.randn(3)\nclass Mine(Fit):\n    pass\n"
    )
    config = OwnConfig(train="drawing:Mine", params=(("rate", 0.05),), epochs=1, seed=3)
    first, second = (values_of(OwnTraining(config, METRIC, "cpu")) for _ in range(2))
    assert first == second


def test_epochs_of_the_spec_are_the_most() -> None:
    assert len(values_of(training("mistaken", epochs=2, mistake="none"))) == 2
    run = training("mistaken", epochs=None, mistake="none")
    assert len(values_of(run)) == 3
    assert run.outcome == "completed"


def test_a_metric_that_is_no_longer_finite_is_a_divergence() -> None:
    run = training("mistaken", mistake="nan")
    assert len(values_of(run)) == 3
    assert run.outcome == "diverged"
    assert run.best is not None


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("missing", "epoch 1 of 'own_runs:mistaken' gave no 'val_error', which is the metric of "),
        ("appears", "epoch 3 of 'own_runs:mistaken' differs from the first in 'val_iou': every"),
        ("vanishes", "epoch 3 of 'own_runs:mistaken' differs from the first in 'val_loss'"),
        ("text", "epoch 3 of 'own_runs:mistaken' gave 'val_loss' as str, not as a number"),
        ("list", "epoch 3 of 'own_runs:mistaken' gave something of type list, not metrics by name"),
        ("taken", "epoch 1 of 'own_runs:mistaken' gave 'epoch_seconds', which the sweep itself"),
        ("unpicklable", "the state of 'own_runs:mistaken' cannot be saved: "),
        ("nothing", "'own_runs:mistaken' was done before its first epoch"),
    ],
)
def test_a_mistake_is_said(mistake: str, message: str) -> None:
    run = training("mistaken", mistake=mistake)
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        _train_and_save(run)


def test_an_epoch_without_the_metric_that_chooses_settings_is_a_mistake() -> None:
    config = OwnConfig(train="own_runs:Fit", params=(("rate", 0.1),), epochs=4, seed=3)
    run = OwnTraining(config, METRIC, "cpu", also="val_iou")
    with pytest.raises(ValueError, match="epoch 1 of 'own_runs:Fit' gave no 'val_iou'"):
        run.run_epoch()


def kept(run: OwnTraining, storage: Storage, keep: Keep = "best") -> tuple[KeptModel, bytes | None]:
    """Train it with checkpoints, and give what is said of its model, and the model."""
    keeper, store = ModelKeeper(keep, storage), CheckpointStore(storage)
    while run.outcome is None:
        if run.run_epoch() is not None:
            state = run.state_dict()
            keeper.take(run, is_saved=state is not None)
            if state is not None:
                store.save(state)
    told = KeptModel.from_tag(keeper.settle(run)["snn_sweep.model"])
    return told, storage.folder("models").folder(str(told.epoch)).read("model.safetensors")


@pytest.mark.parametrize("keep", ["best", "last"])
def test_its_model_is_that_of_the_epoch_and_the_same_after_an_interruption(
    keep: Keep, storage: Storage, tmp_path: Path
) -> None:
    undisturbed = training("Fit", rate=0.05)
    models = []
    while undisturbed.outcome is None:
        undisturbed.run_epoch()
        models.append(undisturbed.saved())
    assert undisturbed.best is not None
    epoch = undisturbed.best.epoch if keep == "best" else 4
    interrupted = training("Fit", rate=0.05)
    interrupted.run_epoch()
    state = interrupted.state_dict()
    assert state is not None
    ModelKeeper(keep, storage).take(interrupted)
    later = training("Fit", rate=0.05)
    later.load_state_dict(state)
    told, data = kept(later, storage, keep)
    assert (told.epoch, data) == (epoch, models[epoch - 1])
    (tmp_path / "model.safetensors").write_bytes(models[epoch - 1])
    run = load_own_model(tmp_path, own_code="own_runs:Fit")
    value = undisturbed.history[epoch - 1].measured["val_error"]
    with torch.no_grad():
        assert run.evaluate() == {"val_error": value}


def test_its_model_is_the_same_in_whatever_order_the_spec_gives_its_keys() -> None:
    one, other = (
        training("Fit", rate=0.05, hidden="wide"),
        training("Fit", hidden="wide", rate=0.05),
    )
    assert values_of(one) == values_of(other)
    assert one.saved() == other.saved()


def test_a_generator_that_gives_a_state_now_and_then_keeps_what_it_gave(
    storage: Storage, tmp_path: Path
) -> None:
    told, data = kept(training("seldom", epochs=None), storage)
    assert (told.epoch, told.missing) == (2, None)
    assert data is not None
    (tmp_path / "model.safetensors").write_bytes(data)
    assert load_own_model(tmp_path)["state"] == {"epoch": 2}
    # The best by the checkpoint stays, however many epochs follow that leave none.
    assert storage.folder("models").folder("2").read("model.safetensors") == data


@pytest.mark.parametrize(
    ("name", "params", "missing"),
    [
        ("forgetful", {"rate": 0.05}, "'own_runs:forgetful' gives no state: there is no model to"),
        ("opaque", {}, "its state holds something of type object at 0; a model is made of tens"),
        ("mistaken", {"mistake": "nan_at_once"}, "no epoch had finite numbers"),
    ],
)
def test_why_there_is_no_model_is_said(
    name: str, params: dict[str, object], missing: str, storage: Storage
) -> None:
    told, data = kept(training(name, epochs=3, **params), storage)
    assert (told.missing or "").startswith(missing)
    assert (told.epoch, data) == (None, None)


@pytest.mark.parametrize(
    ("mistake", "error"),
    [(ValueError("their own"), ValueError), (OSError("their disk"), RuntimeError)],
)
def test_a_mistake_in_what_gives_the_model_is_the_trial_s(
    mistake: Exception, error: type[Exception], storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training("Fit", rate=0.05)
    run.run_epoch()

    def mistaken() -> None:
        raise mistake

    monkeypatch.setattr(run._run, "model_state", mistaken)
    with pytest.raises(error, match="their"):
        ModelKeeper("best", storage).take(run)


def _train_and_save(run: OwnTraining) -> None:
    while run.outcome is None:
        run.run_epoch()
        run.state_dict()


@pytest.mark.parametrize(
    "name",
    ["/loss", "//loss", "loss/", "a//b", "./x", "a/./b", "a/../b", "../x", "..x", ".", "..", "a/b",
     "a b/.c", ".a", "a..b/c"],
)  # fmt: skip
def test_a_metric_has_a_name_that_mlflow_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training("mistaken", mistake="none")
    monkeypatch.setattr(run._run, "run_epoch", lambda: {"val_error": 0.5, name: 1.0})
    try:
        _validate_metric_name(name)
    except MlflowException:
        with pytest.raises(ValueError, match=re.escape(f"gave a metric {name!r}: a name neither")):
            run.run_epoch()
    else:
        assert run.run_epoch() is not None


def test_a_metric_may_not_have_the_name_of_a_key() -> None:
    run = training("mistaken", mistake="none", val_loss=3)
    with pytest.raises(ValueError, match="gave 'val_loss', and a key of the spec has that name"):
        run.run_epoch()
