"""What a form is told of an engine's parameters; none of it knows Qt."""

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field, FiniteFloat, field_validator, model_validator

from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.schema.job import Hyperparameters, Normalization
from napari_seg_trainer.schema.parameters import parameters_of, plain, problems


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Strange(Hyperparameters):
    """As strangers write parameters: of every kind, with and without texts."""

    use_flips: bool = True
    mirror: bool | None = None
    mode: Literal["fast", "good"] = "good"
    only: Literal["one"] = "one"
    colour: Colour = Colour.RED
    tag: str = Field("", title="Tag of the run", description="Free\n    text.")
    sizes: tuple[int, ...] = (3, 5)
    odd: Annotated[int, Field(gt=2, lt=10)] = 3
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    needed: float
    made: list[int] = Field(default_factory=lambda: [1])
    width: int | float = 1

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value):
        if value % 2 == 0:
            raise ValueError("take an odd number")
        return value

    @model_validator(mode="after")
    def _together(self):
        if self.mode == "fast" and self.use_flips:
            raise ValueError("fast goes without flips")
        return self


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epochs", {"kind": "whole", "optional": True, "title": "Epochs", "rule": "a whole number from 1 to 1000000"}),
        ("early_stopping", {"kind": "whole", "optional": True, "empty": "never"}),
        ("use_flips", {"kind": "switch", "default": True, "title": "Use flips"}),
        ("mirror", {"kind": "choice", "choices": (True, False), "optional": True, "empty": "automatic"}),
        ("mode", {"kind": "choice", "choices": ("fast", "good"), "optional": False}),
        ("only", {"kind": "choice", "choices": ("one",)}),
        ("colour", {"kind": "choice", "choices": ("red", "blue"), "default": "red"}),
        ("tag", {"kind": "text", "title": "Tag of the run", "description": "Free text."}),
        ("sizes", {"kind": "other", "default": [3, 5]}),
        ("odd", {"rule": "a whole number of at least 3 and below 10"}),
        ("share", {"kind": "number", "rule": "a number above 0 and below 1", "optional": True}),
        ("needed", {"kind": "number", "default": None, "optional": False}),
        ("made", {"kind": "other", "default": [1]}),
        ("width", {"kind": "other"}),
    ],
)
def test_each_kind_is_told_from_the_model(name, expected):
    parameter = parameters_of(Strange)[name]
    assert {field: getattr(parameter, field) for field in expected} == expected


def test_every_parameter_of_stardist_has_a_field_of_its_own_kind_and_a_tooltip():
    for parameter in parameters_of(SPEC.parameters).values():
        assert parameter.kind in {"whole", "number", "choice"}
        assert parameter.description
        assert "_" not in parameter.title
    assert set(SPEC.architecture) < parameters_of(SPEC.parameters).keys()


@pytest.mark.parametrize(
    ("values", "name", "reason"),
    [
        ({"epochs": "many"}, "epochs", "Epochs must be a whole number from 1 to 1000000, or left empty."),
        ({"epochs": 0}, "epochs", "Epochs must be a whole number from 1 to 1000000, or left empty."),
        ({"epochs": 2.5}, "epochs", "Epochs must be a whole number from 1 to 1000000, or left empty."),
        ({"epochs": ""}, "epochs", "Epochs must be a whole number from 1 to 1000000, or left empty."),
        ({"augmentation": 101}, "augmentation", "Augmentation factor must be a number from 1 to 100."),
        (
            {"learning_rate": float("inf")},
            "learning_rate",
            "Learning rate must be a number above 0 and up to 100, or left empty.",
        ),
        ({"share": 2}, "share", "Share must be a number above 0 and below 1, or left empty."),
        ({"odd": 4}, "odd", "Odd: take an odd number."),
        ({"sizes": "x"}, "sizes", "Sizes: Input should be a valid tuple."),
        ({"mode": "fast"}, "", "fast goes without flips."),
        ({"nonsense": 1}, "nonsense", "'nonsense' is not a parameter of this engine."),
        ({"needed": None}, "needed", "Needed must be a number."),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(values, name, reason):
    assert problems(Strange, {"needed": 1.0} | values) == {name: reason}


def test_what_is_not_given_but_needed_is_wrong():
    assert problems(Strange, {}) == {"needed": "Needed must be a number."}
    assert problems(Normalization, {"low": 5, "high": 3}) == {
        "": "normalization: low (5) must be smaller than high (3)."
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", " 50 ", 50),
        ("epochs", "1e2", 100.0),
        ("epochs", "1,000", "1,000"),
        ("learning_rate", "0,003", 0.003),
        ("share", "", None),
        ("tag", "7", "7"),
        ("sizes", "[1, 2]", [1, 2]),
        ("sizes", "1, 2", "1, 2"),
        ("epochs", "", None),
    ],
)
def test_a_text_becomes_a_value(name, text, value):
    read = parameters_of(Strange)[name].read(text)
    assert read == value
    assert type(read) is type(value)


def test_a_value_becomes_a_text_without_exponents():
    learning_rate = parameters_of(Hyperparameters)["learning_rate"]
    assert [learning_rate.text(value) for value in (1e-5, 3, 2.0, None)] == ["0.00001", "3", "2", ""]
    assert parameters_of(Strange)["sizes"].text([3, 5]) == "[3, 5]"
    assert plain(float("nan")) == "nan"


def test_finite_numbers_are_told_apart_from_infinite_ones():
    class Limits(Hyperparameters):
        level: FiniteFloat = 0.0

    assert problems(Limits, {"level": float("nan")}) == {"level": "Level must be a number."}
