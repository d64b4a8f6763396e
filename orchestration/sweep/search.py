"""The search of each cell for its best setting: the sections ``search`` and ``confirm``. Pure.

    search:
      space: {learning_rate: {log: [1e-4, 3e-2]}, threshold: {uniform: [0.2, 2.0]}}
      trials: 24                           # settings of each cell; or gpu_hours, of each cell
      seeds: 1                             # of each setting
      prune: {keep: 0.5, at: [1, 2]}       # half of the settings go on after epochs 1 and 2
    confirm:
      seeds: [101, 102, 103]               # of the best setting of each cell

Settings are chosen by their accuracy on held-out images, and reported by seeds that chose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)

from orchestration.model.config import Section
from orchestration.model.metric import Metric
from orchestration.sweep.dimension import checked_dimension
from orchestration.sweep.own_spec import MetricRule
from orchestration.sweep.points import SearchedSpace
from orchestration.sweep.problems import Problems
from orchestration.sweep.space import TUNED_KEYS, Sampler
from orchestration.sweep.values import kind_of, listed
from snn_norm.wording import did_you_mean

HELD_OUT_ACCURACY = Metric("validation_accuracy", is_fraction=True)
"""The metric by which settings of this package's networks are chosen."""

MOST_SETTINGS = 1000
_ROUND = 8
"""How many settings of a cell a round has, unless the spec has a number."""
MOST_SEEDS = 20


def _space_key(key: str, info: ValidationInfo) -> str:
    if key == "epochs":
        raise ValueError("cannot be searched: settings are compared after equally many epochs")
    return kind_of(info).checked_key(key, _check_tuned)


def _check_tuned(key: str) -> None:
    if key not in TUNED_KEYS:
        raise ValueError(
            f"cannot be searched; valid are {', '.join(TUNED_KEYS)}{did_you_mean(key, TUNED_KEYS)}"
        )


_NOT_OF_USERS = "is for the record of a sweep alone: leave it out"


def _checked_drawn(given: Any) -> Any:
    if given is None:
        return None
    cells = given if isinstance(given, list | tuple) else [None]
    if not all(
        isinstance(of_cell, list | tuple) and all(isinstance(one, Mapping) for one in of_cell)
        for of_cell in cells
    ):
        raise ValueError(_NOT_OF_USERS)
    return tuple(map(tuple, cells))


def _checked_bought(given: Any) -> Any:
    if given is None:
        return None
    cells = given if isinstance(given, list | tuple) else [0]
    if not all(one is None or (type(one) is int and 1 <= one <= MOST_SETTINGS) for one in cells):
        raise ValueError(_NOT_OF_USERS)
    return tuple(cells)


def _checked_earlier(given: Any) -> Any:
    if given is None:
        return None
    try:
        return tuple(SearchedSpace.read(one["space"], one["points"]) for one in given)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(_NOT_OF_USERS) from error


_Drawn = Annotated[Any, PlainValidator(_checked_drawn)]
_Bought = Annotated[Any, PlainValidator(_checked_bought)]
_Earlier = Annotated[Any, PlainValidator(_checked_earlier)]
_Key = Annotated[str, AfterValidator(_space_key)]
_Dimension = Annotated[Any, PlainValidator(checked_dimension)]
_Epoch = Annotated[int, Field(ge=1)]
_Epochs = Annotated[tuple[_Epoch, ...], BeforeValidator(listed), Field(min_length=1)]


class Prune(Section):
    """Successive halving: after some epochs, only the best settings of a cell go on."""

    keep: float = Field(gt=0, lt=1, description="the share of the settings that continues")
    at: _Epochs = Field(description="after which epochs")


class Search(Section):
    """How each cell of the grid is searched for its best setting."""

    space: dict[_Key, _Dimension] = Field(
        min_length=1, description="ranges or lists of values, by key"
    )
    trials: int | None = Field(None, ge=1, le=MOST_SETTINGS, description="settings of each cell")
    gpu_hours: float | None = Field(
        None, gt=0, description="in place of trials: the hours of training of each cell's search"
    )
    sampler: Sampler = Field("sobol", description="how settings are drawn")
    round: int | None = Field(
        None,
        ge=2,
        le=MOST_SETTINGS,
        description="how many settings of a cell tpe draws at once, and gpu_hours are measured on",
    )
    drawn: _Drawn = Field(
        None, description="the settings of each cell that tpe has drawn, as recorded"
    )
    bought: _Bought = Field(
        None, description="how many settings of each cell gpu_hours are enough for, as recorded"
    )
    earlier: _Earlier = Field(
        None, description="the spaces that the sweep has searched before, as recorded"
    )
    prune: Annotated[
        Prune | None, BeforeValidator(lambda given: None if given == "none" else given)
    ] = Field(None, description="when the worst settings are dropped, or none")
    seeds: int = Field(1, ge=1, le=MOST_SEEDS, description="how many seeds train each setting")
    metric: MetricRule | None = Field(
        None, description="the metric of your own training code that chooses settings"
    )

    def seed_list(self) -> tuple[int, ...]:
        """The seeds of each setting: 0, 1, …"""
        return tuple(range(self.seeds))

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if (self.trials is None) == (self.gpu_hours is None):
            raise ValueError(
                "needs either trials, the settings of each cell, or gpu_hours, the hours of each "
                f"cell: got {'neither' if self.trials is None else 'both'}"
            )
        return self

    @property
    def round_size(self) -> int:
        """How many settings each round of ``tpe`` has, and the first one with ``gpu_hours``."""
        return self.round or _ROUND

    def counts(self, cells: int) -> list[int]:
        """How many settings of each cell are tried: the first round while that is unknown."""
        bought = self.bought or [None] * cells
        return [self.trials or count or self.round_size for count in bought]

    def is_measuring(self, cell: int) -> bool:
        """Whether it is unknown for how many settings of a cell ``gpu_hours`` are enough."""
        return self.trials is None and (self.bought is None or self.bought[cell] is None)

    @property
    def may_grow(self) -> bool:
        """Whether further settings may follow from recorded ones."""
        return self.sampler == "tpe" or (self.trials is None and None in (self.bought or [None]))

    def kept(self, count: int) -> list[int]:
        """How many of so many settings go on after each of the epochs at which it prunes."""
        kept = []
        for _ in self.prune.at if self.prune else ():
            assert self.prune is not None
            # A product such as 0.1 * 30 is a little more than 3.
            count = max(1, min(count, -int(-round(self.prune.keep * count, 9) // 1)))
            kept.append(count)
        return kept

    def epochs(self, settings: int, epochs: int) -> int:
        """How many epochs so many settings of a cell train, if none ends early.

        Args:
            epochs: those of a setting that trains to its end.
        """
        at = self.prune.at if self.prune else ()
        return sum(
            going_on * max(0, end - begin)
            for going_on, begin, end in zip(
                [settings, *self.kept(settings)], [0, *at], [*at, epochs], strict=True
            )
        )

    def judged_by(self) -> Metric:
        """The metric that chooses settings, at its best epoch."""
        return HELD_OUT_ACCURACY if self.metric is None else self.metric.metric()


class Confirm(Section):
    """How the best settings of each cell are trained again."""

    settings: int = Field(1, ge=1, le=MOST_SEEDS, description="how many of each cell's best")
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
