import numpy as np
import pytest

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError, EngineError, LibraryError
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.segmentation.request import SegmentRequest, check_choices
from napari_seg_trainer.segmentation.segment import Segmenter, size_warning


@pytest.fixture
def bright(annotation_folder):
    """One annotated image with 16 bright discs in its first channel."""
    return next(iter(AnnotationFolder.open(annotation_folder(images=1, channels=("dapi", "gfp"))))).read()


def ap(image, labels, iou=0.9):
    (matching,) = match(image.labels, labels, (iou,))
    return matching.ap


def test_objects_are_found_on_the_images_own_grid(toy_model, bright):
    labels = Segmenter(toy_model()).segment(bright.image, SegmentRequest(bright.channels))
    assert (labels.dtype, labels.shape) == (np.int32, (96, 96))
    assert ap(bright, labels) == 1


@pytest.mark.parametrize("intensities", [lambda i: i, lambda i: i * 100.0, lambda i: (i / 4).astype(np.uint8)])
def test_the_model_brings_its_normalization(toy_model, bright, intensities):
    labels = Segmenter(toy_model()).segment(intensities(bright.image), SegmentRequest(bright.channels))
    assert ap(bright, labels) == 1


def test_an_image_with_pixels_that_are_no_numbers(toy_model, bright):
    image = bright.image.astype(np.float32)
    image[0, :3] = np.nan
    image[0, -1] = np.inf
    labels = Segmenter(toy_model()).segment(image, SegmentRequest(bright.channels))
    assert len(np.unique(labels)) == 17
    assert not labels[:3].any()


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_an_image_of_one_value_holds_nothing(toy_model, value):
    labels = Segmenter(toy_model()).segment(np.full((1, 40, 30), value, np.float32), SegmentRequest(["dapi"]))
    assert labels.shape == (40, 30)
    assert not labels.any()


# pixel size


@pytest.mark.parametrize(("own", "models"), [(0.5, 1.0), (0.5, 0.25), (0.5, 0.37), (1.0, 0.999)])
def test_an_image_is_scaled_to_the_models_pixel_size_and_back(toy_model, bright, own, models):
    segmenter = Segmenter(toy_model(pixel_size=models))
    seen = []
    predict = segmenter._predictor.predict
    segmenter._predictor.predict = lambda image, _settings: predict(seen.append(image.shape) or image)
    labels = segmenter.segment(bright.image, SegmentRequest(bright.channels, pixel_size=own))
    side = 96 if abs(own - models) < 0.01 else round(96 * own / models)
    assert seen == [(1, side, side)]
    assert labels.shape == (96, 96)
    assert ap(bright, labels, iou=0.7) == 1


@pytest.mark.parametrize(("own", "models"), [(None, 0.25), (0.5, None), (None, None)])
def test_without_both_pixel_sizes_nothing_is_scaled(toy_model, bright, own, models):
    labels = Segmenter(toy_model(pixel_size=models)).segment(
        bright.image, SegmentRequest(bright.channels, pixel_size=own)
    )
    assert ap(bright, labels) == 1


@pytest.mark.parametrize("size", [0, -1.0, float("nan"), float("inf"), 1e6])
def test_an_impossible_pixel_size_is_refused(toy_model, bright, size):
    segmenter = Segmenter(toy_model(pixel_size=0.5))
    with pytest.raises(DataError) as error:
        segmenter.segment(bright.image, SegmentRequest(bright.channels, pixel_size=size))
    assert f"{size:g}" in str(error.value)


# channels


@pytest.mark.parametrize(
    ("wanted", "use", "told"),
    [
        (("dapi", "gfp"), ("dapi",), "takes 2 channel(s) (dapi, gfp), not 1"),
        (("dapi",), ("dapi", "gfp"), "takes 1 channel(s) (dapi), not 2"),
    ],
)
def test_a_wrong_number_of_channels_is_refused(toy_model, wanted, use, told):
    with pytest.raises(DataError) as error:
        check_choices(toy_model(channels=wanted).card, SegmentRequest(use=use))
    assert told in str(error.value)


def test_the_chosen_channel_is_the_one_that_is_looked_at(toy_model, bright):
    segmenter = Segmenter(toy_model())
    with_noise = segmenter.segment(bright.image, SegmentRequest(("red", "green"), use=["green"]))
    assert ap(bright, segmenter.segment(bright.image, SegmentRequest(("red", "green"), use=["0"]))) == 1
    assert ap(bright, with_noise) == 0


def test_an_engine_that_is_not_there_is_named(toy_model, bright):
    model = toy_model()
    foreign = type(model)(model.folder, model.card.replace(engine="unheard-of"))
    with pytest.raises(EngineError, match="'unheard-of'"):
        Segmenter(foreign)


@pytest.mark.parametrize(
    ("models", "own", "told"),
    [
        (None, None, ""),
        (None, 0.5, ""),
        (0.5, 0.5, ""),
        (0.5, 2.0, ""),
        (0.5, 0.125, ""),
        (0.5, 2.1, "trained at 0.5 µm: the image is enlarged 4.2-fold. Are both correct?"),
        (0.5, 0.1, "trained at 0.5 µm: the image is shrunk 5-fold. Are both correct?"),
        (0.5, None, "The pixel size is unknown: the image is not rescaled. The model was trained at 0.5 µm."),
    ],
)
def test_a_pixel_size_that_is_far_off_or_unknown_is_told(toy_model, models, own, told):
    assert size_warning(toy_model(pixel_size=models).card, own).endswith(told)
    assert bool(size_warning(toy_model("other", pixel_size=models).card, own)) == bool(told)


@pytest.mark.parametrize(("content", "told"), [('{"epoch": 2}', "was changed after"), (None, "lacks its file")])
def test_a_model_whose_files_are_not_its_own_is_not_used(toy_model, content, told):
    model = toy_model()
    (model.folder / "toy.json").unlink()
    if content is not None:
        (model.folder / "toy.json").write_text(content)
    with pytest.raises(LibraryError, match=told):
        Segmenter(model)


def test_an_engine_of_an_earlier_protocol_is_told_what_is_new(toy_model, monkeypatch):
    monkeypatch.setattr("toy_engine.ToyPredictor.predict", lambda self, image: image)
    with pytest.raises(EngineError, match=r"Toy was written for an earlier version: .*`predict\(image, settings\)`"):
        Segmenter(toy_model())


def test_a_model_of_stacks_is_refused(toy_model, bright):
    model = toy_model(axes="ZYX", z_step=2.0)
    with pytest.raises(LibraryError, match=r"is for stacks \(ZYX\); only 2D models can be used here"):
        Segmenter(model).segment(bright.image, SegmentRequest(bright.channels))
