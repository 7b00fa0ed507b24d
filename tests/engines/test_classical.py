"""Otsu's threshold and a watershed."""

import numpy as np
import pytest

from napari_seg_trainer.engines.classical import (
    FILE,
    SPEC,
    Classical,
    ClassicalEngine,
    ClassicalSettings,
    segment_classically,
)
from napari_seg_trainer.engines.registry import engine_specs, parse_parameters
from napari_seg_trainer.errors import JobError, LibraryError
from napari_seg_trainer.evaluation.matching import match


def discs(centres, radius=10, shape=(80, 100)):
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for number, (y, x) in enumerate(centres, start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return labels


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_bright_objects_are_found_and_cut_apart(noise):
    truth = discs([(20, 20), (20, 37), (55, 30), (60, 80)])  # the first two touch
    image = (truth > 0) + np.random.default_rng(0).normal(0, noise, truth.shape)
    labels = segment_classically(image.astype(np.float32), 20.0)
    assert labels.dtype == np.int32
    (matching,) = match(truth, labels, (0.7,))
    assert (matching.true_positive, matching.false_positive) == (4, 0)


def test_specks_are_no_objects():
    truth = discs([(40, 50)])
    image = (truth > 0).astype(np.float32)
    image[5, 5] = image[70:72, 90] = 1
    assert segment_classically(image, 20.0).max() == 1


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.full((8, 8), np.nan), np.ones((1, 1))])
def test_where_nothing_differs_nothing_is_found(image):
    assert not segment_classically(image.astype(np.float32), 20.0).any()


def test_a_model_of_it_segments_as_it_was_compared_and_can_be_set(tmp_path):
    truth = discs([(20, 20), (55, 30), (60, 80)])
    image = (truth == 0).astype(np.float32)
    (tmp_path / FILE).write_text(Classical(diameter=20, objects="dark").model_dump_json())
    predictor = ClassicalEngine().load(tmp_path)
    np.testing.assert_array_equal(predictor.predict(image[None]) > 0, segment_classically(-image, 20) > 0)
    assert predictor.predict(image[None]).max() == 3
    assert predictor.predict(image[None], ClassicalSettings(objects="bright")).max() == 1
    assert predictor.predict(image[None], ClassicalSettings(diameter=200)).max() == 0
    assert ClassicalSettings.of_model(tmp_path) == ClassicalSettings(diameter=20, objects="dark")


@pytest.mark.parametrize(
    "text",
    [None, "{", "{}", '{"diameter": -1}', '{"diameter": 1e999}', '{"diameter": 3, "x": 1}'],
)
def test_a_damaged_model_is_refused_by_its_file(text, tmp_path):
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(LibraryError, match=r"classical\.json' is missing or damaged"):
        ClassicalEngine().load(tmp_path)
    assert ClassicalSettings.of_model(tmp_path) == ClassicalSettings()


def test_it_cannot_be_trained():
    assert engine_specs()["simple-method"] is SPEC
    with pytest.raises(JobError, match=r"Simple method cannot be trained\. Choose one of the engines stardist"):
        parse_parameters(SPEC, {})
