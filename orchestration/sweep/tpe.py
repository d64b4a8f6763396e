"""Draws a search's next settings from those that have ended: ``sampler: tpe``. Pure.

Settings are drawn in rounds. The first round is of Sobol's sequence. Each further one is asked of
Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), once all settings of the rounds
before have ended. Its study is made anew from the settings in the order of their numbers, so the
next round depends neither on the order in which trials end nor on what was in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.sweep.optuna_study import distribution_of, sampler, study_of
from orchestration.sweep.points import Setting, setting_of
from orchestration.sweep.space import dimensions_of
from orchestration.sweep.spec import SweepSpec

_MOST_ASKED = 10
"""Optuna may repeat settings. It is asked at most so many times for each setting that is wanted."""


def with_next_round(spec: SweepSpec, scores: Sequence[Sequence[float | None]]) -> SweepSpec:
    """The spec with a further round of settings for each cell whose settings have all ended.

    It is the same spec if there is no such cell, or if all settings have been drawn.

    Args:
        spec: a spec with a search by ``tpe``.
        scores: of each cell, the score of each of ``spec.settings()``, larger is better; None if
            the setting has not ended.
    """
    search = spec.search
    assert search is not None
    drawn, in_order = [], spec.points(search.counts(len(scores)))
    for settings, given, points, known in zip(
        spec.settings(), spec.given(), in_order, scores, strict=True
    ):
        ended = [score for score in known if score is not None]
        wanted = min(search.round_size, len(points) - len(settings))
        further: list[Setting] = []
        if wanted > 0 and len(ended) == len(settings):
            further = _further(spec, given, settings, ended, points, wanted)
        beyond_the_first_round = [*settings, *further][search.round_size :]
        drawn.append([dict(setting.values) for setting in beyond_the_first_round])
    updated = search.model_copy(update={"drawn": tuple(map(tuple, drawn))})
    return spec.model_copy(update={"search": updated}) if any(drawn) else spec


def _further(
    spec: SweepSpec,
    given: Mapping[str, Any],
    settings: Sequence[Setting],
    scores: Sequence[float],
    points: Sequence[Setting],
    count: int,
) -> list[Setting]:
    """``count`` settings of a cell that have not been tried, or as many as there are.

    Args:
        points: settings that depend on no result, as many as the cell tries in the end.
    """
    search, further = spec.search, list[Setting]()
    assert search is not None
    tried = {setting.config for setting in settings}

    def add(values: Mapping[str, Any]) -> None:
        setting = setting_of(given, values, len(settings) + len(further) + 1)
        if setting.config not in tried and len(further) < count:
            tried.add(setting.config)
            further.append(setting)

    dimensions = dimensions_of(search.space, given)
    study = study_of(dimensions, [setting.values for setting in settings], scores)
    study.sampler = sampler(f"{spec.name} {len(settings)}")
    distributions = {dimension.key: distribution_of(dimension) for dimension in dimensions}
    for _ in range(_MOST_ASKED * count):
        if len(further) < count:
            codes = study.ask(fixed_distributions=distributions).params
            add({dimension.key: dimension.chosen(codes[dimension.key]) for dimension in dimensions})
    # If a space with few settings is nearly used up, the rest is taken in the order of Sobol's.
    for setting in points:
        add(setting.values)
    return further
