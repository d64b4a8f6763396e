from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.train import main
from snn_norm.training.run import TrainingRun

TINY = ["--architecture", "ann", "--norm", "homeostatic", "--dataset", "digits"]
TINY += ["--epochs", "2", "--seed", "42", "--width", "2"]

roots: list[Path] = []


def remembering(root: Path) -> tuple[torch.Tensor, ...]:
    """A user's data set that tells where it was looked for."""
    roots.append(root)
    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(8) % 2
    return images, labels, images, labels


def broken(root: Path) -> tuple[torch.Tensor, ...]:
    raise KeyError(root.name)


def leaving(root: Path) -> tuple[torch.Tensor, ...]:
    del root
    sys.exit(3)


@pytest.fixture
def called() -> list[Path]:
    roots.clear()
    return roots


def start(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Where the tests themselves run in a shell's background, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_prints_what_the_run_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TINY) == 0
    out, err = capsys.readouterr()
    assert err == ""
    *epochs, last = out.splitlines()
    config = RunConfig(
        architecture="ann", norm="homeostatic", dataset="digits", epochs=2, seed=42, width=2
    )
    run = TrainingRun(config, load_dataset("digits", Path()))
    results = list(run.epochs())
    assert len(epochs) == 2
    for line, result in zip(epochs, results, strict=True):
        assert line.startswith(f"epoch {result.epoch}/2 ")
        train, test = line.split("test:")
        assert f"loss {result.train_loss:.4f}, accuracy {result.train_accuracy:7.2%}" in train
        assert f"loss {result.test_loss:.4f}, accuracy {result.test_accuracy:7.2%}" in test
    assert run.best is not None
    best = f"best test accuracy {run.best.test_accuracy:.2%} in epoch {run.best.epoch}; "
    assert last == best + str(run.outcome)


def test_says_what_held_out_images_measured_and_that_they_selected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*TINY, "--validation-fraction", "0.1"]) == 0
    *epochs, last = capsys.readouterr().out.splitlines()
    config = RunConfig(
        architecture="ann", norm="homeostatic", dataset="digits", epochs=2, seed=42, width=2,
        validation_fraction=0.1,
    )  # fmt: skip
    run = TrainingRun(config, load_dataset("digits", Path()))
    for line, result in zip(epochs, run.epochs(), strict=True):
        held_out = line.split("held out:")[1].split("test:")[0]
        loss, accuracy = result.validation_loss, result.validation_accuracy
        assert f"loss {loss:.4f}, accuracy {accuracy:7.2%}" in held_out
    assert run.best is not None
    told = f"test accuracy {run.best.test_accuracy:.2%} in epoch {run.best.epoch}, the best on "
    assert last == f"{told}held-out training images; completed"


def test_every_option_reaches_the_run(called: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given = RunConfig(
        architecture="snn",
        norm="bntt",
        dataset=f"{__name__}:remembering",
        seed=7,
        epochs=2,
        batch_size=4,
        learning_rate=3e-4,
        optimizer="sgd",
        momentum=0.5,
        weight_decay=1e-4,
        schedule="constant",
        warmup_epochs=1,
        augment=True,
        precision="bf16",
        compile=False,
        stop_when_collapsed_after=2,
        training_images=6,
        validation_fraction=0.25,
        trunk="resnet",
        depth=8,
        shortcut="spike",
        init="activity",
        width=2,
        image_size=9,
        num_steps=3,
        neuron="plif",
        reset="zero",
        surrogate="atan",
        beta=0.8,
        threshold=0.7,
        slope=10.0,
    )
    assert given.given().keys() == RunConfig.model_fields.keys()
    made: list[RunConfig] = []

    def note(self: TrainingRun, on_batch: object) -> None:
        del on_batch
        made.append(self.config)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "run_epoch", note)
    arguments = []
    for key, value in given.given().items():
        flag = "--" + key.replace("_", "-")
        arguments += [flag] if value is True else [flag, str(value)]
    assert main(arguments) == 130
    assert made == [given]
    assert len(called) == 1


