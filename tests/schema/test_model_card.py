from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

CARD = ModelCard(
    name="nuclei",
    engine="stardist",
    created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    channels=(ModelChannel(name="dapi", normalization=Normalization(low=0.5)), ModelChannel(name="gfp")),
    pixel_size=0.325,
    object_diameter=14.5,
    scores={"ap50": 0.9, "pq50": float("nan")},
    hyperparameters={"epochs": 5, "early_stopping": None},
    data={"annotations/cell_01": "ab12"},
)


def test_a_card_survives_json():
    text = CARD.model_dump_json(indent=2)
    assert ModelCard.model_validate_json(text).model_dump_json(indent=2) == text


def test_a_card_of_before_is_of_images():
    known = CARD.model_dump(mode="json", exclude={"axes", "z_step"})
    assert ModelCard.model_validate(known).axes == "YX"
    assert CARD.replace(axes="ZYX", z_step=2.0).z_step == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a/b"},
        {"created": datetime(2026, 1, 2)},
        {"pixel_size": 0},
        {"object_diameter": -1},
        {"version": 2},
        {"axes": "TYX"},
        {"z_step": 1.0},
        {"axes": "ZYX", "z_step": 0.0},
    ],
)
def test_an_impossible_card_is_refused(changes):
    with pytest.raises(ValidationError):
        CARD.replace(**changes)
