import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.runs.dataset import open_dataset
from napari_seg_trainer.schema.job import ChannelInput, Normalization, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel


def quiet(stage, done, total):
    """Nobody looks."""


def opened(*data, parent=None, **fields):
    job = TrainingJob.model_validate({"name": "nuclei", "engine": "toy", "data": data} | fields)
    return open_dataset(job, parent, quiet)


def card(*channels, pixel_size=None):
    return ModelCard(
        name="parent",
        engine="toy",
        created="2026-01-02T03:04:05Z",
        channels=tuple(ModelChannel(name=name, normalization=Normalization(low=2)) for name in channels),
        pixel_size=pixel_size,
    )


@pytest.fixture
def two(annotation_folder):
    """Four images of two channels; in the last file they are the other way round."""
    folder = annotation_folder("two", 3, channels=("dapi", "gfp"))
    return annotation_folder("two", 1, channels=("gfp", "dapi"), prefix="swapped", seed=5) and folder


def prepared(dataset, folder, name):
    names = [facts.name for facts in dataset.images]
    images = dataset.prepare(names, folder, quiet)
    return images[images.names.index(name)]


# channels


def test_all_channels_of_the_first_image_by_default(two):
    dataset = opened(two)
    assert [channel.name for channel in dataset.channels] == ["dapi", "gfp"]


