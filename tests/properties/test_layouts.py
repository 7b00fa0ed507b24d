import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg_trainer.annotations import layouts
from napari_seg_trainer.annotations.layouts import list_images, list_pairs
from napari_seg_trainer.errors import DataError

STEMS = st.sampled_from(["a", "b", "A", "a_img", "a.b", "ä", "_masks", "", "a_masks", "a_labelled", "a_seg"])
ENDINGS = st.sampled_from(
    ["", "_labelled", "_Labelled", "_masks", "_cp_masks", "_MASKS", "_img", "_flows", "_seg", "_img_masks", "_outlines"]
)
KINDS = st.sampled_from([".tif", ".TIF", ".tiff", ".ome.tif", ".png", ".npy", ".json", ".txt", ".part", "~", ""])
FOLDERS = st.sampled_from(["", "", "", "images/", "masks/", "labels/", "Images/", "train/"])
NAMES = st.builds("{}{}{}{}".format, FOLDERS, STEMS, ENDINGS, KINDS)
FILES = st.lists(NAMES, max_size=14, unique=True)


def fill(folder, names):
    """Make the files that can be made: a name may be empty, or one of a folder that is there."""
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if name and not name.endswith("/") and not path.is_dir():
            path.write_bytes(b"x")


def described(folder):
    """Return the listing with names in place of paths, or the error."""
    try:
        listing = list_pairs(folder)
    except DataError as error:
        return str(error)
    return listing


def files_of(pair):
    return [path for path in (pair.image, pair.labels, pair.sidecar) if path is not None]


@given(FILES)
def test_a_listing_is_of_files_that_are_there_each_used_once(names):
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(folder, names)
        listing = described(folder)
        if isinstance(listing, str):
            assert len(listing.splitlines()) == 1
            assert str(folder) in listing
            return
        used = [path for pair in listing.pairs for path in (pair.image, pair.labels)] + list(listing.unpaired)
        assert listing.pairs
        assert all(path.is_file() for pair in listing.pairs for path in files_of(pair))
        assert max(Counter(used).values()) == 1
        assert len({pair.stem for pair in listing.pairs}) == len(listing.pairs)
        assert listing.layout in ("celldetective", "cellpose", "stardist")


@given(FILES, st.randoms(use_true_random=False))
def test_the_order_in_which_a_system_lists_files_decides_nothing(names, random):
    listed = os.listdir

    def shuffled(folder):
        found = listed(folder)
        random.shuffle(found)
        return found

    with TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        fill(Path(temporary), names)
        first = described(Path(temporary))
        patch.setattr(layouts.os, "listdir", shuffled)
        assert [described(Path(temporary)) for _ in range(3)] == [first] * 3


@given(FILES)
def test_more_files_of_other_kinds_change_nothing(names):
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(folder, [*names, "z.tif", "z_labelled.tif"])
        before = described(folder)
        fill(folder, ["notes.txt", ".hidden.tif", "z.tif~", "z_flows.tif", "x/deeper.tif"])
        assert described(folder) == before


@given(FILES)
def test_images_to_segment_are_no_masks(names):
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fill(folder, [*names, "z.tif", "z_masks.tif"])
        images = list_images(folder)
        assert folder / "z.tif" in images
        assert images == sorted(set(images))
        listing = described(folder)
        if not isinstance(listing, str):
            assert not {pair.labels for pair in listing.pairs} & set(images)
            assert {pair.image for pair in listing.pairs if pair.image.parent == folder} <= set(images)
