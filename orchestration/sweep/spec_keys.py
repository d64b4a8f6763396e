"""The keys of a sweep's spec, their types, and what is said of a key of another shape. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
)

from orchestration.model.config import Section
from orchestration.model.sweep_name import sweep_name
from orchestration.sweep.own_spec import MetricRule
from orchestration.sweep.problems import Problems
from orchestration.sweep.search import Confirm, Prune, Search
from orchestration.sweep.stopping import UntilDecided
from orchestration.sweep.values import gpus, kind_of, listed, seed_list, single
from orchestration.sweep.yaml_file import FieldPath
from snn_norm.config import MODEL_KEYS, TRAINING_KEYS, RunConfig
from snn_norm.wording import did_you_mean, in_words

GRID_KEYS = ("architecture", "norm", "dataset", "epochs", *TRAINING_KEYS, *MODEL_KEYS)
"""Keys of a grid entry; a list of values makes an axis of any of them."""


Keep = Literal["best", "last", "none"]
"""Which epoch's model is kept beside a trial's run."""


def _key_of(*valid: str) -> AfterValidator:
    """Check that a key is one of these; with own training code, the user chooses the keys."""

    def check_packaged(key: str) -> None:
        if key not in valid:
            raise ValueError(_unknown_key(key, valid))

    def check(key: str, info: ValidationInfo) -> str:
        if key == "against" and key in valid:
            return key
        return kind_of(info).checked_key(key, check_packaged)

    return AfterValidator(check)


_Scalar = Annotated[Any, PlainValidator(single)]
_Values = Annotated[tuple[_Scalar, ...], BeforeValidator(listed), Field(min_length=1)]
_Seed = Annotated[int, RunConfig.model_fields["seed"]]
_Entry = dict[Annotated[str, _key_of(*GRID_KEYS)], _Values]
_Compared = dict[Annotated[str, _key_of(*GRID_KEYS, "against")], _Values]
_Listed = Annotated[tuple[_Seed, ...], BeforeValidator(seed_list), Field(min_length=1)]
_Seeds = Annotated[
    Annotated[_Listed, Tag("[list]")] | Annotated[UntilDecided, Tag("[until]")],
    Discriminator(lambda given: "[until]" if isinstance(given, dict | UntilDecided) else "[list]"),
]


class Resources(Section):
    """The resources that one trial reserves while it runs, and the sweep's share of a cluster."""

    cpu: float = Field(1.0, gt=0, description="processor cores")
    gpu: Annotated[float | Literal["auto"], PlainValidator(gpus)] = Field(
        0.0, description="GPUs; a fraction lets several trials share one, auto as many as have room"
    )

    priority: float = Field(
        1.0,
        ge=0.001,
        le=1000,
        description="the share of a cluster on which other sweeps run, relative to theirs",
    )

    @property
    def gpu_count(self) -> float:
        """The GPUs of a trial in numbers: a whole one with ``auto``, until it has been measured."""
        return 1.0 if self.gpu == "auto" else self.gpu

    @property
    def reserved(self) -> float:
        """The GPUs that a trial reserves, or its processor cores if it has no GPU."""
        return self.gpu_count or self.cpu


class CollapseRule(Section):
    """When to stop a network that stays at chance."""

    after_epochs: int = Field(description="epochs at chance without progress")


class SpecKeys(Section):
    """The keys of a spec, each with its type."""

    name: Annotated[str, AfterValidator(sweep_name)] = Field(
        description="the MLflow experiment's name"
    )
    train: str | None = Field(
        None,
        description="training code of your own, package.module:Name, in place of dataset, "
        "architecture and norm",
    )
    dataset: _Scalar | None = Field(None, description="for entries of the grid that name none")
    epochs: _Scalar | None = Field(None, description="for entries of the grid that give none")
    seeds: _Seeds = Field(
        description="a list of whole numbers, each of which trains every network once; or "
        "{until: decided, …}, with compare"
    )
    search: Search | None = Field(None, description="how each cell's best setting is found")
    confirm: Confirm | None = Field(None, description="how the best settings are trained again")
    compare: tuple[_Compared, ...] = Field(
        (), strict=False, description="a list of entries such as {norm: [bntt, homeostatic]}"
    )
    gpu_hours: float | None = Field(
        None, gt=0, description="the most that a sweep with a list of seeds may use"
    )
    training: dict[Annotated[str, _key_of(*TRAINING_KEYS)], _Scalar] = Field(
        {}, description="keys of the training for all entries of the grid that do not set them"
    )
    grid: tuple[_Entry, ...] = Field(
        strict=False,
        min_length=1,
        description="a list of entries such as {architecture: snn, norm: [none, bntt]}",
    )
    metric: MetricRule | None = Field(None, description="what your own training is judged by")
    baseline: dict[str, _Scalar] | None = Field(
        None, description="values of axes that the others are tested against"
    )
    resources: Resources = Field(Resources(), description="what one trial reserves")
    retries: int = Field(3, ge=0, description="attempts after a fault of the infrastructure")
    reuse: Literal["sweep", "any"] = Field(
        "sweep", description="whose finished trials count: this sweep's, or any on the server"
    )
    keep: Keep = Field(
        "best", description="the model of each trial's best epoch, of its last, or none"
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="the time between two checkpoints within an epoch"
    )
    stop_when_collapsed: CollapseRule | None = Field(
        None, description="when to stop a network that stays at chance"
    )


_SECTIONS: dict[FieldPath, type[Section]] = {
    (): SpecKeys,
    ("seeds",): UntilDecided,
    ("search",): Search,
    ("search", "prune"): Prune,
    ("search", "metric"): MetricRule,
    ("confirm",): Confirm,
    ("metric",): MetricRule,
    ("resources",): Resources,
    ("stop_when_collapsed",): CollapseRule,
}
_PLACES = {
    "at the top of the spec": tuple(SpecKeys.model_fields),
    "in training, or in an entry of the grid": TRAINING_KEYS,
    "in an entry of the grid": GRID_KEYS,
}


def _unknown_key(key: str, valid: tuple[str, ...]) -> str:
    hint = did_you_mean(key, valid)
    place = next((place for place, keys in _PLACES.items() if key in keys), None)
    if place and not hint:
        hint = f"; it belongs {place}"
    return f"is not a key here; valid are {', '.join(valid)}{hint}"


def note_shape(invalid: pydantic.ValidationError, problems: Problems) -> None:
    """Note each value that has not the type of its key."""
    for error in invalid.errors(include_url=False):
        # Parts in brackets are pydantic's or ours, for a key itself and for a kind of value.
        path = tuple(part for part in error["loc"] if not str(part).startswith("["))
        key = path[-1] if path else None
        if error["type"] == "too_short" and error["input"]:
            continue  # each of its values is wrong, and has a problem of its own
        if error["type"] == "extra_forbidden":
            message = _unknown_key(str(key), tuple(_SECTIONS[path[:-1]].model_fields))
        elif error["type"] == "missing":
            message = in_words(error, _SECTIONS[path[:-1]].model_fields[str(key)].description)
        else:
            message = in_words(error)
        if path == ("name",) and error["type"] == "string_type":
            message += "; put it in quotes"
        problems.add(path, message)
