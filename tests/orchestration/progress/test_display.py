from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from searched import searched
from specs import entry, spec

from orchestration import SweepSpec
from orchestration.model.durations import duration
from orchestration.model.metric import Metric
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress import state
from orchestration.progress.console import TextConsole
from orchestration.progress.display import LineDisplay, LiveDisplay, make_display
from orchestration.progress.events import (
    DecisionProgress,
    EpochDone,
    Failed,
    Planned,
    Retried,
    Started,
)
from orchestration.progress.state import Progress
from orchestration.sweep.plan import make_plan

SPEC = SweepSpec.from_dict(
    spec(epochs=4, grid=[{"architecture": "ann", "norm": ["none", "batchnorm"]}])
)
NONE_1, NONE_2, BATCHNORM_1, BATCHNORM_2 = SPEC.trials()


def report(epoch: int, best: float, outcome: str | None = None) -> dict[str, Any]:
    return {"epoch": epoch, "epoch_seconds": 10.0, "value": best, "best": best, "outcome": outcome}


@pytest.fixture
def plan() -> Any:
    """One trial has finished before, one has done an epoch, two are new."""
    finished = TrialRun("a", NONE_1.key, "FINISHED", "completed", 4, 5.0, "1", False)
    begun = TrialRun("b", NONE_2.key, "KILLED", None, 1, 5.0, "1", True)
    return make_plan(SPEC.trials(), [finished, begun], version="1")


def test_counts_and_time_left_follow_the_events(plan: Any) -> None:
    progress = Progress()
    progress.update(Planned(plan))
    assert (progress.done, progress.count("waiting")) == (1, 3)
    # 5 s an epoch, as recorded of the same architecture: 3 + 4 + 4 epochs, one at a time.
    assert progress.seconds_left() == pytest.approx(55)
    for trial in (BATCHNORM_1, BATCHNORM_2):
        progress.update(EpochDone(trial.label, report(1, 0.5)))
    assert progress.count("running") == 2
    # Two at a time now: 3 epochs of the cell's own 10 s beside 3, then 3 of 5 s.
    assert progress.seconds_left() == pytest.approx(3 * 10 + 3 * 5)
    progress.update(EpochDone(BATCHNORM_1.label, report(4, 0.9, "completed")))
    assert (progress.done, progress.count("running")) == (2, 1)


def test_the_time_left_of_a_large_sweep_is_not_estimated_at_each_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = SweepSpec.from_dict(spec(seeds=list(range(200)), epochs=4))
    trials, estimates = large.trials(), []
    monkeypatch.setattr(state, "seconds_left", lambda *_, **__: estimates.append(1))
    progress = Progress()
    progress.update(Planned(make_plan(trials, [], version="1")))
    for trial in trials:
        progress.update(EpochDone(trial.label, report(4, 0.9, "completed")))
        progress.summary()
    assert progress.done == len(trials)
    assert 20 <= len(estimates) <= 50


def test_a_trial_that_had_only_its_books_to_close_has_its_best(plan: Any) -> None:
    text = io.StringIO()
    with LineDisplay(TextConsole(file=text)) as watch:
        watch(Planned(plan))
        watch(EpochDone(NONE_2.label, {"best": 0.875, "outcome": "completed"}))
    assert "ann none seed 2: completed, best 87.50%" in text.getvalue()


def test_time_left_is_unknown_before_the_first_epoch() -> None:
    progress = Progress()
    progress.update(Planned(make_plan(SPEC.trials(), [], version="1")))
    assert progress.seconds_left() is None
    assert "time left unknown yet" in progress.summary()


def test_without_a_terminal_each_event_is_a_line(plan: Any) -> None:
    text = io.StringIO()
    watch = make_display(TextConsole(file=text))
    assert isinstance(watch, LineDisplay)
    with watch:
        watch(Planned(plan))
        watch(Started(BATCHNORM_1.label))
        watch(EpochDone(BATCHNORM_1.label, report(4, 0.875, "completed")))
        watch(Retried(NONE_2.label, "WorkerCrashedError: it died"))
        watch(Failed(BATCHNORM_2.label, "[bold]ValueError: no markup[/bold]"))
    lines = [line.partition("] ")[2] for line in text.getvalue().splitlines()]
    assert lines[:4] == [
        "2 trials to run, 1 to resume, 1 finished before",
        "ann batchnorm seed 1: started",
        "ann batchnorm seed 1: epoch 4 of 4, test accuracy 87.50%, 10.0 s",
        "ann batchnorm seed 1: completed, best 87.50%",
    ]
    assert lines[4].startswith("2 of 4 done · 0 running · 2 waiting · 0 failed · ")
    assert lines[5] == "ann none seed 2: interrupted, will be resumed: WorkerCrashedError: it died"
    assert lines[6] == "ann batchnorm seed 2: failed: [bold]ValueError: no markup[/bold]"


def test_a_terminal_shows_a_row_a_cell_and_its_seeds(plan: Any) -> None:
    text = io.StringIO()
    watch = make_display(TextConsole(file=text, force_terminal=True, width=100, height=20))
    assert isinstance(watch, LiveDisplay)
    with watch:
        watch(Planned(plan))
        watch(Started(BATCHNORM_1.label))
        watch(EpochDone(BATCHNORM_1.label, report(2, 0.875)))
        watch(Failed(BATCHNORM_2.label, "ValueError: a mistake"))
    shown = text.getvalue()
    assert "ann batchnorm seed 2: failed: ValueError: a mistake" in shown
    final = shown[shown.rindex("best so far") :]
    assert "1: running" not in final, "a running trial shows its epoch"
    for piece in ("ann none", "1: reused", "2: waiting", "1: 2/4 87.50%", "2: failed", "87.50%"):
        assert piece in final


