"""The JSON schema of a spec, by which editors complete and check it. Made from the models.

It cannot say everything: whether a norm belongs to an architecture, for example, is checked by
``snn-sweep plan``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.spec_keys import GRID_KEYS
from snn_norm.config import TRAINING_KEYS, RunConfig


def spec_schema() -> dict[str, Any]:
    """The schema of a spec as a whole (JSON Schema, draft 2020-12)."""
    schema = SweepSpec.model_json_schema()
    schema["description"] = "A sweep: which trials are wanted, and what each may use."
    keys = schema["properties"]
    for key in ("dataset", "epochs"):
        keys[key] = value_schema(key) | {"description": keys[key]["description"]}
    listed = keys["seeds"]["oneOf"][0]
    listed["minItems"] = listed.pop("minLength")
    keys["seeds"] = {
        "description": keys["seeds"]["description"],
        "anyOf": [listed, listed["items"], {"$ref": "#/$defs/UntilDecided"}],
    }
    schema["$defs"]["Resources"]["properties"]["gpu"]["anyOf"] = [
        {"type": "number", "minimum": 0},
        {"const": "auto"},
    ]
    search, prune = (schema["$defs"][name]["properties"] for name in ("Search", "Prune"))
    for key in ("drawn", "bought", "earlier"):  # for the record of a sweep alone
        del search[key]
    budgets = [{"required": ["trials"]}, {"required": ["gpu_hours"]}]
    schema["$defs"]["Search"]["oneOf"] = budgets
    search["prune"]["anyOf"].append({"const": "none"})
    epochs = prune["at"] | {"minItems": prune["at"]["minLength"]}
    del epochs["minLength"]
    prune["at"] = {"description": epochs.pop("description"), "anyOf": [epochs, epochs["items"]]}
    schema["$defs"]["Confirm"]["properties"]["seeds"] = keys["seeds"]
    # The seeds of a sweep with a search are those of confirm.
    schema["required"].remove("seeds")
    schema["anyOf"] = [{"required": ["seeds"]}, {"required": ["search", "confirm"]}]
    own = {"type": "object", "minProperties": 1}
    keys["grid"]["items"] = keys["compare"]["items"] = keys["training"] = own
    # With training code of the user's own, the keys of these sections are the user's too.
    schema["if"] = {"required": ["train"]}
    schema["else"] = {
        "properties": {
            "training": _mapping(TRAINING_KEYS, listed=False),
            "grid": {"items": _mapping(GRID_KEYS, listed=True)},
            "compare": {"items": _compared()},
        }
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def value_schema(key: str) -> dict[str, Any]:
    """The schema of one value of a key of the training, of the network or of a grid entry."""
    schema: dict[str, Any] = dict(RunConfig.model_json_schema()["properties"][key])
    # A key that may be left out is None in the model; in a spec it has a value or is not there.
    options = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    schema |= options[0] if len(options) == 1 else {"anyOf": options} if options else {}
    return {part: value for part, value in schema.items() if part not in ("title", "default")}


def _mapping(keys: Iterable[str], *, listed: bool) -> dict[str, Any]:
    """A mapping of these keys, each to a value or also to a list of values."""
    values = {key: value_schema(key) for key in keys}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _one_or_more(one) if listed else one for key, one in values.items()},
    }


def _one_or_more(value: dict[str, Any]) -> dict[str, Any]:
    description = {"description": value["description"]}
    return description | {"anyOf": [value, {"type": "array", "minItems": 1, "items": value}]}


def _compared() -> dict[str, Any]:
    """An entry of ``compare``: one axis, and perhaps what it is compared against."""
    schema = _mapping(GRID_KEYS, listed=True)
    schema["properties"]["against"] = {"description": "all, or values of the axis"}
    return schema
