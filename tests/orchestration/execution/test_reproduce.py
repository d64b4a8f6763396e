"""Recorded trials trained again: what is the same is, and what is not is named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestration.cli.main import cli
from orchestration.model.trial import Trial
from orchestration.record.archive import SweepArchive, read_archive, write_archive
from orchestration.record.finished_trial import FinishedTrial, Point
from orchestration.record.machine import ENGINE_TAG, MACHINE_TAG, machine_tags
from orchestration.record.names import OUTCOME_TAG, ROLE_TAG, TRIAL_KEY_TAG, params_of
from orchestration.results.recorded_trials import choose
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from snn_norm.data.dataset import load_dataset
from snn_norm.neurons.engine import Engine
from snn_norm.training.run import TrainingRun

SPEC = {
    "name": "small",
    "dataset": "digits",
    "epochs": 2,
    "seeds": [1, 2],
    "grid": [
        {"architecture": "ann", "norm": "batchnorm", "width": 2},
        {"architecture": "snn", "norm": "none", "width": 2, "num_steps": 2},
    ],
}


def trained(trial: Trial, folder: Path, engine: Engine | None = None) -> FinishedTrial:
    """A trial as a sweep's worker would have recorded it here, by this engine if one is given."""
    run = TrainingRun(trial.config, load_dataset("digits", folder, trial.config.image_size))
    if engine is not None:
        run.keep_engine(engine)
    points = [
        (name, result.epoch, 1000 + result.epoch, value)
        for result in run.epochs()
        for name, value in result.metrics().items()
    ]
    assert run.best is not None
    points.append(("best_test_accuracy", 2, 1003, run.best.test_accuracy))
    tags = {ROLE_TAG: "trial", TRIAL_KEY_TAG: trial.key, OUTCOME_TAG: str(run.outcome)}
    tags |= machine_tags("cpu")
    if run.engine:
        tags[ENGINE_TAG] = run.engine
    return FinishedTrial(
        f"run-{trial.key}", trial.label, 1000, 1004, params_of(trial.config.given()), tags, points
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small é")
    spec = SweepSpec.from_dict(SPEC)
    trials = tuple(trained(trial, folder) for trial in spec.trials())
    write_archive(
        SweepArchive("small", "completed", spec.to_json(), trials), folder / "small.jsonl"
    )
    return folder / "small.jsonl"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["reproduce", *arguments])


def changed(file: Path, folder: Path, change: Callable[[FinishedTrial], FinishedTrial]) -> str:
    archive = read_archive(file)
    path = folder / "changed.jsonl"
    write_archive(dataclasses.replace(archive, trials=tuple(map(change, archive.trials))), path)
    return str(path)


def with_points(change: Callable[[Point], Point]) -> Callable[[FinishedTrial], FinishedTrial]:
    return lambda trial: dataclasses.replace(trial, points=[change(one) for one in trial.points])


def with_tag(tag: str, text: str) -> Callable[[FinishedTrial], FinishedTrial]:
    return lambda trial: dataclasses.replace(trial, tags={**trial.tags, tag: text})


def test_it_comes_out_the_same_to_the_last_bit(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "home"))
    found = run(str(file), "--sample", "4")
    assert found.exit_code == 0, found.output
    assert found.stdout.count("the same, bit for bit") == 4
    assert "ann batchnorm seed 1" in found.stdout
    assert not (tmp_path / "home" / "tracking").exists()


def test_a_trial_of_eager_layers_is_trained_by_them_again(tmp_path: Path) -> None:
    spec = SweepSpec.from_dict(SPEC)
    spiking = [trial for trial in spec.trials() if trial.config.architecture == "snn"]
    trials = tuple(trained(trial, tmp_path, "eager") for trial in spiking)
    path = tmp_path / "eager.jsonl"
    write_archive(SweepArchive("eager", "completed", spec.to_json(), trials), path)
    found = run(str(path), "--sample", "1")
    assert found.exit_code == 0, found.output
    assert "the same, bit for bit" in found.stdout


def test_the_last_bit_of_one_number_is_enough_to_differ(file: Path, tmp_path: Path) -> None:
    path = changed(
        file,
        tmp_path,
        with_points(
            lambda one: (
                *one[:3],
                math.nextafter(one[3], 9) if one[:2] == ("test_loss", 2) else one[3],
            )
        ),
    )
    found = run(path, "--sample", "1")
    assert found.exit_code == 1
    assert "different" in found.stdout
    assert "first unlike in epoch 2: test_loss" in found.stdout