@pytest.mark.parametrize("width", [100, 40])
def test_what_is_decided_has_a_column_and_the_budget_a_line(plan: Any, width: int) -> None:
    words = "1 of 2 comparisons decided · 0.5 of 3 GPU hours used · next decision: a against b"
    text = io.StringIO()
    terminal = TextConsole(
        file=text, force_terminal=True, color_system=None, width=width, height=20
    )
    with LiveDisplay(terminal) as watch:
        watch(Planned(plan))
        assert "decided" not in text.getvalue()
        watch(DecisionProgress({"ann batchnorm": "1 of 2"}, words))
    final = text.getvalue()
    final = final[final.rindex("best so far" if width == 100 else "best") :]
    assert "decided" in final
    shown = " ".join(final.split())
    assert "1 of 2" in shown
    assert "GPU hours used" in shown
    if width == 100:
        assert re.search("ann none +– +– +2: waiting", final), "it is compared with nothing"
        assert "ann batchnorm  –            1 of 2   1: waiting  2: waiting" in final
        assert words in final

    text = io.StringIO()
    lines = LineDisplay(TextConsole(file=text, width=width), clock=lambda: 0.0)
    lines(DecisionProgress({}, words))
    assert text.getvalue().endswith(f"] {words}\n")


def test_an_own_metric_is_shown_as_it_is_and_epochs_without_an_end() -> None:
    given = {
        "name": "own",
        "train": "my_lab:Run",
        "seeds": [1, 2],
        "grid": [{"method": "ours"}],
        "metric": {"name": "val_loss", "goal": "minimize"},
    }
    spec = SweepSpec.from_json(json.dumps(given))
    cell, metric = spec.cells()[0], spec.judged_by()
    assert metric == Metric("val_loss", "minimize")
    trials = [
        Trial(cell.model_copy(update={"seed": seed}), str(seed), "ours", metric) for seed in (1, 2)
    ]
    lines, table = io.StringIO(), io.StringIO()
    live = LiveDisplay(TextConsole(file=table, force_terminal=True, width=100, height=20))
    told = make_display(TextConsole(file=lines))
    with live:
        for watch in (live, told):
            watch(Planned(make_plan(trials, [], version="1")))
            watch(Started("ours seed 2"))
            watch(EpochDone("ours seed 1", report(3, 0.125, "completed")))
            watch(EpochDone("ours seed 2", report(4, 0.5)))
    assert "ours seed 2: epoch 4, val_loss 0.5000, 10.0 s" in lines.getvalue()
    assert "ours seed 1: completed, best 0.1250" in lines.getvalue()
    assert "time left unknown yet" in lines.getvalue()
    final = table.getvalue()
    final = final[final.rindex("best so far") :]
    assert "2: epoch 4 0.5000" in final
    assert final.index("0.1250") < final.index("0.5000"), "the best is the smallest"


def test_of_a_search_it_shows_the_metric_that_chooses_settings() -> None:
    spec = searched(trials=1)
    ((tried, fresh),) = spec.setting_trials([0, 101])[0]
    tried = Trial.from_dict(json.loads(json.dumps(tried.to_dict())))  # as from a log
    lines, table = io.StringIO(), io.StringIO()
    live = LiveDisplay(TextConsole(file=table, force_terminal=True, width=100, height=20))
    with live:
        for watch in (live, make_display(TextConsole(file=lines))):
            watch(Planned(make_plan([tried, fresh], [], version="1")))
            watch(EpochDone(tried.label, report(1, 0.875)))
            watch(EpochDone(fresh.label, report(1, 0.5)))
    assert "setting 1 seed 0: epoch 1 of 3, validation accuracy 87.50%" in lines.getvalue()
    assert "setting 1 seed 101: epoch 1 of 3, test accuracy 50.00%" in lines.getvalue()
    final = table.getvalue()[table.getvalue().rindex("best so far") :]
    assert re.search("ann none setting 1, validation accuracy.* 87.50% .*0: 1/3 87.50%", final)
    assert re.search("ann none setting 1 .* 50.00% .*101: 1/3 50.00%", final)


def test_a_table_with_more_cells_than_lines_shows_those_at_work() -> None:
    trials = SweepSpec.from_dict(entry(width=list(range(1, 41))) | {"seeds": [1]}).trials()
    text = io.StringIO()
    watch = LiveDisplay(TextConsole(file=text, force_terminal=True, width=100, height=12))
    with watch:
        watch(Planned(make_plan(trials, [], version="1")))
        watch(Started(trials[-1].label))
    final = text.getvalue()
    final = final[final.rindex("best so far") :]
    assert "… 32 more" in final
    assert trials[-1].cell_label in final


def test_brackets_of_a_users_values_are_text() -> None:
    data = {"train": "x:Run", "metric": {"name": "m", "goal": "maximize"}, "name": "a [v2]"}
    grid = [{"tag": ["[/INST]", "[red]"]}]
    spec = SweepSpec.from_json(json.dumps({**data, "epochs": 1, "seeds": [1], "grid": grid}))
    cells = [f"tag={cell.given()['tag']}" for cell in spec.cells()]
    text = io.StringIO()
    trials = [Trial(cell, key, label) for cell, key, label in
              zip(spec.cells(), "ab", cells, strict=True)]  # fmt: skip
    with LiveDisplay(TextConsole(file=text, force_terminal=True, width=100, height=20)) as watch:
        watch(Planned(make_plan(trials, [], version="1")))
        watch(Failed(trials[0].label, "[/red] is no number"))
    shown = text.getvalue()
    assert all(cell in shown for cell in cells)
    assert "[/red] is no number" in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
