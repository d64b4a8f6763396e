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
    search, confirm, cells = spec.search, spec.confirm, spec.cells()
    assert search is not None
    assert confirm is not None
    least, most = len(spec.certain_seeds()), len(spec.seed_order())
    settings = finished = epochs = at_least = at_most = epochs_at_least = epochs_at_most = 0
    for cell, count in zip(cells, spec.setting_counts(), strict=True):
        ended, each = [count, *search.kept(count)][-1], cell.epochs or 0
        beside_the_best = (min(confirm.settings, ended) - 1) * least
        settings += count
        finished += ended * search.seeds
        epochs += search.epochs(count, each) * search.seeds
        at_least += least + beside_the_best
        at_most += most + beside_the_best
        epochs_at_least += (least + beside_the_best) * each
        epochs_at_most += (most + beside_the_best) * each
    has_epochs = all(cell.epochs is not None for cell in cells)
    return SearchCost(
        settings=settings,
        finished=finished,
        epochs=epochs if has_epochs else None,
        confirmed_at_least=at_least,
        confirmed_at_most=at_most,
        epochs_at_least=epochs + epochs_at_least if has_epochs else None,
        epochs_at_most=epochs + epochs_at_most if has_epochs else None,
        may_grow=any(map(search.is_measuring, range(len(cells)))),
    )
