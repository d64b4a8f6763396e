"""The schema of an archive's lines: it admits what MLflow stores, and nothing that MLflow refuses.

An archive may come from anybody. An archive that fits this schema can be imported as a whole, and
holds only trials of its one sweep.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestration.model.run import OUTCOMES, PRUNED
from orchestration.model.sweep_name import sweep_name
from orchestration.record.finished_trial import Point
from orchestration.record.names import (
    LAYERS_TAG,
    LONGEST_TAG,
    NAME_TAG,
    OUTCOME_TAG,
    ROLE_TAG,
    SAMPLE_TAG,
    SPEC_TAG,
    STATUS_TAG,
    TAG_PREFIX,
    TRIAL_KEY_TAG,
)
from snn_norm.wording import described, in_words, not_among

VERSION = 1

_NAME = re.compile(r"[/\w.\- :]{1,250}")
_LONGEST_PARAM = 6000
"""MLflow's limit on the characters of a parameter's value."""
_MOST_TAGS = 100
"""MLflow's limit on the tags of one request, such as the one that creates a run."""
_LATEST = 7_258_118_400_000
"""The year 2200, in milliseconds since 1970."""


@lru_cache(maxsize=4096)
def _name(name: str) -> None:
    norm = posixpath.normpath(name)
    is_path = norm != name or norm == "." or norm.startswith(("..", "/"))
    if is_path or not _NAME.fullmatch(name):
        raise ValueError(
            "must have names that MLflow accepts (letters, digits, spaces and / _ . - :, at most "
            f"250 characters), got {described(name)}"
        )


def _text(value: Any, longest: int = 250) -> str:
    if not isinstance(value, str) or len(value) > longest or "\0" in value:  # Postgres has no NUL
        raise ValueError(
            f"must be text of at most {longest:,} characters, none of them NUL, "
            f"got {described(value)}"
        )
    return value


def _texts(values: dict[str, Any], longest: int) -> dict[str, str]:
    for name, value in values.items():
        _name(name)
        _text(value, longest)
    return values


def _whole(value: Any, below: int, what: str) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(
            f"{what} must be a whole number from 0 to {below - 1:,}, got {described(value)}"
        )
    return value


# The first wrong value ends this check. Pydantic's own would keep an error for each, and a line of
# millions of wrong values would fill the memory.
def _points(epochs: Any) -> tuple[Point, ...]:
    points: list[Point] = []
    if type(epochs) is not list:
        raise ValueError(f"must be a list, got {described(epochs)}")
    for epoch in epochs:
        if type(epoch) is not list or len(epoch) != 3 or type(epoch[2]) is not dict:
            raise ValueError(
                f"must be lists of step, time and a mapping of metrics, got {described(epoch)}"
            )
        step, time = _whole(epoch[0], 2**63, "a step"), _whole(epoch[1], _LATEST, "a time")
        for name, value in epoch[2].items():
            _name(name)
            if type(value) is not float and (type(value) is not int or abs(value) > 2**63):
                raise ValueError(f"{name} must be a number, got {described(value)}")
            points.append((name, step, time, float(value)))
    return tuple(points)


_Time = Annotated[int, Field(ge=0, lt=_LATEST)]


class AnyVersion(BaseModel):
    """The part of an archive's first line that every version has."""

    snn_sweep_archive: int = Field(strict=True)


class _Line(BaseModel):
    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_no_other_keys(cls, line: Any) -> Any:
        valid = {field.alias or name for name, field in cls.model_fields.items()}
        others = line.keys() - valid if isinstance(line, dict) else ()
        for key in others:
            raise ValueError(f"must have the keys {', '.join(sorted(valid))}, got {described(key)}")
        return line


class SweepLine(_Line):
    """The first line, which describes the sweep."""

    snn_sweep_archive: Literal[1]
    name: Annotated[str, AfterValidator(sweep_name)]
    status: Literal["completed", "failed", "stopped"]
    spec: dict[str, Any] | None


class TrialLine(_Line):
    """Any further line: a trial that has ended, with its metrics by step and time."""

    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    label: Annotated[str, AfterValidator(_text)]
    started: _Time
    ended: _Time
    params: Annotated[dict[str, Any], AfterValidator(partial(_texts, longest=_LONGEST_PARAM))]
    tags: dict[str, Any]
    points: Annotated[Any, AfterValidator(_points), Field(alias="metrics")]

    @field_validator("tags")
    @classmethod
    def _are_a_trials(cls, tags: dict[str, Any]) -> dict[str, str]:
        if len(tags) > _MOST_TAGS:
            raise ValueError(f"must be at most {_MOST_TAGS}, got {len(tags):,}")
        _texts(tags, LONGEST_TAG)
        for name, check in _CHECKED.items():
            if name in tags:
                check(name, tags[name])
            elif name in _NEEDED:
                raise ValueError(f"must have {name}")
        for name in tags:
            if not name.startswith(TAG_PREFIX) or name.startswith(_SWEEP_TAGS):
                raise ValueError(f"must be those of a trial, got {described(name)}")
        return tags


class _Sample(_Line):
    channels: int = Field(gt=0)
    image_size: int = Field(gt=0)
    classes: int = Field(gt=0)
    sequences: bool


def _one_of(*values: str) -> Callable[[str, str], None]:
    def check(name: str, text: str) -> None:
        if text not in values:
            raise ValueError(f"{name} {not_among(values, text)}")

    return check


def _json_of(kind: Any, words: str) -> Callable[[str, str], None]:
    adapter = TypeAdapter(kind)

    def check(name: str, text: str) -> None:
        try:
            adapter.validate_json(text, strict=True)
        except ValidationError:
            raise ValueError(f"{name} must be {words} in JSON, got {described(text)}") from None

    return check


def _key(name: str, text: str) -> None:
    if not 1 <= len(text) <= 250 or not text.isprintable():
        raise ValueError(
            f"{name} must be 1 to 250 printable characters long, got {described(text)}"
        )


_NEEDED = (ROLE_TAG, TRIAL_KEY_TAG, OUTCOME_TAG)
_SWEEP_TAGS = (NAME_TAG, STATUS_TAG, SPEC_TAG)
_CHECKED: dict[str, Callable[[str, str], None]] = {
    ROLE_TAG: _one_of("trial"),
    TRIAL_KEY_TAG: _key,
    OUTCOME_TAG: _one_of(*OUTCOMES, PRUNED),
    LAYERS_TAG: _json_of(list[str], "a list of layers"),
    SAMPLE_TAG: _json_of(_Sample, "channels, image_size, classes and sequences"),
}


def problem_of(error: ValidationError) -> str:
    """The first problem of a line, in words."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"not readable as JSON ({first['ctx']['error']})"
    where = ".".join(str(part)[:80] for part in first["loc"])
    return f"{where} {in_words(first)}" if where else in_words(first)
