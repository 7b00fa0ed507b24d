import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.segmentation.files import count_objects, segment_files, without_labels, write_labels
from napari_seg_trainer.segmentation.request import SegmentRequest


@pytest.fixture
def images(annotation_folder):
    """Two images with their true labels beside them."""
    return sorted(path for path in annotation_folder(images=2).glob("*.tif") if "labelled" not in path.name)


def truth(path):
    return tifffile.imread(path.with_name(f"{path.stem}_labelled.tif"))


def test_each_image_gives_a_label_file(toy_model, images, tmp_path):
    results = list(segment_files(toy_model(), images, tmp_path / "new" / "out"))
    assert [result.labels.name for result in results] == ["cell_00_labelled.tif", "cell_01_labelled.tif"]
    for path, result in zip(images, results, strict=True):
        labels = tifffile.imread(result.labels)
        assert (labels.dtype, labels.shape) == (np.int32, (96, 96))
        assert result.objects == len(np.unique(labels[labels > 0])) == 16
        assert ((labels > 0) == (truth(path) > 0)).mean() > 0.999
    assert sorted(os.listdir(tmp_path / "new" / "out")) == ["cell_00_labelled.tif", "cell_01_labelled.tif"]


def test_the_files_pixel_size_counts_unless_another_is_given(toy_model, images, tmp_path):
    model = toy_model(pixel_size=0.25)
    for result in segment_files(model, images, tmp_path / "wrong", SegmentRequest(pixel_size=1e7)):
        assert "1e+07" in result.problem
    (result, _) = segment_files(model, images, tmp_path / "right")
    assert tifffile.imread(result.labels).shape == (96, 96)


def test_the_sidecar_names_the_channels(toy_model, annotation_folder, tmp_path):
    folder = annotation_folder(images=1, channels=("gfp", "dapi"))
    model = toy_model(channels=("dapi",))
    assert len(list(segment_files(model, [folder / "cell_00.tif"], tmp_path / "out"))) == 1
    (folder / "cell_00.json").write_text("[1, 2]")
    (result,) = segment_files(model, [folder / "cell_00.tif"], tmp_path / "none")
    assert "no channel 'dapi'" in result.problem


def test_a_png_is_segmented_too(toy_model, images, tmp_path):
    plane = np.clip(tifffile.imread(images[0]).squeeze() / 4, 0, 255).astype(np.uint8)
    Image.fromarray(plane).save(tmp_path / "cell.png")
    (result,) = segment_files(toy_model(), [tmp_path / "cell.png"], tmp_path / "out")
    assert (result.objects, result.labels.name) == (16, "cell_labelled.tif")


