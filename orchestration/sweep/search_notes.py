"""What is wrong with a search and its confirmation, beside the types of their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from orchestration.model.config import Config
from orchestration.model.trial import cell_label
from orchestration.sweep.grid import axes_of
from orchestration.sweep.points import setting_of
from orchestration.sweep.problems import Problems
from orchestration.sweep.search import Search
from orchestration.sweep.space import dimensions_of, wrong_everywhere

_COLUMNS = frozenset({
    "setting", "epochs", "hours", "state", "is_best", "best_at", "n_settings",
    "n_settings_expected", "n_pruned", "searched_best", "search_rank",
})  # fmt: skip
"""Columns of the tables of a search: names that no key of the user's own may have."""


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
        raws: the keys that the spec sets for each of them.
        confirmed: the seeds of ``confirm``.
    """
    own = given["train"] is not None
    for key in search.space:
        _note_key_elsewhere(key, given, problems)
    paths: list[tuple[str | int, ...]] = [("search", "space", key) for key in search.space]
    paths += [("grid", number, key) for number, entry in enumerate(given["grid"]) for key in entry]
    for path in paths if own else ():
        if path[-1] in _COLUMNS and path[-1] != "epochs":
            problems.add(path, "is a name that the tables of a search use: rename your key")
    if "epochs" in axes_of(given["grid"], cells):
        problems.add(
            ("grid",),
            "must have one number of epochs in a sweep with search, whose tables count the epochs "
            "of each setting: make a sweep for each number",
        )
    _note_metric(search, own, problems)
    if given["gpu_hours"] is not None:
        problems.add(
            ("gpu_hours",),
            "cannot limit a sweep with search: give search: {gpu_hours: …}, those of each cell",
        )
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
    ended = [search.counts(1)[0], *search.kept(search.counts(1)[0])][-1]
    if given["confirm"].settings > ended:
        problems.add(
            ("confirm", "settings"),
            f"must be at most the settings that train to their end, which are {ended} of each "
            f"cell, got {given['confirm'].settings}",
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
    if search.bought is not None and (search.trials or len(search.bought) != len(raws)):
        problems.add(
            ("search", "bought"),
            f"must have a number for each of the {len(raws)} cells, beside gpu_hours: leave it out",
        )
    if search.sampler != "tpe":
        for key, has_none in (("round", search.gpu_hours is None), ("drawn", True)):
            if has_none and getattr(search, key) is not None:
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
    names = [cell_label(cell, ("train", "architecture", "norm")) for cell in cells]
    return ", ".join(dict.fromkeys(names))
