"""The search of each cell for its best setting: the sections ``search`` and ``confirm``. Pure.

    search:
      space: {learning_rate: {log: [1e-4, 3e-2]}, threshold: {uniform: [0.2, 2.0]}}
      trials: 24                           # settings of each cell
      seeds: 1                             # of each setting
      prune: {keep: 0.5, at: [1, 2]}       # half of the settings go on after epochs 1 and 2
    confirm:
      seeds: [101, 102, 103]               # of the best setting of each cell

Settings are chosen by their accuracy on held-out images, and reported by seeds that chose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)

from orchestration.model.config import Config, OwnConfig, own_key
from orchestration.model.metric import Metric
from orchestration.model.section import Section
from orchestration.sweep.own_spec import MetricRule
from orchestration.sweep.problems import Problems
from orchestration.sweep.space import (
    TUNED_KEYS,
    Sampler,
    checked_dimension,
    dimensions_of,
    setting_of,
    wrong_everywhere,
)
from orchestration.sweep.values import is_own, listed
from snn_norm.wording import did_you_mean

HELD_OUT_ACCURACY = Metric("validation_accuracy", is_fraction=True)
"""The metric by which settings of this package's networks are chosen."""

_COLUMNS = frozenset({
    "setting", "epochs", "hours", "state", "is_best", "best_at", "n_settings",
    "n_settings_expected", "n_pruned", "searched_best",
})  # fmt: skip
"""Columns of the tables of a search: names that no key of the user's own may have."""

_MOST_SETTINGS = 1000
_ROUND = 8
"""How many settings of a cell ``tpe`` asks for at once, unless the spec says so."""
MOST_SEEDS = 20


def _space_key(key: str, info: ValidationInfo) -> str:
    if is_own(info):
        if key == "epochs":
            raise ValueError("cannot be searched: settings are compared after equally many epochs")
        return own_key(key)
    if key not in TUNED_KEYS:
        raise ValueError(
            f"cannot be searched; valid are {', '.join(TUNED_KEYS)}{did_you_mean(key, TUNED_KEYS)}"
        )
    return key


def _no_hours(_: Any) -> None:
    raise ValueError(
        "cannot limit a search: its settings would depend on the speed of the machine. Give "
        "trials, the number of settings of each cell"
    )


def _checked_drawn(given: Any) -> Any:
    if given is None:
        return None
    cells = given if isinstance(given, list | tuple) else [None]
    if not all(
        isinstance(of_cell, list | tuple) and all(isinstance(one, Mapping) for one in of_cell)
        for of_cell in cells
    ):
        raise ValueError("is for the record of a sweep alone: leave it out")
    return tuple(map(tuple, cells))


_Drawn = Annotated[Any, PlainValidator(_checked_drawn)]
_Key = Annotated[str, AfterValidator(_space_key)]
_Dimension = Annotated[Any, PlainValidator(checked_dimension)]
_Epoch = Annotated[int, Field(ge=1)]
_Epochs = Annotated[tuple[_Epoch, ...], BeforeValidator(listed), Field(min_length=1)]


class Prune(Section):
    """Successive halving: after some epochs, only the best settings of a cell go on."""

    keep: float = Field(gt=0, lt=1, description="the share of the settings that go on")
    at: _Epochs = Field(description="after which epochs")


