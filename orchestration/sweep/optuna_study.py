"""The settings of a cell as a study of Optuna, which is imported only where it is used. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestration.sweep.dimension import Dimension

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler
    from optuna.study import Study


def study_of(
    dimensions: Sequence[Dimension],
    settings: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
) -> Study:
    """A study in memory, with these settings as its trials in this order.

    Args:
        dimensions: those of the cell.
        settings: the values of each setting, which may lack some keys.
        scores: the score of each; larger is better. A setting without a finite one is the worst.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for values, score in zip(settings, scores, strict=True):
        its = [one for one in dimensions if one.key in values]
        is_finite = math.isfinite(score)
        study.add_trial(
            create_trial(
                # Optuna takes a pruned trial without a value for the worst.
                state=TrialState.COMPLETE if is_finite else TrialState.PRUNED,
                value=score if is_finite else None,
                params={one.key: one.code(values[one.key]) for one in its},
                distributions={one.key: distribution_of(one) for one in its},
            )
        )
    return study


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it. The values of a list are numbered."""
    from optuna import distributions

    low, high, is_log = dimension.low, dimension.high, dimension.is_log
    if dimension.values:
        return distributions.CategoricalDistribution(range(len(dimension.values)))
    if dimension.is_whole:
        return distributions.IntDistribution(int(low), int(high), log=is_log)
    return distributions.FloatDistribution(low, high, log=is_log)


def sampler(seed: str) -> TPESampler:
    """The sampler of a round, whose random numbers follow from a text."""
    from optuna.samplers import TPESampler

    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    return TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=number)