def test_a_channel_is_found_by_name_wherever_it_is(two, tmp_path):
    dataset = opened(two, channels=[{"name": "dapi"}])
    stored = tifffile.imread(two / "swapped_00.tif")
    image = prepared(dataset, tmp_path, "two/swapped_00").image
    assert image.shape == (1, 96, 96)
    assert np.corrcoef(image[0].ravel(), stored[1].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("high", [7, 2_000_000])
def test_what_is_not_annotated_stays_so(annotation_folder, tmp_path, high):
    folder = annotation_folder("partial", 3)
    mask = tifffile.imread(folder / "cell_00_labelled.tif").astype(np.int32)
    mask[:, 50:] = -1
    mask[mask == mask.max()] = high
    tifffile.imwrite(folder / "cell_00_labelled.tif", mask)
    for size in (None, 2.0):
        dataset = opened(folder, pixel_size=size)
        labels = prepared(dataset, tmp_path / str(size), "partial/cell_00").labels
        assert (labels[:, : labels.shape[1] // 2] >= 0).all()
        assert (labels[:, -labels.shape[1] // 3 :] == -1).all()
        assert labels.max() == len(np.unique(mask)) - 2
    assert dataset.object_sizes()[0].size > 0


def test_an_index_is_a_place_in_every_image_and_its_name_is_learnt(two, tmp_path):
    dataset = opened(two, channels=[{"name": "channel 1", "index": 1, "normalization": {"low": 5}}])
    assert dataset.channels == (ModelChannel(name="gfp", normalization=Normalization(low=5)),)
    stored = tifffile.imread(two / "swapped_00.tif")
    image = prepared(dataset, tmp_path, "two/swapped_00").image
    assert np.corrcoef(image[0].ravel(), stored[1].ravel())[0, 1] > 0.99


def test_channels_come_in_the_order_of_the_job(two):
    channels = [ChannelInput(name="gfp"), ChannelInput(name="channel 0", index=0)]
    assert [channel.name for channel in opened(two, channels=channels).channels] == ["gfp", "dapi"]


def test_upper_and_lower_case_do_not_matter(two):
    assert [channel.name for channel in opened(two, channels=[{"name": "DAPI"}]).channels] == ["dapi"]


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ({"name": "rfp"}, "has no channel 'rfp', only 'dapi', 'gfp'"),
        ({"name": "channel 2", "index": 2}, "no channel 2"),
    ],
)
def test_a_missing_channel_is_named_with_those_there_are(two, channel, told):
    with pytest.raises(DataError) as error:
        opened(two, channels=[channel])
    assert told in str(error.value)


def test_a_channel_that_one_image_lacks_is_found_before_the_training(annotation_folder):
    folder = annotation_folder("mixed", 3, channels=("dapi", "gfp"))
    annotation_folder("mixed", 1, channels=("gfp",), prefix="poor")
    with pytest.raises(DataError, match="'mixed/poor_00' has no channel 'dapi'"):
        opened(folder, channels=[{"name": "dapi"}])


def test_a_channel_may_have_other_names_in_other_folders(annotation_folder, tmp_path):
    first = annotation_folder("first", 2, channels=("gfp", "nuclei"))
    other = annotation_folder("other", 2, channels=("DAPI", "gfp"), seed=1)
    channels = [{"name": "nuclei", "other_names": ["dapi"]}]
    dataset = opened(first, data=[first, other], channels=channels)
    assert dataset.channels == (ModelChannel(name="nuclei", other_names=("dapi",)),)
    for name, place in (("first/cell_00", 1), ("other/cell_00", 0)):
        stored = tifffile.imread(tmp_path / f"{name}.tif")
        image = prepared(dataset, tmp_path, name).image
        assert np.corrcoef(image[0].ravel(), stored[place].ravel())[0, 1] > 0.99
    # in another order the channel keeps its name
    assert opened(first, data=[other, first], channels=channels).channels[0].name == "nuclei"


def write_pictures(folder, *, grey):
    """Five coloured pictures with their masks; those of these numbers have three equal colours."""
    folder.mkdir()
    for place in range(5):
        pixels = np.random.default_rng(place).integers(0, 255, (64, 64, 3), np.uint8)
        pixels[8:24, 8:24] //= 2
        if place in grey:
            pixels = np.dstack([pixels[..., 0]] * 3)
        Picture.fromarray(pixels).save(folder / f"{place}.png")
        mask = np.zeros((64, 64), np.uint16)
        mask[8:24, 8:24] = 1
        Picture.fromarray(mask).save(folder / f"{place}_cp_masks.png")
    return folder


@pytest.mark.parametrize(
    ("grey", "channels"), [(range(5), ("grey",)), ((0,), ("red", "green", "blue")), ((), ("red", "green", "blue"))]
)
def test_a_grey_picture_has_one_channel_and_each_colour(tmp_path, grey, channels):
    folder = write_pictures(tmp_path / "pictures", grey=grey)
    dataset = opened(folder)
    assert tuple(channel.name for channel in dataset.channels) == channels
    image = prepared(dataset, tmp_path, "pictures/0").image
    assert image.shape == (len(channels), 64, 64)
    if len(channels) == 3:
        assert np.array_equal(image[0], image[1]) == (0 in grey)


def test_the_other_names_of_a_pretrained_model_count(annotation_folder):
    folder = annotation_folder("more", 3, channels=("actin", "DAPI"))
    model = card("nuclei").replace(channels=(ModelChannel(name="nuclei", other_names=("DAPI",)),))
    assert opened(folder, parent=model).inputs == (ChannelInput(name="nuclei", other_names=("DAPI",)),)


def test_a_pretrained_model_brings_its_channels(two):
    dataset = opened(two, parent=card("gfp"))
    assert dataset.channels == (ModelChannel(name="gfp", normalization=Normalization(low=2)),)


def test_a_pretrained_model_of_others_takes_the_channels_as_they_come(two):
    dataset = opened(two, parent=card("channel 0", "channel 1"))
    assert [channel.name for channel in dataset.channels] == ["dapi", "gfp"]
    assert dataset.channels[0].normalization.low == 2


def test_the_jobs_channels_come_before_the_pretrained_models(two):
    dataset = opened(two, parent=card("gfp"), channels=[{"name": "dapi"}])
    assert dataset.channels == (ModelChannel(name="dapi"),)


# pixel size


def test_mixed_pixel_sizes_are_brought_to_their_median(annotation_folder, tmp_path):
    folder = annotation_folder("mixed", 2, pixel_size=0.5)
    annotation_folder("mixed", 1, pixel_size=1.0, prefix="coarse")
    dataset = opened(folder)
    assert dataset.pixel_size == 0.5
    coarse = prepared(dataset, tmp_path / "out", "mixed/coarse_00")
    assert (coarse.image.shape, coarse.labels.shape) == ((1, 192, 192), (192, 192))
    assert prepared(dataset, tmp_path / "out2", "mixed/cell_00").image.shape == (1, 96, 96)
    facts = {facts.name: facts for facts in dataset.images}
    assert dataset.factor(facts["mixed/coarse_00"]) == 2


def test_objects_scale_with_their_image(annotation_folder, tmp_path):
    folder = annotation_folder("cells", 2, pixel_size=0.5)
    dataset, halved = opened(folder), opened(folder, pixel_size=1.0)
    for whole, half in zip(dataset.object_sizes(), halved.object_sizes(), strict=True):
        assert half == pytest.approx(whole / 2)
    image = prepared(halved, tmp_path / "out", "cells/cell_00")
    areas = np.bincount(image.labels.ravel())[1:]
    own = np.bincount(tifffile.imread(folder / "cell_00_labelled.tif").ravel())[1:]
    assert areas * 4 == pytest.approx(own, rel=0.15)
    inside, outside = image.image[0][image.labels > 0], image.image[0][image.labels == 0]
    assert (np.median(inside), np.median(outside)) == pytest.approx((1, 0), abs=0.1)
    assert inside.min() > 0.2


@pytest.mark.parametrize(
    ("sizes", "wanted", "parent", "found"),
    [
        ((0.5, 0.5), None, None, 0.5),
        ((0.5, None), None, None, None),
        ((None, None), None, None, None),
        ((0.5, 0.5), 0.8, 0.4, 0.8),
        ((0.5, 0.5), None, 0.4, 0.4),
        ((None, None), 0.8, None, 0.8),
    ],
)
def test_where_the_pixel_size_comes_from(annotation_folder, sizes, wanted, parent, found):
    for i, size in enumerate(sizes):
        folder = annotation_folder("cells", 1, pixel_size=size, prefix=f"cell{i}", seed=i)
    dataset = opened(folder, pixel_size=wanted, parent=card("dapi", pixel_size=parent) if parent else None)
    assert dataset.pixel_size == found


def test_an_image_of_unknown_pixel_size_stays_as_it_is(annotation_folder):
    folder = annotation_folder("cells", 2, pixel_size=None)
    dataset = opened(folder, pixel_size=0.1)
    assert [dataset.factor(facts) for facts in dataset.images] == [1.0, 1.0]


@pytest.mark.parametrize("wanted", [500.0, 0.0005])
def test_a_pixel_size_in_the_wrong_unit_is_refused(annotation_folder, wanted):
    with pytest.raises(DataError, match=r"1e\+03-fold|0\.001-fold") as error:
        opened(annotation_folder(pixel_size=0.5), pixel_size=wanted)
    assert f"{wanted:g} µm" in str(error.value)


# names and split


def test_equal_stems_in_two_folders_are_two_images(annotation_folder):
    first, second = annotation_folder("a/cells", 2, seed=1), annotation_folder("b/cells", 2, seed=2)
    dataset = opened(first, second)
    names = [facts.name for facts in dataset.images]
    assert names == ["cells/cell_00", "cells/cell_01", "cells/cell_00 (2)", "cells/cell_01 (2)"]
    assert len({facts.content for facts in dataset.images}) == 4
    assert sorted([*dataset.split.training, *dataset.split.validation]) == sorted(names)


def test_a_folder_that_is_given_twice_counts_once(annotation_folder):
    folder = annotation_folder()
    assert len(opened(folder, folder).images) == 4


@pytest.mark.parametrize(("fraction", "validating"), [(0.01, 1), (0.2, 2), (0.5, 5), (0.99, 9)])
def test_the_split_has_both_sides(annotation_folder, fraction, validating):
    split = opened(annotation_folder(images=10), validation_split=fraction).split
    assert (len(split.training), len(split.validation)) == (10 - validating, validating)


def test_a_seed_is_a_split(annotation_folder):
    folder = annotation_folder(images=8)
    splits = [opened(folder, seed=seed).split for seed in (1, 1, 2, 3, 4)]
    assert splits[0] == splits[1]
    assert len({split.validation for split in splits}) > 1


def test_crops_of_one_field_never_part(annotation_folder):
    for field in range(3):
        folder = annotation_folder("crops", 3, prefix=f"field{field}_roi", seed=field)
    for seed in range(10):
        split = opened(folder, seed=seed).split
        fields = [{name.split("_roi")[0] for name in side} for side in (split.training, split.validation)]
        assert not fields[0] & fields[1]
        assert len(split.validation) == 3


def test_the_sidecar_tells_the_field_of_view(annotation_folder):
    folder = annotation_folder("cells", 3, field_of_view="A1")
    annotation_folder("cells", 1, field_of_view="B2", prefix="other", seed=5)
    assert opened(folder).split.validation == ("cells/other_00",)


def test_a_single_field_of_view_cannot_be_split(annotation_folder):
    with pytest.raises(DataError, match="'A1'"):
        opened(annotation_folder("cells", 3, field_of_view="A1"))


def test_copies_of_an_image_are_on_one_side(annotation_folder):
    folder = annotation_folder("cells", 2)
    annotation_folder("cells", 2, prefix="copy")
    split = opened(folder).split
    assert {name.replace("copy", "cell") for name in split.validation} == {split.validation[0].replace("copy", "cell")}
    assert len(split.validation) == 2


def test_one_stem_in_two_folders_is_two_fields(annotation_folder):
    dataset = opened(annotation_folder("first", 1), annotation_folder("second", 1, seed=9))
    assert len(dataset.split.training) == len(dataset.split.validation) == 1


def test_validation_data_that_was_trained_on_is_refused(annotation_folder):
    train, check = annotation_folder("train", 2), annotation_folder("check", 1)
    with pytest.raises(DataError, match=r"'check/cell_00' is the same as the training image 'train/cell_00'"):
        opened(train, validation_data=[check])


def test_validation_data_validates_and_nothing_else(annotation_folder):
    train, check = annotation_folder("train", 2), annotation_folder("check", 3, seed=9)
    dataset = opened(train, validation_data=[check])
    assert dataset.split.training == ("train/cell_00", "train/cell_01")
    assert dataset.split.validation == ("check/cell_00", "check/cell_01", "check/cell_02")


def test_one_image_teaches_where_validation_data_is_given(annotation_folder):
    dataset = opened(annotation_folder("one", 1), validation_data=[annotation_folder("check", 1, seed=9)])
    assert [len(dataset.split.training), len(dataset.split.validation)] == [1, 1]


def test_builtin_images_are_added(annotation_folder):
    dataset = opened(annotation_folder(images=2, channels=("nuclei",)), builtin=["nuclei_dsb2018"])
    assert len(dataset.images) > 10
    assert sum(facts.name.startswith("train/") for facts in dataset.images) == len(dataset.images) - 2


# objects


def test_sizes_are_those_of_the_training_objects(tmp_path):
    labels = np.zeros((64, 64), np.int32)
    labels[2:12, 2:12] = 7  # 10 × 10
    labels[20:24, 10:50] = 2  # 4 × 40
    for i in range(3):
        image = np.random.default_rng(i).integers(0, 9, (1, 64, 64)).astype(np.uint8)
        AnnotatedImage(image, labels, ("dapi",), f"cell_{i}").write(tmp_path / "cells")
    diameters, extents = opened(tmp_path / "cells").object_sizes()
    assert sorted(diameters) == pytest.approx(sorted([np.sqrt(400 / np.pi), np.sqrt(640 / np.pi)] * 2))
    assert sorted(extents) == [10, 10, 40, 40]


@pytest.mark.parametrize("labels", [(1, 2), (7, 9), (1, 2_000_000_000)])
def test_objects_are_numbered_without_gaps(tmp_path, labels):
    mask = np.zeros((64, 64), np.int32)
    mask[4:14, 4:14], mask[30:50, 30:50] = labels
    for i in range(2):
        image = np.random.default_rng(i).integers(0, 9, (1, 64, 64)).astype(np.uint8)
        AnnotatedImage(image, mask, ("dapi",), f"cell_{i}").write(tmp_path / "cells")
    dataset = opened(tmp_path / "cells")
    assert dataset.object_sizes()[1].tolist() == [10, 20]
    found = prepared(dataset, tmp_path / "out", "cells/cell_0").labels
    assert (np.unique(found).tolist(), found[5, 5], found[40, 40]) == ([0, 1, 2], 1, 2)


def test_training_images_without_objects_are_refused(annotation_folder, tmp_path):
    folder = tmp_path / "cells"
    for i in range(2):
        image = np.random.default_rng(i).integers(0, 9, (1, 64, 64)).astype(np.uint8)
        AnnotatedImage(image, np.zeros((64, 64), np.int32), ("dapi",), f"empty_{i}").write(folder)
    with pytest.raises(DataError, match="All 2 masks"):
        opened(folder, validation_data=[annotation_folder("check", 1)])


def test_reading_is_told(annotation_folder):
    told = []
    job = TrainingJob(name="nuclei", engine="toy", data=(annotation_folder(images=3),))
    open_dataset(job, None, lambda *words: told.append(words))
    assert told == [("reading images", i, 3) for i in (1, 2, 3)]
