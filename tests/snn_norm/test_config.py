from __future__ import annotations

from typing import Any

import pydantic
import pytest

from snn_norm.config import MODEL_KEYS, SPIKING_KEYS, TRAINING_KEYS, RunConfig
from snn_norm.neurons.table import SURROGATES

ANN: dict[str, Any] = {
    "architecture": "ann",
    "norm": "batchnorm",
    "dataset": "digits",
    "seed": 42,
    "epochs": 3,
}
SNN = {**ANN, "architecture": "snn", "norm": "bntt"}


def config(base: dict[str, Any] = ANN, **changes: Any) -> RunConfig:
    return RunConfig(**{**base, **changes})


def test_what_an_artificial_network_records() -> None:
    assert config().given() == {
        **ANN,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "schedule": "cosine",
        "warmup_epochs": 0,
        "augment": False,
        "precision": "float32",
        "compile": "auto",
        "validation_fraction": 0.0,
        "trunk": "reference",
        "init": "default",
        "width": 64,
        "image_size": 16,
    }


def test_a_spiking_network_has_seven_keys_more() -> None:
    more = {key: config(SNN).given()[key] for key in config(SNN).given().keys() - config().given()}
    assert more == SPIKING_KEYS == {
        "num_steps": 25, "neuron": "lif", "reset": "subtract", "surrogate": "fast_sigmoid",
        "beta": 0.9, "threshold": 1.0, "slope": 25.0,
    }  # fmt: skip
    assert config(SNN).num_steps == 25
    assert config(SNN, num_steps=10).num_steps == 10
    assert config(SNN, num_steps=None).num_steps == 25


@pytest.mark.parametrize("key", list(ANN))
def test_five_keys_have_no_default(key: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        RunConfig(**{k: v for k, v in ANN.items() if k != key})
    assert [(e["loc"], e["type"]) for e in caught.value.errors()] == [((key,), "missing")]


BAD: dict[str, list[Any]] = {
    "architecture": [1, True, ["ann"]],
    "norm": [1, False],
    "dataset": [3, {}],
    "seed": [-1, 2**32, 1.0, "42", True],
    "epochs": [0, -3, 1.5, True, "three", float("nan")],
    "batch_size": [0, 1.5, True],
    "learning_rate": [0, -1e-3, float("nan"), float("inf"), "nan", "-inf", "fast", True, [1]],
    "optimizer": ["Adam", "rmsprop", 1],
    "momentum": [-0.1, 1, float("nan"), True],
    "weight_decay": [-1e-4, float("inf"), True],
    "schedule": ["step", 0],
    "warmup_epochs": [-1, 0.5, True],
    "augment": [1, "yes", "no"],
    "precision": ["bfloat16", "fp16", 32, True, ["bf16"]],
    "compile": ["yes", "on", 1, 0.0, [True]],
    "stop_when_collapsed_after": [0, 1.5, True],
    "training_images": [0, 0.5, -1, True],
    "validation_fraction": [-0.1, 0.6, 1, float("nan"), "10 %", True],
    "trunk": ["vgg", 9],
    "depth": [18, 2, 200, 20.0, True],
    "shortcut": ["spikes", 1],
    "init": ["kaming", 0],
    "width": [0, 16.0, True],
    "image_size": [7, 16.0, True],
    "num_steps": [0, 2.5, True],
    "neuron": ["snntorch", "LIF", 1],
    "reset": ["none", False],
    "surrogate": ["arctan", 2],
    "beta": [-0.1, 1.1, float("nan"), True],
    "threshold": [0, -1, float("inf"), True],
    "slope": [0, -25, True],
}


def test_every_key_is_tried_with_bad_values() -> None:
    assert BAD.keys() == RunConfig.model_fields.keys()


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_a_bad_value_is_refused_by_the_name_of_its_key(key: str, value: Any) -> None:
    base = {**SNN, "optimizer": "sgd", "trunk": "resnet"}
    config(base)  # everything else is right
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the errors are looked at below
        config(base, **{key: value})
    assert isinstance(caught.value, pydantic.ValidationError)
    assert {e["loc"] for e in caught.value.errors()} == {(key,)}


@pytest.mark.parametrize(
    ("key", "value", "means"),
    [
        ("learning_rate", "1e-3", 1e-3),
        ("learning_rate", "5e4", 5e4),
        ("learning_rate", 1, 1.0),
        ("weight_decay", "5e-4", 5e-4),
        ("beta", 1, 1.0),
        ("beta", 0, 0.0),
        ("threshold", "1e0", 1.0),
        ("seed", 0, 0),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("epochs", 1, 1),
        ("image_size", 8, 8),
        ("augment", True, True),
        ("compile", True, True),
        ("compile", "false", False),
        ("stop_when_collapsed_after", 1, 1),
        ("validation_fraction", 0, 0.0),
        ("validation_fraction", "5e-1", 0.5),
    ],
)
def test_a_value_at_the_edge_or_as_text_is_accepted(key: str, value: Any, means: Any) -> None:
    got = getattr(config(SNN, **{key: value}), key)
    assert got == means
    assert type(got) is type(means)


def test_an_unknown_precision_is_told_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"must be float32, or bf16 for .*, got 'bfloat16'"):
        config(precision="bfloat16")


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        config(learningrate=1e-3)
    assert [(e["loc"], e["type"]) for e in caught.value.errors()] == [
        (("learningrate",), "extra_forbidden")
    ]