class Search(Section):
    """How each cell of the grid is searched for its best setting."""

    space: dict[_Key, _Dimension] = Field(
        min_length=1, description="ranges or lists of values, by key"
    )
    trials: int = Field(ge=1, le=_MOST_SETTINGS, description="settings of each cell")
    gpu_hours: Annotated[None, PlainValidator(_no_hours)] = None
    sampler: Sampler = "sobol"
    round: int | None = Field(
        None,
        ge=2,
        le=_MOST_SETTINGS,
        description="how many settings of a cell tpe asks for at once",
    )
    drawn: _Drawn = Field(
        None, description="the settings of each cell that tpe has drawn, as recorded"
    )
    prune: Annotated[
        Prune | None, BeforeValidator(lambda given: None if given == "none" else given)
    ] = None
    seeds: int = Field(1, ge=1, le=MOST_SEEDS, description="how many train each setting")
    metric: MetricRule | None = Field(
        None, description="the metric of your own training code that chooses settings"
    )

    def seed_list(self) -> tuple[int, ...]:
        """The seeds of each setting: 0, 1, …"""
        return tuple(range(self.seeds))

    @property
    def round_size(self) -> int:
        """How many settings of a cell are asked for at once."""
        return self.trials if self.sampler != "tpe" else (self.round or _ROUND)

    @property
    def first_settings(self) -> int:
        """How many settings of a cell do not depend on results."""
        return min(self.trials, self.round_size)

    def begun(self, before: Self | None) -> Self:
        """The search of a sweep that has begun with another one: it goes on from its settings."""
        same = {"trials": self.trials, "prune": self.prune, "drawn": self.drawn}
        if before is None or before.model_copy(update=same) != self:
            return self
        return self.model_copy(update={"drawn": before.drawn})

    def kept(self, count: int) -> list[int]:
        """How many of so many settings go on after each of the epochs at which it prunes."""
        kept = []
        for _ in self.prune.at if self.prune else ():
            assert self.prune is not None
            # A product such as 0.1 * 30 is a little more than 3.
            count = max(1, min(count, -int(-round(self.prune.keep * count, 9) // 1)))
            kept.append(count)
        return kept

    def judged_by(self) -> Metric:
        """The metric that chooses settings, at its best epoch."""
        return HELD_OUT_ACCURACY if self.metric is None else self.metric.metric()


class Confirm(Section):
    """How the best setting of each cell is trained again."""

    settings: Literal[1] = Field(1, description="how many of the best: 1")
    seeds: Annotated[Any, PlainValidator(lambda given: given)] = Field(
        description="a list of whole numbers, or {until: decided, …}"
    )


def with_seeds(data: Any, problems: Problems) -> Any:
    """The spec's data, with the seeds of ``confirm`` as ``seeds``.

    Args:
        data: the spec as it was given.
        problems: collects seeds at the wrong place, and a search without ``confirm``.
    """
    if not isinstance(data, dict) or data.get("search") is None:
        if isinstance(data, dict) and data.get("confirm") is not None:
            problems.add(("confirm",), "needs the key search, whose best settings it confirms")
        return data
    if "seeds" in data:
        problems.add(
            ("seeds",),
            "do not belong beside search: give confirm: {seeds: […]} for the best setting of each "
            "cell, and search: {seeds: 1} for how many train each setting",
        )
    confirm = data.get("confirm")
    if confirm is None:
        problems.add(
            ("confirm",),
            "is missing: a search needs seeds that report its best settings, such as "
            "confirm: {seeds: [101, 102, 103]}",
        )
    seeds = confirm.get("seeds") if isinstance(confirm, dict) else None
    return {**data, "seeds": (0,) if seeds is None else seeds}


def note_search(
    search: Search,
    given: Mapping[str, Any],
    cells: Sequence[Config],
    raws: Sequence[Mapping[str, Any]],
    confirmed: Sequence[int],
    problems: Problems,
) -> None:
    """Note what is wrong with a search.

    Args:
        search: the spec's section.
        given: the spec's values, by key.
        cells: the cells of the grid.
        raws: the keys that the spec sets for each of them.
        confirmed: the seeds of ``confirm``.
        problems: collects what is wrong.
    """
    own = given["train"] is not None
    for key in search.space:
        _note_key_elsewhere(key, given, problems)
    paths: list[tuple[str | int, ...]] = [("search", "space", key) for key in search.space]
    paths += [("grid", number, key) for number, entry in enumerate(given["grid"]) for key in entry]
    for path in paths if own else ():
        if path[-1] in _COLUMNS:
            problems.add(path, "is a name that the tables of a search use: rename your key")
    _note_metric(search, own, problems)
    if given["gpu_hours"] is not None:
        problems.add(("gpu_hours",), "cannot limit a sweep with search: give fewer trials")
    if getattr(given["seeds"], "gpu_hours", None) is not None:
        problems.add(
            ("confirm", "seeds", "gpu_hours"), "cannot limit a sweep with search: lower at_most"
        )
    if repeated := sorted(set(search.seed_list()).intersection(confirmed)):
        problems.add(
            ("confirm", "seeds"),
            f"must not be seeds of the search, which are 0 to {search.seeds - 1}, got "
            f"{', '.join(map(str, repeated))}: they chose the setting that they would report",
        )
    if not own and any(not getattr(cell, "validation_fraction", 0) for cell in cells):
        problems.add(
            ("search",),
            "needs held-out images, on which settings are compared: set "
            "training: {validation_fraction: 0.1}",
        )
    _note_prune(search, cells, problems)
    _note_rounds(search, raws, problems)
    problems.raise_any()
    of_cells = [dimensions_of(search.space, raw, problems) for raw in raws]
    had = {dimension.key for dimensions in of_cells for dimension in dimensions}
    if not own:
        for path, message in wrong_everywhere(search.space, raws):
            problems.add(path, message)
            had.add(str(path[2]))
    for key in search.space:
        if key not in had:
            problems.add(("search", "space", key), f"is a key of none of the cells {_names(cells)}")


def _note_key_elsewhere(key: str, given: Mapping[str, Any], problems: Problems) -> None:
    places: list[tuple[str | int, ...]] = [
        ("grid", number, key) for number, entry in enumerate(given["grid"]) if key in entry
    ]
    places += [("training", key)] if key in given["training"] else []
    for path in places:
        problems.add(path, "is a key of search.space as well: remove one of them")


def _note_metric(search: Search, own: bool, problems: Problems) -> None:
    path = ("search", "metric")
    if own and search.metric is None:
        problems.add(
            path,
            "is missing: what chooses settings, measured on data that your training does not use, "
            "such as {name: val_loss, goal: minimize}",
        )
    if not own and search.metric is not None:
        problems.add(path, "needs the key train: networks of this package are chosen by "
                     "validation_accuracy")  # fmt: skip


def _note_prune(search: Search, cells: Sequence[Config], problems: Problems) -> None:
    if search.prune is None:
        return
    at = search.prune.at
    for index, epoch in enumerate(at):
        if index and epoch <= at[index - 1]:
            problems.add(("search", "prune", "at", index), f"must grow, got {epoch} after "
                         f"{at[index - 1]}")  # fmt: skip
        for cell in cells:
            if cell.epochs is not None and epoch >= cell.epochs:
                problems.add(
                    ("search", "prune", "at", index),
                    f"must be less than epochs, got {epoch} of {cell.epochs} epochs",
                )


def _note_rounds(search: Search, raws: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    if search.sampler != "tpe":
        for key in ("round", "drawn"):
            if getattr(search, key) is not None:
                problems.add(("search", key), "needs sampler: tpe, whose settings come in rounds")
        return
    if search.prune is not None:
        problems.add(
            ("search", "prune"),
            "needs sampler: sobol or random: tpe learns from settings that have trained to their "
            "end",
        )
    if search.drawn is not None and len(search.drawn) != len(raws):
        problems.add(
            ("search", "drawn"),
            f"must have the settings of each of the {len(raws)} cells, got those of "
            f"{len(search.drawn)}: leave it out",
        )
    elif any(
        not _is_possible(values, raw, search.space)
        for raw, of_cell in zip(raws, search.drawn or [()] * len(raws), strict=True)
        for values in of_cell
    ):
        problems.add(("search", "drawn"), "has a setting that no cell can have: leave it out")


def _is_possible(
    values: Mapping[str, Any], raw: Mapping[str, Any], space: Mapping[str, Any]
) -> bool:
    try:
        setting_of(raw, values, 1)
    except ValidationError:
        return False
    return values.keys() <= space.keys()


def _names(cells: Sequence[Config]) -> str:
    names = [
        cell.train if isinstance(cell, OwnConfig) else f"{cell.architecture} {cell.norm}"
        for cell in cells
    ]
    return ", ".join(dict.fromkeys(names))
