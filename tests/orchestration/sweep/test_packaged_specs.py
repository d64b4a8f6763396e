from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.sweep.packaged import packaged_specs
from orchestration.sweep.spec import SweepSpec
from snn_norm.norms.table import ARCHITECTURES, norms_of

CELLS = [
    ("ann", "none"),
    ("ann", "batchnorm"),
    ("ann", "homeostatic"),
    ("snn", "none"),
    ("snn", "bntt"),
    ("snn", "homeostatic"),
]


def test_the_packaged_specs_are_known() -> None:
    assert list(packaged_specs()) == [
        "decided", "digits", "fashion", "headline", "norms-digits", "norms-published",
        "tuned-digits",
    ]  # fmt: skip


def test_tuned_digits_searches_each_cell_with_the_same_budget() -> None:
    spec = SweepSpec.load("tuned-digits")
    assert [(cell.architecture, cell.norm) for cell in spec.cells()] == [
        *CELLS[:2], *CELLS[3:5],
    ]  # fmt: skip
    assert [len(of_cell) for of_cell in spec.settings()] == [8] * 4
    assert (len(spec.trials()), spec.seeds) == (32, (101, 102, 103))


def test_decided_compares_what_five_seeds_decide_and_what_they_do_not() -> None:
    spec = SweepSpec.load("decided")
    assert [(cell.architecture, cell.norm) for cell in spec.cells()] == CELLS[3:]
    assert [(one.first, one.second) for one in spec.comparisons()] == [(0, 1), (1, 2)]
    assert (len(spec.trials()), len(spec.seed_order())) == (15, 8)


@pytest.mark.parametrize("name", ["digits", "fashion", "headline"])
def test_a_packaged_spec_is_the_headline_s_six_cells_of_three_seeds(name: str) -> None:
    spec = SweepSpec.load(name)
    assert spec.name == name
    assert spec.axes()[:2] == ("architecture", "norm")
    assert [(cell.architecture, cell.norm) for cell in spec.cells()][:6] == CELLS
    assert spec.seeds == (42, 123, 456)
    assert {cell.num_steps for cell in spec.cells()[:3]} == {None}


def test_norms_digits_has_every_norm_of_both_networks() -> None:
    spec = SweepSpec.load("norms-digits")
    cells = [(cell.architecture, cell.norm) for cell in spec.cells()]
    assert cells == [(one, norm) for one in ARCHITECTURES for norm in norms_of(one)]


def test_digits_has_its_control() -> None:
    spec = SweepSpec.load("digits")
    *headline, control = spec.cells()
    assert spec.axes() == ("architecture", "norm", "threshold")
    assert {cell.threshold for cell in headline} == {None, 1.0}
    assert control == headline[3].model_copy(update={"threshold": 0.3})
    assert len(spec.trials()) == 21


def test_digits_is_small() -> None:
    for cell in SweepSpec.load("digits").cells():
        assert (cell.dataset, cell.epochs, cell.width) == ("digits", 8, 16)
        assert cell.num_steps in (None, 10)


def test_headline_is_as_published() -> None:
    for cell in SweepSpec.load("headline").cells():
        assert (cell.dataset, cell.epochs, cell.width, cell.augment) == ("cifar10", 30, 64, True)
        if cell.architecture == "snn":
            assert (cell.num_steps, cell.beta, cell.slope) == (25, 0.9, 25)


def test_fashion_is_the_headline_on_other_images() -> None:
    images = {"dataset": "fashion-mnist", "image_size": 28, "augment": False}
    headline = SweepSpec.load("headline").cells()
    assert SweepSpec.load("fashion").cells() == [c.model_copy(update=images) for c in headline]


@pytest.mark.parametrize("name", packaged_specs())
def test_a_copy_of_a_packaged_spec_is_the_same_spec(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "meine Kopie.yaml"
    copy.write_bytes(packaged_specs()[name].read_bytes())
    assert SweepSpec.load(copy) == SweepSpec.load(str(copy)) == SweepSpec.load(name)


def test_a_packaged_name_goes_before_a_file_that_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert SweepSpec.load("digits").name == "digits"
