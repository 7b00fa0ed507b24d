import math

import pytest
from pydantic import Field, ValidationError

from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.events import EpochEnded, Failed, Log
from napari_seg_trainer.schema.job import ChannelInput, Hyperparameters, Normalization, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel


class Reading(FrozenModel):
    value: float = 0.0
    values: dict[str, float] = Field(default_factory=dict)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e-300, 0.1])
def test_numbers_survive_json(value):
    reading = Reading(value=value, values={"loss": value})
    back = Reading.model_validate_json(reading.model_dump_json())
    assert [back.value, back.values["loss"]] == pytest.approx([value, value], nan_ok=True, rel=0, abs=0)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Reading, {}),
        (Log, {"message": "hello"}),
        (Failed, {"message": "hello"}),
        (Normalization, {}),
        (ChannelInput, {"name": "dapi"}),
        (Hyperparameters, {}),
        (TrainingJob, {"name": "n", "engine": "toy", "data": ["a"]}),
        (ModelChannel, {"name": "dapi"}),
        (ModelCard, {"name": "n", "engine": "toy", "created": "2026-01-02T03:04:05Z", "channels": []}),
    ],
)
def test_a_misspelt_field_is_an_error(model, fields):
    model.model_validate(fields)
    with pytest.raises(ValidationError, match="tpyo"):
        model.model_validate(fields | {"tpyo": 1})


def test_a_model_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Reading(value=1.0).value = 2.0


def test_replace_changes_a_copy_and_leaves_the_rest():
    epoch = EpochEnded(epoch=1, metrics={"loss": 1.0}, learning_rate=0.1, is_best=True, seconds=2.0)
    later = epoch.replace(epoch=2)
    assert (epoch.epoch, later.epoch) == (1, 2)
    assert later.replace(epoch=1) == epoch


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"epoch": 3}, {"learning_rate": -1}])
def test_replace_validates_again(changes):
    with pytest.raises(ValidationError):
        Hyperparameters().replace(**changes)
