"""The samples under File > Open Sample."""

import numpy as np
from napari.layers import Image, Labels

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.layers.names import stem_for
from napari_seg_trainer.napari_plugin.layers.planes import annotated_image, sources

PLUGIN = "napari-seg-trainer"


def test_the_nuclei_are_a_stack_with_labels(viewer):
    image, labels = viewer.open_sample(PLUGIN, "nuclei")
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert (image.name, labels.name) == ("nuclei", "nuclei labels")
    assert image.data.shape == labels.data.shape
    assert len(labels.data) > 10
    assert image.visible
    assert labels.visible
    known = {pair.stem: pair for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018"))}
    stem = stem_for(labels, 3, len(labels.data), None)
    written = known[stem].read()
    item = annotated_image(labels, sources([image]), 3, stem=stem)
    np.testing.assert_array_equal(item.image, written.image)
    np.testing.assert_array_equal(item.labels, written.labels)
    assert item.channels == written.channels


def test_one_image_is_2d_and_can_be_exported(viewer, tmp_path):
    image, labels = viewer.open_sample(PLUGIN, "one_image_of_nuclei")
    assert image.ndim == labels.ndim == 2
    assert labels.data.max() > 3
    viewer.layers.save(str(tmp_path / "a.tif"))
    assert len(AnnotationFolder.open(tmp_path)) == 1


def test_samples_can_be_opened_from_the_menu(viewer):
    titles = {action.text(): action for action in actions(viewer.window.file_menu)}
    assert "Nuclei with labels (one image)" in titles
    titles["Nuclei with labels (stack)"].trigger()
    assert len(viewer.layers) == 2


def actions(menu):
    for action in menu.actions():
        if action.menu() is not None:
            yield from actions(action.menu())
        else:
            yield action