def test_all_wrong_keys_are_reported_at_once() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        config(epochs=0, seed=-1, optimizer="x", colour="red")
    assert {e["loc"][0] for e in caught.value.errors()} == {"epochs", "seed", "optimizer", "colour"}


@pytest.mark.parametrize("key", list(SPIKING_KEYS))
def test_a_spiking_key_is_refused_for_an_artificial_network(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} belongs to the spiking network.*take {key} out"):
        config(**{key: SPIKING_KEYS[key]})


def test_a_network_of_ones_own_takes_the_spiking_keys_it_is_given() -> None:
    own = config(architecture="mine:network", num_steps=4)
    assert own.given().keys() & SPIKING_KEYS.keys() == {"num_steps"}


@pytest.mark.parametrize(
    ("trunk", "given"),
    [
        ("reference", {"width": 64}),
        ("vgg9", {"width": 64}),
        ("resnet19", {"width": 128}),
        ("resnet", {"width": 16, "depth": 20, "shortcut": "membrane"}),
    ],
)
@pytest.mark.parametrize("base", [ANN, SNN], ids=["ann", "snn"])
def test_the_trunk_decides_width_and_depth(
    base: dict[str, Any], trunk: str, given: dict[str, Any]
) -> None:
    keys = {"trunk", "width", "depth", "shortcut"}
    found = config(base, trunk=trunk).given()
    assert {key: found[key] for key in keys & found.keys()} == {"trunk": trunk, **given}
    assert config(base, trunk=trunk, width=8).width == 8


@pytest.mark.parametrize("trunk", [None, "reference", "vgg9", "resnet19"])
@pytest.mark.parametrize(("key", "value"), [("depth", 20), ("shortcut", "spike")])
def test_depth_and_shortcut_are_of_resnet(trunk: str | None, key: str, value: Any) -> None:
    assert getattr(config(trunk="resnet", **{key: value}), key) == value
    with pytest.raises(ValueError, match=f"{key} belongs to the trunk resnet.*take {key} out"):
        config(trunk=trunk, **{key: value})


@pytest.mark.parametrize("surrogate", ["fast_sigmoid", "atan", "triangle"])
def test_the_surrogate_decides_the_slope(surrogate: str) -> None:
    assert config(SNN, surrogate=surrogate).slope == SURROGATES[surrogate]
    assert config(SNN, surrogate=surrogate, slope=3).slope == 3


def test_beta_is_of_neurons_that_leak() -> None:
    assert "beta" not in config(SNN, neuron="if").given()
    assert config(SNN, neuron="plif").beta == 0.9
    with pytest.raises(
        ValueError, match=r"beta belongs to the neurons lif and plif.*take beta out"
    ):
        config(SNN, neuron="if", beta=0.5)
    with pytest.raises(ValueError, match=r"beta of neuron plif must be between 0 and 1, got 1.0"):
        config(SNN, neuron="plif", beta=1)


def test_a_start_from_spikes_is_of_a_spiking_network() -> None:
    assert config(init="kaiming").init == "kaiming"
    for init in ("fluctuation", "activity"):
        assert config(SNN, init=init).init == init
        with pytest.raises(ValueError, match="init of an artificial network must be one of"):
            config(init=init)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"one of reference, vgg9, .*did you mean 'resnet19'"):
        config(trunk="resnet-19")


def test_momentum_is_of_sgd() -> None:
    assert config(optimizer="sgd").momentum == 0.9
    assert config(optimizer="sgd", momentum=0).momentum == 0
    for optimizer in ("adam", "adamw"):
        assert "momentum" not in config(optimizer=optimizer).given()
        with pytest.raises(ValueError, match="momentum belongs to the optimizer sgd"):
            config(optimizer=optimizer, momentum=0.9)


@pytest.mark.parametrize("warmup", [3, 4])
def test_the_warmup_must_end_before_the_training(warmup: int) -> None:
    assert config(warmup_epochs=2).warmup_epochs == 2
    with pytest.raises(ValueError, match=f"less than epochs, got {warmup} of 3 epochs"):
        config(warmup_epochs=warmup)


@pytest.mark.parametrize(
    ("dataset", "augment", "image_size"),
    [
        ("digits", False, 16),
        ("mnist", False, 28),
        ("fashion-mnist", False, 28),
        ("cifar10", True, 32),
        ("cifar100", True, 32),
        ("mine:images", False, None),
    ],
)
def test_the_data_set_decides_size_and_augmentation(
    dataset: str, augment: bool, image_size: int | None
) -> None:
    default = config(dataset=dataset)
    assert (default.augment, default.image_size) == (augment, image_size)
    other = config(dataset=dataset, augment=not augment, image_size=20)
    assert (other.augment, other.image_size) == (not augment, 20)


def test_configurations_that_train_alike_are_equal() -> None:
    spelt_out = config(
        SNN,
        num_steps=25,
        beta="0.9",
        threshold=1,
        slope=25,
        learning_rate="1e-3",
        weight_decay=0,
        image_size=16,
        augment=False,
        momentum=None,
    )
    assert spelt_out == config(SNN)
    assert spelt_out.model_dump_json() == config(SNN).model_dump_json()
    again = RunConfig(**spelt_out.given())
    assert again.model_dump_json() == spelt_out.model_dump_json()


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config().epochs = 5


def test_every_key_has_a_description_and_one_place() -> None:
    assert all(field.description for field in RunConfig.model_fields.values())
    assert set(MODEL_KEYS) | set(TRAINING_KEYS) < RunConfig.model_fields.keys()
    assert not set(MODEL_KEYS) & set(TRAINING_KEYS)
