"""What a spec takes over from the record when its sweep goes on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from orchestration.sweep.points import SearchedSpace, lie_within, setting_of
from orchestration.sweep.search import Search
from orchestration.sweep.space import dimensions_of
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided


def continued(
    spec: SweepSpec, before: SweepSpec | None, trained: Collection[str] = ()
) -> SweepSpec:
    """The spec as it is recorded when its sweep begins, or goes on.

    Args:
        before: the recorded spec of the sweep; None if it is new.
        trained: the keys of the trials that have been trained. They matter if the space of settings
            has changed.

    Raises:
        SpecError: the space has changed, and the user's own code cannot be imported.
    """
    begun: dict[str, Any] = {}
    if isinstance(spec.seeds, UntilDecided):
        begun["seeds"] = spec.seeds.begun(before and before.seeds)
        assume = begun["seeds"].assume
        if spec.confirm is not None and assume is not None:  # its seeds are what is recorded
            seeds = {**spec.confirm.seeds, "assume": assume}
            begun["confirm"] = spec.confirm.model_copy(update={"seeds": seeds})
    if spec.search is not None and before is not None and before.search is not None:
        begun["search"] = _search(spec, spec.search, before, before.search, trained)
    return spec.model_copy(update=begun) if begun else spec


def has_other_space(spec: SweepSpec, before: SweepSpec | None) -> bool:
    """Whether a search has another space of settings than the recorded spec of its sweep."""
    if spec.search is None or before is None or before.search is None:
        return False
    return spec.search.space != before.search.space


def words_on_space(spec: SweepSpec, before: SweepSpec | None) -> list[str]:
    """How many settings are kept from another space, in words; empty if it is the same space.

    Args:
        spec: what :func:`continued` returned.
    """
    if not has_other_space(spec, before):
        return []
    assert spec.search is not None
    assert before is not None
    known = {setting.config for of_cell in before.settings() for setting in of_cell}
    kept = sum(setting.config in known for of_cell in spec.settings() for setting in of_cell)
    new = sum(spec.setting_counts()) - kept
    words = f"search.space has changed: {kept} settings of all cells are kept, {new} are new"
    if not new:
        words += f"; raise search.{'trials' if spec.search.trials else 'gpu_hours'} to try others"
    return [words]


def _search(
    spec: SweepSpec,
    search: Search,
    before: SweepSpec,
    searched: Search,
    trained: Collection[str],
) -> Search:
    """The search of a spec, with what it takes over from the recorded one."""
    earlier = searched.earlier
    if (search.sampler == "random") != (searched.sampler == "random"):
        earlier = None  # the other sampler's points are others
    elif search.space != searched.space and (points := _points(spec, searched, trained)):
        earlier = (*(earlier or ()), SearchedSpace(searched.space, points))
    begun: dict[str, Any] = {"earlier": earlier}
    budget = {key: getattr(search, key) for key in ("trials", "gpu_hours", "prune")}
    rest = {key: getattr(search, key) for key in ("space", "earlier", "drawn", "bought")}
    if before.given() == spec.given() and searched.model_copy(update={**budget, **rest}) == search:
        drawn = searched.drawn
        if search.space != searched.space and drawn is not None:
            drawn = tuple(
                tuple(values for values in of_cell if _has(search.space, given, values))
                for given, of_cell in zip(spec.given(), drawn, strict=True)
            )
        begun["drawn"] = drawn
        fixed = ("space", *budget)
        if all(getattr(searched, key) == getattr(search, key) for key in fixed):
            begun["bought"] = searched.bought
    return search.model_copy(update=begun)


def _points(spec: SweepSpec, searched: Search, trained: Collection[str]) -> tuple[int, ...]:
    """The numbers of the points of a recorded search that some cell of a spec has trained."""
    if not trained:
        return ()
    count = searched.trials or max(filter(None, searched.bought or ()), default=searched.round_size)
    alone = {"trials": count, "gpu_hours": None, "bought": None, "drawn": None}
    before = spec.model_copy(update={"search": searched.model_copy(update=alone)})
    of_cells = zip(before.settings(), before.setting_trials(searched.seed_list()), strict=True)
    points = {
        setting.point
        for settings, trials in of_cells
        for setting, its in zip(settings, trials, strict=True)
        if setting.point is not None and any(trial.key in trained for trial in its)
    }
    return tuple(sorted(points))


def _has(space: Mapping[str, Any], given: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a cell can have a setting with these values in this space."""
    dimensions = dimensions_of(space, given)
    # A setting without an optimizer's momentum has no value of it.
    whole = {one.key: values.get(one.key, one.at(0.0)) for one in dimensions}
    return lie_within([dimensions], [whole]) and setting_of(given, whole, 1).values == values