def test_another_machines_numbers_need_only_be_near(file: Path, tmp_path: Path) -> None:
    near = with_points(lambda one: (*one[:3], one[3] * 1.01))
    elsewhere = with_tag(MACHINE_TAG, "8 × Another Processor, 9 GiB")
    path = changed(file, tmp_path, lambda trial: elsewhere(near(trial)))
    found = run(path, "--sample", "1")
    assert found.exit_code == 0, found.output
    assert "the same within 0.15" in found.stdout
    assert "processor Another Processor recorded, " in found.stdout
    found = run(path, "--sample", "1", "--tolerance", "0.001")
    assert found.exit_code == 1


def test_cores_and_memory_do_not_make_another_machine(file: Path, tmp_path: Path) -> None:
    here = machine_tags("cpu")[MACHINE_TAG]
    other = "999 × " + here.partition(" × ")[2].rpartition(", ")[0] + ", 77 GiB"
    found = run(changed(file, tmp_path, with_tag(MACHINE_TAG, other)), "--sample", "1")
    assert found.exit_code == 0
    assert "processor" not in found.stdout


def test_another_outcome_or_length_is_different(file: Path, tmp_path: Path) -> None:
    def shorter(trial: FinishedTrial) -> FinishedTrial:
        points = [point for point in trial.points if point[1] == 1]
        return with_tag(OUTCOME_TAG, "diverged")(dataclasses.replace(trial, points=points))

    found = run(changed(file, tmp_path, shorter), "--sample", "1")
    assert found.exit_code == 1
    assert "1 epochs recorded, 2 here" in found.stdout
    assert "diverged recorded, " in found.stdout


def test_the_sample_is_the_seeds(file: Path) -> None:
    results = Results(str(file))
    first, second = ([trial.key for trial, _ in choose(results, sample=3, seed=n)] for n in (0, 1))
    assert first == [trial.key for trial, _ in choose(results, sample=3)]
    assert first != second
    assert first[:2] == [trial.key for trial, _ in choose(results, sample=2)]


def test_a_trial_is_taken_by_its_key(file: Path) -> None:
    key = read_archive(file).trials[3].key
    found = run(str(file), "--trial", key)
    assert found.exit_code == 0, found.output
    assert "snn none seed 2" in found.stdout
    assert found.stdout.count("bit for bit") == 1


@pytest.mark.parametrize("name", ["shutil:rmtree", "os:system"])
def test_a_data_set_that_only_the_record_names_is_not_called(
    name: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("SNN_SWEEP_DATA", str(data))
    of_a_stranger = changed(
        file, tmp_path, lambda one: dataclasses.replace(one, params={**one.params, "dataset": name})
    )
    key = read_archive(file).trials[0].key
    found = run(of_a_stranger, "--trial", key, "--own-code", "own_code:blobs")
    assert (found.exit_code, data.is_dir()) == (2, True)
    assert f"trial {key}: dataset '{name}' cannot be loaded: code that only" in found.stderr


def test_code_of_ones_own_that_is_named_is_trained_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set_of_reproduce.py").write_text(
        "from snn_norm.data.local import load_digits\ndef digits(root):\n    return load_digits()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "set_of_reproduce:digits"
    own = changed(
        file, tmp_path, lambda one: dataclasses.replace(one, params={**one.params, "dataset": name})
    )
    key = read_archive(file).trials[0].key
    found = run(own, "--trial", key, "--own-code", name)
    assert found.exit_code == 1  # it is another key
    assert "its own code has changed" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("FILE", "--sample", "5"), "has 4 finished trials of its spec, and 5 are asked for: "
         "--sample 4 takes all of them"),
        (("EMPTY",), "has 0 finished trials of its spec, and 3 are asked for\n"),
        (("FILE", "--trial", "0123456789abcdef"), "has no finished trial '0123456789abcdef'"),
        (("LATER",), "cannot be trained by this version: learning_raet"),
        (("FILE", "--device", "foo"), "--device: 'foo' cannot be used here: Expected one of cpu"),
        (("FILE", "--sample", "0"), "0 is not in the range x>=1"),
        (("nothing.jsonl",), "cannot be read"),
    ],
)  # fmt: skip
def test_wrong_input(arguments: tuple[str, ...], message: str, file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    write_archive(dataclasses.replace(read_archive(file), trials=()), empty)
    later = changed(
        file,
        tmp_path,
        lambda one: dataclasses.replace(one, params={**one.params, "learning_raet": "1"}),
    )
    given = {"FILE": str(file), "EMPTY": str(empty), "LATER": later}
    found = run(*(given.get(one, one) for one in arguments))
    assert found.exit_code == 2
    assert message in found.stderr
