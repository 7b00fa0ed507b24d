"""Work on four times as many files takes four times as long, and not sixteen times."""

import os
from pathlib import Path

import numpy as np
import pytest

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.doctor import _Summary
from napari_seg_trainer.annotations.facts import ImageFacts
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.annotations.layouts import list_images, without_masks
from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.segmentation.files import segment_files
from napari_seg_trainer.segmentation.suggest import unannotated
from testkit.calls import calls_of

FEW, MANY = 1000, 4000
MOST = 4.5
"""Times as many calls; sorting and a first time take a little more."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders with so many empty images; every second one has a mask."""

    def make(count):
        place = tmp_path_factory.mktemp(f"images_{count}")
        for i in range(count):
            (place / f"{i}.tif").touch()
            if i % 2:
                (place / f"{i}_labelled.tif").touch()
        return place

    return {count: make(count) for count in (FEW, MANY)}


def ratio(work):
    return calls_of(lambda: work(MANY)) / calls_of(lambda: work(FEW))


def summary(count):
    """What the data check keeps of so many images, each with channels, a pixel size and an image of its own."""
    labels = np.zeros((2, 2), np.int32)
    found = _Summary()
    for i in range(count):
        image = np.full((1, 2, 2), i, np.uint16)
        annotated = AnnotatedImage(image, labels, (f"stain {i}",), str(i), pixel_size=1 + i / count)
        pair = AnnotatedPair(Path(f"{i}.tif"), Path(f"{i}_labelled.tif"), None, str(i))
        found.add(ImageFacts.of(annotated, labels.dtype), pair)
    return list(found.findings())


def refused(model, images, output):
    with pytest.raises(DataError, match="There is no image"):
        list(segment_files(model, images, output))


def test_listing_pairs(folders):
    assert ratio(lambda count: AnnotationFolder.open(folders[count])) < MOST


def test_finding_what_is_not_annotated(folders):
    assert len(without_masks(list_images(folders[FEW]))) == FEW // 2
    assert ratio(lambda count: unannotated([folders[count]])) < MOST


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_drawing_a_split(share):
    names = [str(i) for i in range(MANY)]
    assert ratio(lambda count: Split.draw(names[:count], names[:count], share, 0)) < MOST


def test_comparing_images_in_the_data_check():
    assert ratio(summary) < MOST


def test_checking_where_labels_go(toy_model, tmp_path):
    model = toy_model()
    assert ratio(lambda count: refused(model, [tmp_path / f"{i}.tif" for i in range(count)], tmp_path)) < MOST


def test_the_dock_leaving_out_what_is_done(tmp_path):
    pytest.importorskip("napari")
    from napari_seg_trainer.napari_plugin.segment.tasks import FolderTask

    def work(count):
        task = FolderTask(None, tuple(tmp_path / f"{i}.tif" for i in range(count)), tmp_path)
        assert task.taken() == []
        assert task.without(range(0, count, 2)).steps == count // 2

    assert ratio(work) < MOST
    assert os.listdir(tmp_path) == []