def test_help_names_every_key_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for key, field in RunConfig.model_fields.items():
        assert f"--{key.replace('_', '-')}" in text
        assert str(field.description) in text
        if not field.is_required() and field.default is not None:
            assert f"; default {field.default}" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--learning-rate", "nan"], ["--learning-rate"]),
        (["--seed", "1.5", "--width", "0", "--optimizer", "rms"], ["--seed", "--width", "--optim"]),
        (
            ["--epochs", "0", "--batch-size", "many"],
            [
                "--epochs: must be at least 1, got",
                "--batch-size: must be a whole number, got 'many'",
            ],
        ),
        (["--num-steps", "5"], ["num_steps belongs to the spiking network"]),
        (["--precision", "fp16"], ["--precision: must be float32, or bf16 for"]),
        (["--norm", "bntt"], ["got 'bntt'"]),
        (["--depth", "20"], ["depth belongs to the trunk resnet"]),
        (["--trunk", "vgg"], ["--trunk: must be one of reference, vgg9"]),
        (["--norm", "no_such_module:norm"], ["cannot import 'no_such_module'"]),
        (["--norm", f"{__name__}:roots"], ["cannot be called"]),
        (["--architecture", "cnn"], ["got 'cnn'"]),
        (["--architecture", f"{__name__}:remembering"], ["must take (norm="]),
        (["--dataset", "imagenet"], ["got 'imagenet'"]),
        (["--dataset", f"{__name__}:roots"], ["data set"]),
        (["--dataset", f"{__name__}:broken"], ["raised KeyError: 'data'"]),
        (["--dataset", f"{__name__}:leaving"], ["raised SystemExit: 3"]),
        (["--device", "nonsense"], ["--device: 'nonsense' cannot be used here"]),
        (["--device", "meta"], ["--device: 'meta' cannot be used here"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_input_is_named_a_line_each(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: list[str]
) -> None:
    assert main([*TINY, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == len(named)
    assert all(any(name in line for line in lines) for name in named)


@pytest.mark.parametrize("arguments", [["--architecture", "ann"], [*TINY, "--colour", "red"]])
def test_missing_and_unknown_options(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--colour red" in last or "--norm, --dataset, --seed, --epochs" in last


def test_a_wrong_norm_is_found_before_the_data_set_is_loaded(called: list[Path]) -> None:
    assert main([*TINY, "--dataset", f"{__name__}:remembering", "--norm", "bntt"]) == 2
    assert called == []


@pytest.mark.parametrize(
    ("environment", "option", "expected"),
    [
        ({"SNN_SWEEP_DATA": "/a", "SNN_SWEEP_HOME": "/b"}, [], "/a"),
        ({"SNN_SWEEP_HOME": "/b"}, [], "/b/data"),
        ({"HOME": "/c"}, [], "/c/.snn-sweep/data"),
        ({"SNN_SWEEP_DATA": "/a"}, ["--data", "/d"], "/d"),
    ],
)
def test_where_the_data_sets_are(
    called: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    option: list[str],
    expected: str,
) -> None:
    for name in ("SNN_SWEEP_DATA", "SNN_SWEEP_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main([*TINY, "--dataset", f"{__name__}:remembering", *option]) == 0
    assert called == [Path(expected)]


def test_divergence_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--learning-rate", "1e30"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("; diverged")


def test_ctrl_c_ends_with_what_was_reached() -> None:
    process = start("-m", "snn_norm.train", *TINY, "--epochs", "100000")
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert first.startswith("epoch      1/100000")
    assert process.returncode == 130
    assert err == ""
    last = out.splitlines()[-1]
    assert last.startswith("best test accuracy")
    assert last.endswith("; interrupted")


def test_says_how_spiking_layers_compute() -> None:
    spiking = ["--architecture", "snn", "--norm", "bntt", "--num-steps", "2"]
    process = start("-m", "snn_norm.train", *TINY, *spiking)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == "spiking layers are computed by numba on cpu\n"


def test_a_terminal_gets_a_progress_bar() -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    process = start("-m", "snn_norm.train", *TINY, "--batch-size", "8", stderr=slave)
    os.close(slave)
    shown = _read_all(lambda: os.read(master, 65536))
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 0
    assert "image/s" not in out
    for epoch in ("epoch 1/2", "epoch 2/2"):
        assert epoch in shown
    assert re.search(r" [1-9]\d*/1437", shown)


def _read_all(read: Callable[[], bytes]) -> str:
    parts = []
    try:
        while part := read():
            parts.append(part)
    except OSError:  # Linux's end of a pseudo-terminal
        pass
    return b"".join(parts).decode()


def test_training_needs_no_sweep() -> None:
    program = f"""
import sys
import snn_norm
from snn_norm.train import main
assert main({TINY!r}) == 0
packages = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(packages & {{"ray", "mlflow", "orchestration", "services"}}))
"""
    process = start("-c", program)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "[]"
