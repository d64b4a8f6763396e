"""That figures can be read whatever the sweep's axes are called: on the drawn figures' boxes."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import Bbox

from benchmarks.evidence.__main__ import FOLDER
from orchestration.model.metric import Metric
from orchestration.render.figures import Picture, style
from orchestration.render.panels import in_lines
from orchestration.report.figures.draw import draw
from orchestration.report.figures.energy import energy_figure
from orchestration.report.figures.why import why
from orchestration.results.columns import SELECTED_ON
from orchestration.results.results import Results
from orchestration.tables import energy, mean_ranks, report_data
from orchestration.tables.report_data import ReportData, read_report_data

ROWS = ("accuracy-by-seed", "cost", "dependency-gap")
KEPT = ("none", "batchnorm", "bntt")
SWEEPS = ("norms-digits", "control-fashion", "depth-fashion", "long names")
NORM = "our_laboratory.normalization.of_membranes:AdaptiveHomeostaticNormalization"


def archive(sweep: str) -> str:
    return str(FOLDER / f"{sweep}.jsonl.gz")


def long_names() -> ReportData:
    """A simple sweep's data, had its user given long names to all that users name."""
    data = read_report_data(Results(archive("norms-digits")))
    costs, ranks = energy.TABLE.of(data), mean_ranks.TABLE.of(data)
    assert costs is not None
    assert ranks is not None
    own = {name: f"{NORM}{name.title()}" for name in data.norms if name not in KEPT}
    metric = Metric("validation_mean_intersection_over_union_of_all_classes")
    renamed = {"test_accuracy": metric.name, "best_test_accuracy": metric.best_name}
    best = data.best.replace({"norm": own}).assign(
        weights_that_training_begins_with=f"/scratch/{'weights/' * 9}last.pt",
        augmentation="random crops, flips and small rotations of every image",
    )
    trials, curves = data.trials.rename(columns=renamed), data.curves.rename(columns=renamed)
    renamed_data = ReportData(data.name, data.sweep)
    vars(renamed_data).update(
        axes=[*data.axes, "weights_that_training_begins_with", "augmentation"],
        metric=metric, best=best, trials=trials, curves=curves,
        diagnosed=data.diagnosed, diagnostics=data.diagnostics,
        _computed={
            energy.TABLE.frame: costs.replace({"norm": own}),
            mean_ranks.TABLE.frame: ranks.replace({"norm": own}),
        },
    )  # fmt: skip
    return renamed_data


@pytest.fixture(scope="module", params=SWEEPS)
def drawn(request: pytest.FixtureRequest) -> list[Picture]:
    """The figures of a sweep, drawn. A layout that has no room warns, which is an error."""
    with pytest.MonkeyPatch.context() as patch, style():
        patch.setattr(report_data, "MOST_DIAGNOSED", 6)
        is_long = request.param == "long names"
        data = long_names() if is_long else read_report_data(Results(archive(request.param)))
        pictures = list(draw(data))
        for picture in pictures:
            FigureCanvasAgg(picture.figure).draw()
    return pictures


def names(figure: Figure) -> list[tuple[str, Bbox]]:
    """All words of a figure with their boxes: without the numbers along its axes."""
    ticks = {text for tick in figure.findobj(Tick) for text in tick.findobj(Text)}
    texts = [text for text in figure.findobj(Text) if text not in ticks]
    for axes in figure.axes:
        if isinstance(axes.yaxis.get_major_locator(), FixedLocator):
            texts += axes.get_yticklabels()
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in shown]


def test_no_name_is_cut_or_lies_over_another(drawn: list[Picture]) -> None:
    for picture in drawn:
        whole, shown = picture.figure.bbox.padded(1), names(picture.figure)
        for name, box in shown:
            assert all(whole.contains(*corner) for corner in (box.min, box.max)), (
                picture.name,
                name,
            )
        for (first, box), (second, other) in itertools.combinations(shown, 2):
            assert not box.padded(-1).overlaps(other.padded(-1)), (picture.name, first, second)


def test_a_legend_lies_beside_what_it_names(drawn: list[Picture]) -> None:
    for picture in drawn:
        for legend in picture.figure.findobj(Legend):
            box = legend.get_window_extent()
            assert not [axes for axes in picture.figure.axes if axes.bbox.overlaps(box)]


def test_rows_leave_room_for_what_is_drawn(drawn: list[Picture]) -> None:
    for picture in drawn:
        if picture.name in ROWS:
            panels = [axes.bbox.width for axes in picture.figure.axes]
            assert sum(panels) > 0.3 * picture.figure.bbox.width, picture.name


def test_names_are_broken_behind_commas_where_they_can_be() -> None:
    assert (
        in_lines("spiking CNN, depth 20, shortcut none", 36)
        == "spiking CNN, depth 20, shortcut none"
    )
    assert (
        in_lines("spiking CNN, depth 20, shortcut none", 30)
        == "spiking CNN, depth 20,\nshortcut none"
    )
    assert in_lines("spiking CNN, shortcut of the membrane", 12).splitlines() == [
        "spiking CNN,", "shortcut of", "the membrane"
    ]  # fmt: skip
    assert in_lines("x" * 25, 10).splitlines() == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize(("highest", "scale"), [(9e3, "linear"), (1.1e4, "log")])
def test_energies_of_less_than_a_decade_have_a_linear_axis(highest: float, scale: str) -> None:
    rows = {
        "architecture": "snn", "norm": ["none", "bntt"], "accuracy": [0.1, 0.9],
        "energy_nj": [1e3, highest], "energy_ci_low": math.nan, "energy_ci_high": math.nan,
        SELECTED_ON: "the test set",
    }  # fmt: skip
    with style():
        picture = energy_figure(pd.DataFrame(rows), ["none", "bntt"])
    assert picture.figure.axes[0].get_xscale() == scale


@pytest.mark.parametrize(("most", "count"), [(1, 1), (5, 4)])
def test_of_many_networks_whole_settings_are_drawn(
    most: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_data, "MOST_DIAGNOSED", most)
    data = read_report_data(Results(archive("depth-fashion")))
    drawn = data.diagnostics["cell"].unique()
    settings = [data.setting(cell) for cell in drawn]
    assert [settings.count(setting) for setting in settings] == [min(most, 2)] * count
    with style():
        picture = why(data)
    assert picture is not None
    assert f"The first {count} of 36 networks are drawn" in picture.caption
