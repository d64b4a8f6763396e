"""The figures of a search: which settings matter, and every setting as a line."""

from __future__ import annotations

import math

import pytest
from searched import Recorded
from specs import spec as plain_spec

from orchestration.render.figures import Picture, style
from orchestration.report.figures.draw import FIGURES
from orchestration.sweep.spec import SweepSpec
from orchestration.tables.report_data import ReportData

SPACE = {
    "learning_rate": {"log": [1e-4, 1e-2]},
    "threshold": {"uniform": [0.2, 2.0]},
    "init": ["default", "kaiming"],
}


def drawn(name: str, trials: int, scored: int | None = None) -> Picture | None:
    """A figure of a search of one artificial and two spiking cells."""
    spec = SweepSpec.from_dict(
        plain_spec(
            seeds="absent",
            training={"validation_fraction": 0.2},
            grid=[
                {"architecture": "ann", "norm": "none"},
                {"architecture": "snn", "norm": ["none", "bntt"], "num_steps": 4},
            ],
            search={"space": SPACE, "trials": trials},
            confirm={"seeds": [101]},
        )
    )
    recorded = Recorded(spec)
    for of_cell, settings in zip(spec.setting_trials([0]), spec.settings(), strict=True):
        for (trial,), setting in zip(of_cell[:scored], settings, strict=False):
            recorded.add(trial, [0.9 + math.log10(setting.values["learning_rate"]) / 10])
    with style():
        return FIGURES[name](ReportData(spec.name, recorded.results().snapshot()))


def test_each_setting_is_a_line_through_its_values_to_its_score() -> None:
    picture = drawn("parallel-coordinates", 8)
    assert picture is not None
    panels = picture.figure.axes
    assert len(panels) == 3
    names = [label.get_text().partition("\n")[0] for label in panels[0].get_xticklabels()]
    assert names == ["learning_rate", "init", "threshold", "score %"]
    for axes, places in zip(panels, ([0, 1, 3], [0, 1, 2, 3], [0, 1, 2, 3]), strict=True):
        lines = axes.get_lines()
        assert len(lines) == 8
        thickest = max(lines, key=lambda line: float(line.get_linewidth()))
        for line in lines:
            assert list(line.get_xdata()) == places, "a line passes by a key that the cell lacks"
            heights = list(line.get_ydata())
            assert all(0 <= height <= 1 for height in heights)
            assert heights[-1] <= thickest.get_ydata()[-1]
        # The score rises with the learning rate alone.
        by_rate = sorted(lines, key=lambda line: line.get_ydata()[0])
        scores = [line.get_ydata()[-1] for line in by_rate]
        assert scores == sorted(scores)


def test_the_key_that_decides_has_nearly_all_of_the_variance() -> None:
    picture = drawn("search-importance", 16)
    assert picture is not None
    artificial, spiking = picture.figure.axes
    assert [label.get_text() for label in artificial.get_yticklabels()] == [
        "learning_rate",
        "init",
        "threshold",
    ]
    assert len(artificial.get_lines()) == 1
    assert len(spiking.get_lines()) == 2
    for line in (*artificial.get_lines(), *spiking.get_lines()):
        shares = line.get_xdata()
        assert shares[0] > 80
        assert max(shares[1:]) < 20


@pytest.mark.parametrize("name", ["search-importance", "parallel-coordinates"])
def test_without_scores_there_is_no_figure(name: str) -> None:
    assert drawn(name, 8, scored=0) is None
