import json
import math

import numpy as np
import pytest

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.engines.protocol import PredictionSettings
from napari_seg_trainer.engines.registry import engine_spec, parse_settings
from napari_seg_trainer.engines.stardist.spec import SPEC, StarDistSettings
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.segmentation.files import segment_files
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.segment import Segmenter


def test_what_is_not_given_is_the_models_own():
    assert parse_settings(SPEC, {}) == parse_settings(SPEC, {"probability": None}) == StarDistSettings()
    assert parse_settings(SPEC, {"probability": 0, "overlap": 1}) == StarDistSettings(probability=0, overlap=1)
    assert all(field.title and field.description for field in StarDistSettings.model_fields.values())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"prob": 0.5}, "Its settings: probability, overlap."),
        ({"probability": 1.01}, "probability: Input should be less than or equal to 1, not 1.01"),
        ({"overlap": -0.1}, "overlap: Input should be greater than or equal to 0, not -0.1"),
        ({"overlap": math.nan}, "overlap"),
        ({"probability": "high"}, "not 'high'"),
        ({"probability": [0.5]}, "probability"),
    ],
)
def test_an_impossible_setting_is_one_line(values, told):
    with pytest.raises(JobError) as caught:
        parse_settings(SPEC, values)
    assert str(caught.value).startswith("StarDist: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_engine_without_settings_is_asked_as_ever(toy_model, annotation_folder):
    image = next(iter(AnnotationFolder.open(annotation_folder(images=1)))).read()
    model = toy_model()
    segmenter = Segmenter(model)
    for none in ({}, None):
        assert segmenter.segment(image.image, SegmentRequest(image.channels, settings=none)).max() == 16
    with pytest.raises(JobError, match=r"Toy: probability: .* Its settings: none\."):
        segmenter.segment(image.image, SegmentRequest(image.channels, settings={"probability": 0.5}))
    assert engine_spec("toy").prediction.of_model(model.folder) == PredictionSettings()


def test_settings_reach_the_engine(wilful_model, annotation_folder, tmp_path):
    folder = annotation_folder(images=1)
    image, model = folder / "cell_00.tif", wilful_model()
    objects = [
        next(iter(segment_files(model, [image], tmp_path / str(i), SegmentRequest(settings=settings)))).objects
        for i, settings in enumerate([None, {"brightness": 0.5}, {"brightness": 2}])
    ]
    assert objects == [16, 16, 0]


@pytest.mark.parametrize(
    ("content", "own"),
    [
        ({"prob": 0.48, "nms": 0.3}, {"probability": 0.48, "overlap": 0.3}),
        ({"prob": 0.48}, {}),
        ([1], {}),
        ({"prob": 7, "nms": 0.3}, {}),
        (None, {}),
    ],
)
def test_a_stardist_models_own_thresholds(tmp_path, content, own):
    if content is not None:
        (tmp_path / "thresholds.json").write_text(json.dumps(content))
    assert StarDistSettings.of_model(tmp_path) == StarDistSettings(**own)


def test_stardists_thresholds_can_be_set(stardist_training):
    image = next(iter(AnnotationFolder.open(stardist_training.data))).read()
    model = stardist_training.model
    segmenter = Segmenter(model)

    def segment(**settings):
        return segmenter.segment(image.image, SegmentRequest(image.channels, settings=settings))

    own = StarDistSettings.of_model(model.folder)
    found = segment()
    assert found.max() > 0
    assert np.array_equal(segment(**own.model_dump()), found)
    assert segment(probability=1).max() == 0
    tight, loose = ({"probability": 0.05, "overlap": overlap} for overlap in (0, 0.9))
    assert segment(**loose).max() > segment(**tight).max()
    with pytest.raises(TypeError, match="PredictionSettings"):
        segmenter._predictor.predict(np.zeros((1, 64, 64), np.float32), PredictionSettings())
