"""The configuration of one training run: every key, its type, its range and its default.

The library, ``python -m snn_norm.train`` and a sweep's spec all use this definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from snn_norm.bounds import BOUNDS, check_decay_of_plif
from snn_norm.data.table import DATASETS
from snn_norm.networks.table import INITS, SHORTCUTS, TRUNKS, check_depth, check_init, check_trunk
from snn_norm.neurons.table import NEURONS, RESETS, SURROGATES
from snn_norm.norms.table import NORMS
from snn_norm.references import is_reference
from snn_norm.wording import not_among


def _number(value: Any) -> Any:
    """Convert the text of a number (YAML 1.1 reads ``1e-3`` as text); pydantic does the rest."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


_Number = Annotated[float, BeforeValidator(_number)]


def _precision(value: Any) -> Any:
    """Refuse an unknown precision, with help for the other names under which users know bf16."""
    if value not in ("float32", "bf16"):
        raise ValueError(
            "must be float32, or bf16 for convolutions and linear layers in bfloat16 (its range is "
            f"float32's, so losses are not scaled; float16 is not offered), got {value!r}"
        )
    return value


_Precision = Annotated[Literal["float32", "bf16"], BeforeValidator(_precision)]


def _compile(value: Any) -> Any:
    """Convert the text of the two booleans, which a command line has instead of values."""
    known = {"auto": "auto", "true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ValueError(f"must be auto, true or false, got {value!r}")


_Compile = Annotated[Literal["auto"] | bool, BeforeValidator(_compile)]


def _one_of(known: Iterable[str]) -> AfterValidator:
    """Accept only these names."""

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(not_among(known, name))
        return name

    return AfterValidator(check)


def _names_or_own(known: Iterable[str]) -> dict[str, Any]:
    """What an editor completes and checks: these names, or a reference to the user's own code."""
    return {"anyOf": [{"enum": list(known)}, {"pattern": "^.+:.+$"}]}


def _choice(known: Iterable[str], description: str) -> Any:
    """An optional key whose value is one of these names, which the description has for ``{}``."""
    names: list[Any] = list(known)
    text = description.format(", ".join(names))
    return Field(None, description=text, json_schema_extra={"enum": names})


LARGEST_SEED = 2**32 - 1
"""The largest seed that numpy accepts."""

SPIKING_KEYS: dict[str, Any] = {
    "num_steps": 25,
    "neuron": "lif",
    "reset": "subtract",
    "surrogate": "fast_sigmoid",
    "beta": 0.9,
    "threshold": 1.0,
    "slope": SURROGATES["fast_sigmoid"],
}
"""Keys that only the spiking network has, with their defaults."""


class RunConfig(BaseModel):
    """Everything that determines the results of one training run, and nothing else.

    A key that does not apply (``num_steps`` to an artificial network, ``momentum`` to Adam) is None
    and must not be given. Defaults that depend on another key (``image_size`` and ``augment`` on
    the data set) are filled in, so equal configurations train alike.

    Raises:
        pydantic.ValidationError: a key is wrong; this ValueError names each wrong key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    architecture: str = Field(
        description="ann, snn, or package.module:name",
        json_schema_extra=_names_or_own(("ann", "snn")),
    )
    norm: str = Field(
        description=f"{', '.join(NORMS)}, or package.module:name",
        json_schema_extra=_names_or_own(NORMS),
    )
    dataset: str = Field(
        description=f"{', '.join(DATASETS)}, or package.module:function",
        json_schema_extra=_names_or_own(DATASETS),
    )
    seed: int = Field(
        ge=0, lt=LARGEST_SEED + 1, description="initial weights, order and augmentation"
    )
    epochs: int = Field(ge=1, description="passes over the training set")

    batch_size: int = Field(128, ge=1, description="images in a training step")
    learning_rate: _Number = Field(1e-3, gt=0, description="its peak, where a schedule moves it")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="adam, adamw or sgd")
    momentum: _Number | None = Field(None, ge=0, lt=1, description="of sgd; default 0.9")
    weight_decay: _Number = Field(0.0, ge=0, description="L2 penalty, decoupled with adamw")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant, or cosine down to zero at the last step"
    )
    warmup_epochs: int = Field(0, ge=0, description="epochs of linear rise before the schedule")
    augment: bool | None = Field(None, description="random crop and flip; default for CIFAR only")
    precision: _Precision = Field(
        "float32", description="float32, or bf16: convolutions and linear layers in bfloat16"
    )
    compile: _Compile = Field(
        "auto",
        description="how spiking layers are computed, with the same numbers up to rounding: true "
        "is by torch.compile, false is eager, and auto is by torch.compile on a GPU, and on a CPU "
        "by numba if it is installed. On a GPU, a training step is one CUDA graph unless this is "
        "false. Norms on the membrane are never compiled",
    )
    stop_when_collapsed_after: int | None = Field(
        None, ge=1, description="stop after so many epochs at chance without progress"
    )
    training_images: int | None = Field(
        None,
        ge=1,
        description="of the data set's, each class in proportion, the same for all seeds; "
        "default all",
    )
    validation_fraction: _Number = Field(
        0.0,
        ge=0,
        le=0.5,
        description="of the training images, held out to select the best epoch; "
        "0: the test set selects it",
    )

    trunk: Annotated[str, _one_of(TRUNKS)] | None = _choice(TRUNKS, "{}; default reference")
    depth: Annotated[int, AfterValidator(check_depth)] | None = Field(
        None, description="of trunk resnet, 6n + 2; default 20"
    )
    shortcut: Annotated[str, _one_of(SHORTCUTS)] | None = _choice(
        SHORTCUTS, "of trunk resnet: {}; default membrane"
    )
    init: Annotated[str, _one_of(INITS)] | None = _choice(
        INITS, "initial weights: {}; default default"
    )
    width: int | None = Field(
        None,
        description="channels of the first convolution; default "
        + ", ".join(f"{trunk.width} of {name}" for name, trunk in TRUNKS.items()),
        **BOUNDS["width"],
    )
    image_size: int | None = Field(
        None,
        description="height and width in pixels; default: the data set's own",
        **BOUNDS["image_size"],
    )
    num_steps: int | None = Field(
        None, description="time steps T; default 25", **BOUNDS["num_steps"]
    )
    neuron: Annotated[str, _one_of(NEURONS)] | None = _choice(NEURONS, "{}; default lif")
    reset: Annotated[str, _one_of(RESETS)] | None = _choice(
        RESETS, "of the membrane after a spike: {}; default subtract"
    )
    surrogate: Annotated[str, _one_of(SURROGATES)] | None = _choice(
        SURROGATES, "gradient of a spike: {}; default fast_sigmoid"
    )
    beta: _Number | None = Field(
        None, description="membrane decay a step, but of neuron if; default 0.9", **BOUNDS["beta"]
    )
    threshold: _Number | None = Field(
        None, description="firing threshold; default 1", **BOUNDS["threshold"]
    )
    slope: _Number | None = Field(
        None,
        description="of the surrogate; default "
        + ", ".join(f"{slope:g} of {name}" for name, slope in SURROGATES.items()),
        **BOUNDS["slope"],
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_dependent_defaults(cls, values: Any) -> Any:
        """Fill in the defaults that depend on another key, so that none is implicit."""
        if not isinstance(values, dict):
            return values
        filled = {key: value for key, value in values.items() if value is not None}
        if filled.get("architecture") in ("ann", "snn"):
            filled = {"trunk": "reference", "init": "default", **filled}
            if filled["trunk"] == "resnet":
                filled = {"depth": 20, "shortcut": "membrane", **filled}
            if isinstance(filled["trunk"], str) and filled["trunk"] in TRUNKS:
                filled.setdefault("width", TRUNKS[filled["trunk"]].width)
        if filled.get("architecture") == "snn":
            surrogate = filled.get("surrogate")
            if isinstance(surrogate, str) and surrogate in SURROGATES:
                filled.setdefault("slope", SURROGATES[surrogate])
            beta = {"beta": None} if filled.get("neuron") == "if" else {}
            filled = {**SPIKING_KEYS, **beta, **filled}
        if filled.get("optimizer") == "sgd":
            filled.setdefault("momentum", 0.9)
        if isinstance(dataset := filled.get("dataset"), str):
            info = DATASETS.get(dataset)
            filled.setdefault("augment", info is not None and info.augment)
            if info is not None:
                filled.setdefault("image_size", info.image_size)
        return filled

    @model_validator(mode="after")
    def _check_together(self) -> RunConfig:
        """Refuse keys that contradict each other, or that do not apply because of another key."""
        if self.architecture == "ann":
            for key in SPIKING_KEYS:
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key} belongs to the spiking network; architecture is 'ann': "
                        f"take {key} out, or set architecture to snn"
                    )
        if self.neuron == "if" and self.beta is not None:
            raise ValueError(
                "beta belongs to the neurons lif and plif; neuron if does not leak: "
                "take beta out, or set neuron to lif"
            )
        if self.neuron == "plif" and self.beta is not None:
            check_decay_of_plif(self.beta)
        if self.trunk is not None:
            check_trunk(self.trunk, self.depth, self.shortcut)
        if self.init is not None and self.architecture in ("ann", "snn"):
            check_init(self.init, spiking=self.architecture == "snn")
        if self.momentum is not None and self.optimizer != "sgd":
            raise ValueError(
                f"momentum belongs to the optimizer sgd; optimizer is {self.optimizer!r}: "
                "take momentum out, or set optimizer to sgd"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be less than epochs, got {self.warmup_epochs} "
                f"of {self.epochs} epochs"
            )
        return self

    def given(self) -> dict[str, Any]:
        """The keys that apply, by name, as the record of the run has them."""
        return self.model_dump(exclude_none=True)

    def own_calls(self) -> dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """The calls by which training makes the user's own code, by the key that names it.

        Returns:
            The form of the call in words, and positional and keyword arguments like those of it.
        """
        calls: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
        if is_reference(self.dataset):
            calls["dataset"] = ("a data set is called with (root)", (Path("data"),), {})
        if is_reference(self.norm) and self.architecture == "ann":
            calls["norm"] = ("a norm of architecture ann is called with (num_features)", (64,), {})
        if is_reference(self.norm) and self.architecture == "snn":
            form = "a norm of architecture snn is called with (num_features, num_steps)"
            calls["norm"] = (form, (64, self.num_steps), {})
        if is_reference(self.architecture):
            sizes = {"in_channels": 3, "num_classes": 10, "image_size": 32}
            keys = {"norm": self.norm, **sizes, **self.model_arguments()}
            calls["architecture"] = ("an architecture is called with its keys by name", (), keys)
        return calls

    @property
    def named_code(self) -> tuple[str, ...]:
        """The names that may refer to the user's own code."""
        return (self.architecture, self.norm, self.dataset)

    @property
    def kind(self) -> str:
        """A text that is the same for runs of about the same cost."""
        return self.architecture

    @property
    def epoch_cost(self) -> float:
        """The relative time of an epoch, without a unit: a convolution per time step dominates."""
        return float((self.num_steps or 1) * (self.width or 1) ** 2)

    def model_arguments(self) -> dict[str, Any]:
        """The keys of the network that apply; an image_size of None means the data set's own."""
        given = self.given()
        return {key: given[key] for key in ("norm", *MODEL_KEYS) if key in given}


MODEL_KEYS = ("trunk", "depth", "shortcut", "init", "width", "image_size", *SPIKING_KEYS)
"""Keys that define the network; the other optional ones are training keys."""

NOT_OF_ANN = (*SPIKING_KEYS, "compile")
"""Keys that do not apply to an artificial network: it has no such part, or no layer to compile."""

OPTIMIZATION_KEYS = (
    "batch_size",
    "learning_rate",
    "optimizer",
    "momentum",
    "weight_decay",
    "schedule",
    "warmup_epochs",
    "augment",
)
"""Training keys that change how a network learns, and neither the task nor the computation."""

TRAINING_KEYS = (
    *OPTIMIZATION_KEYS,
    "precision",
    "compile",
    "training_images",
    "validation_fraction",
)
"""Keys of the training, which may be in a spec's ``training`` section."""
