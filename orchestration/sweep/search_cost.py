"""What a search costs, in trials and epochs, before it has begun. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.sweep.spec import SweepSpec


@dataclass(frozen=True)
class SearchCost:
    """What a search and the confirmation of its best settings cost.

    Args:
        settings: how many settings are tried, in all cells.
        finished: how many of their trials train to their end; the others are pruned.
        epochs: the epochs of these trials, unless some collapse early; None if the user's own
            code decides when it is done.
        confirmed_at_least, confirmed_at_most: the trials of the best settings with fresh seeds.
        epochs_at_least, epochs_at_most: the epochs of the search and of these.
        may_grow: whether ``gpu_hours`` may be enough for further settings. Then all numbers are
            those of the first rounds alone.
    """

    settings: int
    finished: int
    epochs: int | None
    confirmed_at_least: int
    confirmed_at_most: int
    epochs_at_least: int | None
    epochs_at_most: int | None
    may_grow: bool = False


def search_cost(spec: SweepSpec) -> SearchCost:
    """What the search of a spec costs."""
    search, cells = spec.search, spec.cells()
    assert search is not None
    settings = finished = epochs = 0
    has_epochs = True
    for cell, count in zip(cells, spec.setting_counts(), strict=True):
        settings += count
        finished += [count, *search.kept(count)][-1] * search.seeds
        has_epochs &= cell.epochs is not None
        epochs += search.epochs(count, cell.epochs or 0) * search.seeds
    seeds = {"least": len(spec.certain_seeds()), "most": len(spec.seed_order())}
    confirmed = {name: len(cells) * count for name, count in seeds.items()}
    each = sum(cell.epochs or 0 for cell in cells)
    return SearchCost(
        settings=settings,
        finished=finished,
        epochs=epochs if has_epochs else None,
        confirmed_at_least=confirmed["least"],
        confirmed_at_most=confirmed["most"],
        epochs_at_least=epochs + each * seeds["least"] if has_epochs else None,
        epochs_at_most=epochs + each * seeds["most"] if has_epochs else None,
        may_grow=any(map(search.is_measuring, range(len(cells)))),
    )
