"""Masks that are wrong as a whole: one finding that names the cause."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.causes import exchanged, fit, samples
from napari_seg_trainer.annotations.checks import examine_image
from napari_seg_trainer.annotations.doctor import surveyed
from napari_seg_trainer.annotations.findings import Severity
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError

CAUSES = {"numbered-background", "interpolated-mask", "wrapped-numbers", "turned-mask", "exchanged-masks"}


@pytest.fixture(scope="module")
def nuclei():
    """Real images of nuclei with their labels."""
    return [pair.read() for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018")).pairs]


def square(image):
    side = min(image.labels.shape)
    return AnnotatedImage(image.image[:, :side, :side], image.labels[:side, :side], image.channels, image.stem)


def with_labels(image, labels):
    return AnnotatedImage(image.image, labels.astype(np.int32), image.channels, image.stem)


def causes(image):
    return [finding for finding in examine_image(image) if finding.code in CAUSES]


def many_cells(count, shape=(400, 420)):
    """A grid of so many small cells, bright on dark."""
    labels = np.zeros(shape, np.int32)
    columns = shape[1] // 20
    for number in range(count):
        y, x = 20 * (number // columns), 20 * (number % columns)
        labels[y + 4 : y + 15, x + 4 : x + 15] = number + 1
    pixels = np.random.default_rng(0).normal(100, 5, shape) + 100 * (labels > 0)
    return AnnotatedImage(pixels[None].astype(np.uint16), labels, ("a",), "grid")


def test_of_right_masks_nothing_is_said(nuclei):
    assert len(nuclei) > 10
    assert [causes(image) for image in nuclei] == [[] for _ in nuclei]
    assert not [finding for finding in surveyed([builtin_folder("nuclei_dsb2018")]).findings if finding.code in CAUSES]
    assert min(fit(*samples(image)) for image in nuclei) > 0.4


def test_a_background_with_a_number(nuclei):
    found = examine_image(with_labels(nuclei[0], nuclei[0].labels + 1))
    (finding,) = found
    assert (finding.severity, finding.code, finding.label) == (Severity.ERROR, "numbered-background", 1)
    assert "it fills" in finding.message
    assert "Set 1 to 0 in all masks." in finding.message


def test_cells_that_fill_the_image_are_no_background():
    labels = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((20, 20), int))
    image = AnnotatedImage(
        np.random.default_rng(0).random((1, 100, 120), np.float32), labels.astype(np.int32), ("a",), "a"
    )
    assert causes(image) == []
    one = np.ones((100, 120), np.int32)  # one cell that fills a crop
    assert causes(with_labels(image, one)) == []


@pytest.mark.parametrize("factor", [2, 1.5, 0.5])
def test_an_interpolated_mask(nuclei, factor):
    labels = np.round(ndimage.zoom(nuclei[0].labels.astype(np.float32), factor, order=1)).astype(np.int32)
    pixels = ndimage.zoom(nuclei[0].image[0].astype(np.float32), factor, order=1)
    image = AnnotatedImage(pixels[None], labels, ("a",), "a")
    (finding,) = examine_image(image)
    assert (finding.severity, finding.code) == (Severity.ERROR, "interpolated-mask")
    nearest = ndimage.zoom(nuclei[0].labels, factor, order=0)
    assert causes(with_labels(image, nearest)) == []


def test_numbers_that_begin_anew():
    image = many_cells(400)
    assert causes(image) == []
    (finding,) = examine_image(with_labels(image, image.labels.astype(np.uint8)))
    assert (finding.severity, finding.code) == (Severity.ERROR, "wrapped-numbers")
    assert finding.message.startswith("The labels restart after 255: 144 of them, such as 1, are on two objects")
    assert causes(many_cells(255)) == []


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (np.transpose, "transposed (rows and columns exchanged)"),
        (np.flipud, "mirrored top to bottom"),
        (np.fliplr, "mirrored left to right"),
        (lambda mask: np.rot90(mask, 2), "turned by 180°"),
        (np.rot90, "turned by 90° to the right"),
        (lambda mask: np.rot90(mask, -1), "turned by 90° to the left"),
    ],
)
def test_a_turned_mask(nuclei, turn, told):
    found = 0
    for image in map(square, nuclei[:12]):
        turned = with_labels(image, np.ascontiguousarray(turn(image.labels)))
        if fit(*samples(turned)) >= 0.2:  # nuclei happen to lie on nuclei
            assert causes(turned) == []
            continue
        (finding,) = examine_image(turned)
        is_sure = len(np.unique(image.labels)) > 8
        assert (finding.severity, finding.code) == (Severity.ERROR if is_sure else Severity.WARNING, "turned-mask")
        assert (
            finding.message
            == f"The mask does not fit its image; it does when {told}. Save it in the same orientation as the image."
        )
        found += 1
    assert found >= 6


def test_a_mask_of_exchanged_sides_is_told(tmp_path, nuclei):
    image = with_labels(nuclei[0], nuclei[0].labels)
    tifffile.imwrite(tmp_path / "a.tif", image.image[0, :100])
    tifffile.imwrite(tmp_path / "a_masks.tif", image.labels[:100].T.astype(np.uint16))
    with pytest.raises(DataError, match=r"exchanged \(transposed\): save it in the same orientation"):
        AnnotationFolder.open(tmp_path).pairs[0].read()


def write(folder, images, masks):
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        with_labels(image, mask.labels).write(folder)
        image_file = folder / f"{image.stem}.tif"
        assert image_file.exists(), number
    return folder


def test_masks_of_the_neighbouring_images_are_told_once(nuclei, tmp_path):
    alike = [square(image) for image in nuclei if image.labels.shape == nuclei[0].labels.shape][:6]
    folder = write(tmp_path / "shifted", alike, [*alike[1:], alike[0]])
    found = surveyed([folder]).findings
    (finding,) = [one for one in found if one.code in CAUSES]
    assert (finding.severity, finding.code) == (Severity.ERROR, "exchanged-masks")
    assert f"The masks of {len(alike)} images fit other images than their own" in finding.message
    assert not [one for one in found if one.code in {"unlabelled-object", "tiny-object"}]
    right = write(tmp_path / "right", alike, alike)
    assert not [one for one in surveyed([right]).findings if one.code in CAUSES]


def test_two_masks_that_changed_places_are_named(nuclei):
    alike = [square(image) for image in nuclei if image.labels.shape == nuclei[0].labels.shape][:5]
    pixels, masks = zip(*map(samples, alike), strict=True)
    assert list(exchanged(pixels, masks)) == []
    assert list(exchanged(pixels, [masks[1], masks[0], *masks[2:]])) == [(0, 1), (1, 0)]
    assert list(exchanged(pixels[:1], masks[:1])) == []


def test_what_is_wrong_with_all_masks_is_told_once(nuclei, tmp_path):
    for image in nuclei[:4]:
        with_labels(image, image.labels + 1).write(tmp_path)
    (finding,) = [one for one in surveyed([tmp_path]).findings if one.severity == Severity.ERROR]
    assert finding.code == "numbered-background"
    assert finding.message.endswith("The same holds for 3 other images.")


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_pixels_that_are_no_numbers_fit_nothing(dtype):
    image = many_cells(40)
    pixels = image.image.astype(dtype)
    pixels[:] = np.nan if dtype == np.float32 else 7
    empty = AnnotatedImage(pixels, image.labels, ("a",), "a")
    assert fit(*samples(empty)) == 0
    assert causes(empty) == []


def test_how_the_data_was_understood_is_one_line(annotation_folder, tmp_path):
    annotation_folder("data", 2, channels=("dapi", "gfp"), pixel_size=0.5)
    folder = annotation_folder("data", 1, shape=(40, 60), prefix="odd", channels=("dapi", "gfp"), pixel_size=0.25)
    told = surveyed([folder]).understood
    assert told.startswith("3 images of 60 × 40 to 96 × 96 pixels; 36 objects; layout: Celldetective; dapi (uint16 ")
    assert told.endswith("; 0.25 to 0.5 µm per pixel; axes YX.")
    assert "\n" not in told
    assert surveyed([tmp_path / "none"]).understood == "No image can be used."