def test_planes_among_which_the_user_chooses_are_channels(toy_model, tmp_path):
    bright = np.zeros((64, 64), np.uint8)
    bright[10:30, 10:30] = 200
    tifffile.imwrite(tmp_path / "a.tif", np.stack([bright // 9, bright]), photometric="minisblack")
    (result,) = segment_files(toy_model(), [tmp_path / "a.tif"], tmp_path / "none")
    assert "has 2 planes without information on what they are" in result.problem
    (result,) = segment_files(toy_model("other"), [tmp_path / "a.tif"], tmp_path / "out", SegmentRequest(use=("1",)))
    assert result.objects == 1


@pytest.mark.parametrize("channels", [("dapi",), ("red", "green", "blue"), ("grey",)])
def test_a_grey_picture_is_one_channel_or_three(toy_model, tmp_path, channels):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[10:30, 10:30] = 200
    Image.fromarray(np.dstack([pixels] * 3)).save(tmp_path / "a.png")
    (result,) = segment_files(toy_model(channels=channels), [tmp_path / "a.png"], tmp_path / "out")
    assert result.objects == 1


def test_nothing_is_overwritten_without_asking(toy_model, images, tmp_path):
    model = toy_model()
    kept = tmp_path / "out" / "cell_01_labelled.tif"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(DataError, match=r"cell_01_labelled\.tif' already exists"):
        list(segment_files(model, images, kept.parent))
    assert (os.listdir(kept.parent), kept.read_text()) == ([kept.name], "mine")
    list(segment_files(model, images, kept.parent, overwrite=True))
    assert tifffile.imread(kept).shape == (96, 96)


def test_true_labels_beside_the_images_are_safe(toy_model, images):
    before = [truth(path).tobytes() for path in images]
    with pytest.raises(DataError, match="already exists"):
        list(segment_files(toy_model(), images, images[0].parent))
    assert [truth(path).tobytes() for path in images] == before


def test_two_images_of_one_name_are_refused(toy_model, images, annotation_folder, tmp_path):
    other = annotation_folder("other", 1, seed=3) / "cell_00.tif"
    with pytest.raises(DataError, match="Two images would both be saved as"):
        list(segment_files(toy_model(), [*images, other], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_image_is_found_before_the_model_is_loaded(toy_model, images, tmp_path):
    loaded = []
    with pytest.raises(DataError, match=r"There is no image '.*nowhere\.tif'"):
        list(
            segment_files(
                toy_model(),
                [*images, tmp_path / "nowhere.tif"],
                tmp_path / "out",
                progress=lambda _done: loaded.append(1),
            )
        )
    assert loaded == []


def test_a_broken_image_leaves_the_others_labels(toy_model, images, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(images[0].read_bytes()[:200])
    first, second, third = segment_files(toy_model(), [images[0], broken, images[1]], tmp_path / "out")
    assert (first.objects, first.problem) == (third.objects, third.problem) == (16, "")
    assert (second.image, second.objects) == (broken, 0)
    assert "broken.tif" in second.problem
    assert sorted(os.listdir(tmp_path / "out")) == ["cell_00_labelled.tif", "cell_01_labelled.tif"]


def test_only_what_is_not_done_yet_is_segmented(toy_model, images, tmp_path):
    done = tmp_path / "out" / "cell_00_labelled.tif"
    done.parent.mkdir()
    done.write_text("mine")
    left = without_labels(images, done.parent)
    assert left == images[1:]
    assert len(list(segment_files(toy_model(), left, done.parent))) == 1
    assert done.read_text() == "mine"
    assert without_labels(images, done.parent) == []
    assert list(segment_files(toy_model("again"), [], done.parent)) == []


def test_what_is_done_is_not_taken_for_another_image_of_its_name(images, annotation_folder, tmp_path):
    other = annotation_folder("other", 1, seed=3) / "cell_00.tif"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cell_00_labelled.tif").touch()
    with pytest.raises(DataError, match="Two images would both be saved as"):
        without_labels([*images, other], tmp_path / "out")


def test_a_file_in_the_way_of_the_output_folder(toy_model, images, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match="out"):
        list(segment_files(toy_model(), images, tmp_path / "out"))


def test_more_than_65_535_labels_fit(tmp_path):
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    write_labels(tmp_path / "labels.tif", labels)
    assert np.array_equal(tifffile.imread(tmp_path / "labels.tif"), labels)


def test_how_far_it_is_counts_parts_of_an_image(wilful_model, annotation_folder, tmp_path):
    folder = annotation_folder(images=2)
    images = [folder / f"cell_{i:02}.tif" for i in range(2)]
    told = []
    request = SegmentRequest(settings={"tiles": 4})
    list(segment_files(wilful_model(), images, tmp_path / "out", request, progress=told.append))
    assert told == [0, 0.25, 0.5, 0.75, 1, 1, 1.25, 1.5, 1.75, 2, 2]


@pytest.mark.parametrize(
    ("labels", "count"),
    [([[0, 0]], 0), ([[1, 2], [2, 0]], 2), ([[7, 7], [9, 2_000_000_000]], 3), ([[3, 1]], 2), (np.zeros((0, 4)), 0)],
)
def test_objects_are_counted_whatever_their_numbers(labels, count):
    assert count_objects(np.array(labels, np.int32)) == count
