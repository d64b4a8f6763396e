"""What is wrong with a spec, and where: a message names file, line, field, value and rule."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from specs import SPEC, entry, spec

from orchestration.errors import InputError, SpecError
from orchestration.sweep.spec import SweepSpec
from snn_norm.config import MODEL_KEYS
from snn_norm.norms.table import NORMS, norms_of

ANN_NORMS, SNN_NORMS = (", ".join(norms_of(architecture)) for architecture in ("ann", "snn"))


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        SweepSpec.from_dict(data)
    assert caught.value.exit_code == 2
    return str(caught.value)


def load(tmp_path: Path, text: str) -> SweepSpec:
    folder = tmp_path / "Läufe von heute"
    folder.mkdir()
    path = folder / "sweep.yaml"
    path.write_text(text)
    return SweepSpec.load(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "norm: bntt",
            "norm: bnt",
            9,
            f"grid[1].norm: must be one of {SNN_NORMS} for architecture snn, "
            "or package.module:name for your own, got 'bnt'; did you mean 'bntt'?",
        ),
        (
            "norm: [none, batchnorm]",
            "norm: [none, bntt]",
            7,
            f"grid[0].norm[1]: must be one of {ANN_NORMS} for architecture ann, "
            "or package.module:name for your own, got 'bntt', which belongs to architecture snn",
        ),
        (
            "architecture: snn",
            "architecture: sNN",
            8,
            "grid[1].architecture: must be one of ann, snn, or package.module:name for your own, "
            "got 'sNN'; did you mean 'snn'?",
        ),
        (
            "dataset: digits",
            "dataset: cifar-10",
            2,
            "dataset: must be one of digits, mnist, fashion-mnist, cifar10, cifar100, "
            "or package.module:name for your own, got 'cifar-10'; did you mean 'cifar10'?",
        ),
        ("dataset: digits\n", "", None, "dataset: is missing: digits, mnist, …"),
        ("epochs: 8", "epochs: 0", 3, "epochs: must be at least 1, got 0"),
        ("epochs: 8", "epochs: 1.5", 3, "epochs: must be a whole number, got 1.5"),
        ("epochs: 8", "epochs: [5, 10]", 3, "epochs: must be a single value, got a list"),
        (
            "epochs: 8",
            "epoch: 8",
            3,
            "epoch: is not a key here; valid are name, train, dataset, epochs, seeds, "
            "search, confirm, compare, gpu_hours, training, grid, metric, baseline, resources, "
            "retries, reuse, keep, checkpoint_minutes, "
            "stop_when_collapsed; did you mean 'epochs'?",
        ),
        (
            "epochs: 8",
            "epochs: 8\nkeep: all",
            4,
            "keep: must be one of best, last, none, got 'all'",
        ),
        (
            "epochs: 8",
            "epochs: 8\nwidth: 16",
            4,
            "width: is not a key here; valid are name, train, dataset, epochs, seeds, "
            "search, confirm, compare, gpu_hours, training, grid, metric, baseline, resources, "
            "retries, reuse, keep, checkpoint_minutes, "
            "stop_when_collapsed; it belongs in an entry of the grid",
        ),
        (
            "optimizer: adam",
            "optimiser: adam",
            5,
            "training.optimiser: is not a key here; valid are batch_size, learning_rate, "
            "optimizer, momentum, weight_decay, schedule, warmup_epochs, augment, precision, "
            "compile, training_images, validation_fraction; did you mean 'optimizer'?",
        ),
        (
            "num_steps: 10",
            "num_step: 10",
            10,
            "grid[1].num_step: is not a key here; valid are architecture, norm, dataset, epochs, "
            "batch_size, learning_rate, optimizer, momentum, weight_decay, schedule, "
            "warmup_epochs, augment, precision, compile, training_images, validation_fraction, "
            f"{', '.join(MODEL_KEYS)}; did you mean 'num_steps'?",
        ),
        (
            "optimizer: adam",
            "validation_fraction: 10",
            5,
            "training.validation_fraction: must be at most 0.5, got 10",
        ),
        (
            "optimizer: adam",
            "optimizer: adan",
            5,
            "training.optimizer: must be one of adam, adamw, sgd, got 'adan'; did you mean 'adam'?",
        ),
        (
            "optimizer: adam",
            "precision: bfloat16",
            5,
            "training.precision: must be float32, or bf16 for convolutions and linear layers in "
            "bfloat16 (its range is float32's, so losses are not scaled; float16 is not offered), "
            "got 'bfloat16'",
        ),
        ("0.001", ".nan", 5, "training.learning_rate: must be a finite number, got nan"),
        ("0.001", "-1", 5, "training.learning_rate: must be greater than 0, got -1"),
        ("0.001", "fast", 5, "training.learning_rate: must be a number, got 'fast'"),
        ("0.001", "", 5, "training.learning_rate: must be a single value, got nothing"),
        ("[42, 123]", "[]", 4, "seeds: must hold at least one value, got an empty list"),
        ("seeds: [42, 123]\n", "", 1, "seeds: is missing: a list of whole numbers, …"),
        ("[42, 123]", "[42, 42]", 4, "seeds[1]: must be given once each, got 42 again"),
        ("[42, 123]", "\n  - 42\n  - -1", 6, "seeds[1]: must be at least 0, got -1"),
        ("[42, 123]", "[42, 1.5]", 4, "seeds[1]: must be a whole number, got 1.5"),
        ("[42, 123]", "[42, true]", 4, "seeds[1]: must be a whole number, got true"),
        ("[42, 123]", "[x]", 4, "seeds[0]: must be a whole number, got 'x'"),
        (
            "[42, 123]",
            "x",
            4,
            "seeds: must be a list of whole numbers, or {until: decided, …}, got 'x'",
        ),
        (
            "[42, 123]",
            "[4294967296]",
            4,
            "seeds[0]: must be less than 4,294,967,296, got 4294967296",
        ),
        ("name: digits", "name: 2024", 1, "name: must be text, got 2024; put it in quotes"),
        ("name: digits", "name: a/b", 1, "name: must not hold / or \\, got 'a/b'"),
        ("name: digits", "name: ..", 1, "name: must not be . or hold .., got '..'"),
        ("name: digits", "name: .", 1, "name: must not be . or hold .., got '.'"),
        (
            "name: digits",
            'name: "a\\nb"',
            1,
            "name: must hold only printable characters, got 'a\\nb'",
        ),
        ("name: digits", "name: ' a'", 1, "name: must not begin or end with a space, got ' a'"),
        ("name: digits", "name: ''", 1, "name: must be 1 to 128 characters long, got ''"),
        (
            "name: digits",
            "name: " + 129 * "a",
            1,
            "name: must be 1 to 128 characters long, got 'aaaa…",
        ),
        (
            "num_steps: 10",
            "norm: none",
            10,
            "the key 'norm' is here twice, on lines 9 and 10; remove one",
        ),
        ("width: 16", "num_steps: 3", 7, "grid[0].num_steps: num_steps belongs to the spiking…"),
        (
            "epochs: 8",
            "epochs: 8\nstop_when_collapsed: {after_epochs: 0}",
            4,
            "stop_when_collapsed.after_epochs: must be at least 1, got 0",
        ),
        (
            "epochs: 8",
            "epochs: 8\nstop_when_collapsed: {after: 1, after_epochs: 1}",
            4,
            "stop_when_collapsed.after: is not a key here; valid are after_epochs",
        ),
        ("epochs: 8", "epochs: 8\nretries: -1", 4, "retries: must be at least 0, got -1"),
        (
            "epochs: 8",
            "epochs: 8\ncheckpoint_minutes: 0",
            4,
            "checkpoint_minutes: must be greater than 0, got 0",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: {gpu: 1.5}",
            4,
            "resources.gpu: must be a fraction of a GPU (such as 0.25), a whole number, or auto, "
            "got 1.5",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: {cpus: 1}",
            4,
            "resources.cpus: is not a key here; valid are cpu, gpu, priority; did you mean 'cpu'?",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: {priority: 0}",
            4,
            "resources.priority: must be at least 0.001, got 0",
        ),
        (
            "epochs: 8",
            "epochs: 8\nresources: 2",
            4,
            "resources: must be a mapping of keys to values, got 2",
        ),
        (
            "norm: bntt",
            "norm: []",
            9,
            "grid[1].norm: must hold at least one value, got an empty list",
        ),
        ("norm: bntt", "norm: [[a]]", 9, "grid[1].norm[0]: must be a single value, got a list"),
        ("norm: bntt", "norm:", 9, "grid[1].norm: must be a single value, got nothing"),
        ("norm: bntt", "norm: 3", 9, "grid[1].norm: must be text, got 3"),
        ("    norm: bntt\n", "", 8, f"grid[1].norm: is missing: {', '.join(NORMS)}…"),
        (
            "num_steps: 10",
            "num_steps: [1, 0, 2.5]",
            10,
            "grid[1].num_steps[1]: must be at least 1, got 0",
        ),
        (
            "norm: bntt",
            "norm: nowhere_at_all:norm",
            9,
            "grid[1].norm: a norm of architecture snn is called with (num_features, num_steps): "
            "cannot import 'nowhere_at_all'…",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_field_value_and_rule(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    assert old in SPEC
    with pytest.raises(SpecError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    place = f"{tmp_path}/Läufe von heute/sweep.yaml:{line or 1}: "
    first = str(caught.value).splitlines()[0]
    assert first[: len(place)] == place
    if message.endswith("…"):  # long, or what another module says
        first, message = first[: len(place + message) - 1], message[:-1]
    assert first[len(place) :] == message


def test_several_problems_come_in_the_file_s_order(tmp_path: Path) -> None:
    text = SPEC.replace("bntt", "bnt").replace("epochs: 8", "epochs: 0").replace("0.001", "-1")
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    problems = caught.value.problems
    assert [(problem.line, problem.field) for problem in problems] == [
        (3, "epochs"),
        (5, "training.learning_rate"),
        (9, "grid[1].norm"),
    ]
    assert len(str(caught.value).splitlines()) == 3


def test_a_grid_whose_only_entry_is_wrong_is_not_said_to_be_empty() -> None:
    data = spec(grid=[{"architecture": "snn", "nrom": "bntt"}])
    assert refused(data).startswith("grid[0].nrom: is not a key here")


def test_only_the_first_ten_problems_are_shown() -> None:
    message = refused(entry(width=[-width for width in range(25)]))
    assert len(message.splitlines()) == 11
    assert message.endswith("\nand 15 more")


def test_a_number_written_as_text_is_that_number(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC.replace("0.001", "'1e-3'"))
    assert spec.trials()[0].config.learning_rate == 0.001


@pytest.mark.timeout(20)
def test_a_huge_grid_is_refused_before_it_is_expanded() -> None:
    thousand = list(range(1, 1001))
    start = time.process_time()
    message = refused(entry(width=thousand, batch_size=thousand, epochs=thousand))
    assert time.process_time() - start < 2
    assert message == (
        "grid: may make at most 10,000 trials, got 2,000,000,000 "
        "(1,000,000,000 combinations of 2 seeds): split it into several sweeps"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"norm": "users_module:temporal_norm"},
            "grid[0].norm: a norm of architecture ann is called with (num_features): ",
        ),
        (
            {"norm": "users_module:norm", "architecture": "snn"},
            "grid[0].norm: a norm of architecture snn is called with (num_features, num_steps): ",
        ),
        ({"norm": "users_module:nrom"}, "grid[0].norm: a norm of architecture ann is called with "),
        (
            {"norm": "users_module:thing"},
            "grid[0].norm: a norm of architecture ann is called with ",
        ),
        (
            {"norm": "builtins:abs"},
            "grid[0].norm: a norm of architecture ann is called with (num_features): "
            "'builtins:abs' is not a class or function written in Python",
        ),
        ({"norm": "os:getcwd"}, "grid[0].norm: a norm of architecture ann is called with "),
        (
            {"architecture": "users_module:network", "width": 8, "num_steps": 3},
            "grid[0].architecture: an architecture is called with its keys by name: "
            "'users_module:network' must take (norm='none', in_channels=3, num_classes=10, "
            "image_size=16, width=8, num_steps=3): got an unexpected keyword argument 'num_steps'",
        ),
        (
            {"dataset": "users_module:network"},
            "grid[0].dataset: a data set is called with (root): ",
        ),
        (
            {"architecture": "users_module:network", "norm": "layer"},
            f"grid[0].norm: must be one of {', '.join(NORMS)}, or package.module",
        ),
    ],
)
@pytest.mark.usefixtures("users_module")
def test_users_module_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(entry(**changes)).startswith(message)


@pytest.mark.usefixtures("users_module")
def test_users_module_that_fits_is_taken() -> None:
    grid = [
        {"architecture": "ann", "norm": "users_module:norm", "dataset": "users_module:data"},
        {"architecture": "snn", "norm": "users_module:temporal_norm"},
        {"architecture": "users_module:network", "norm": ["bntt", "users_module:norm"]},
    ]
    assert len(SweepSpec.from_dict(spec(grid=grid)).trials()) == 8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "digit",
            "digit: there is no such file, nor a packaged spec of that name "
            "(decided, digits, fashion, headline, norms-digits, norms-published, tuned-digits); "
            "did you mean 'digits'?",
        ),
        (
            "Läufe/neu.yaml",
            "Läufe/neu.yaml: there is no such file, nor a packaged spec of that name "
            "(decided, digits, fashion, headline, norms-digits, norms-published, tuned-digits)",
        ),
        ("a\0b", "a\0b: cannot be read: embedded null byte"),
    ],
)
def test_a_missing_file_is_refused_with_the_packaged_specs(source: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SweepSpec.load(source)
    assert str(caught.value) == message
