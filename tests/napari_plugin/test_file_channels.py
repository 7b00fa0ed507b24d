"""What a file tells of its channels: their names, and whether napari has opened them as frames."""

from html import unescape

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.channels_question import ChannelsQuestion
from napari_seg_trainer.napari_plugin.layers.file_channels import hidden_channels, names_in_file, show_channels
from napari_seg_trainer.napari_plugin.layers.planes import pixel_size
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, SEGMENT, open_dock

STACK = np.random.default_rng(0).integers(0, 255, (3, 40, 50), np.uint8)
NAMES = ["DAPI", "GFP", "actin"]
LEFT = Qt.MouseButton.LeftButton


def ome(path, data=STACK, axes="CYX", names=NAMES):
    tifffile.imwrite(
        path, data, ome=True, photometric="minisblack", metadata={"axes": axes, "Channel": {"Name": names}}
    )


def imagej(path, data=STACK, axes="CYX", names=NAMES):
    labels = [f"c:{i}/{len(names)} - {name}" for i, name in enumerate(names, 1)]
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": axes, "Labels": labels})


def planar_colours(path):
    tifffile.imwrite(path, STACK, photometric="rgb", planarconfig="separate", metadata=None)


def plain(path, data=STACK):
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None)


def opened(viewer, path):
    (layer,) = viewer.open(str(path), plugin="napari")
    return layer


@pytest.mark.parametrize(
    ("write", "names", "sure"),
    [
        (ome, tuple(NAMES), True),
        (imagej, tuple(NAMES), True),
        (planar_colours, ("red", "green", "blue"), True),
        (plain, ("channel 0", "channel 1", "channel 2"), False),
    ],
)
def test_channels_that_opened_as_frames_are_found(viewer_model, tmp_path, write, names, sure):
    write(tmp_path / "cells.tif")
    layer = opened(viewer_model, tmp_path / "cells.tif")
    assert layer.data.shape == STACK.shape
    found = hidden_channels(layer)
    assert (found.axis, found.names, found.sure) == (0, names, sure)
    images = show_channels(viewer_model, layer, found)
    assert [image.name for image in viewer_model.layers] == list(names)
    np.testing.assert_array_equal([image.data for image in images], STACK)
    assert {image.source.path for image in images} == {str(tmp_path / "cells.tif")}


def few_frames(path):
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})


def slices(path):
    ome(path, axes="ZYX", names=["DAPI"])


def many_planes(path):
    plain(path, np.zeros((9, 40, 50), np.uint8))


def one_plane(path):
    ome(path, STACK[0], "YX", ["DAPI"])


@pytest.mark.parametrize("write", [few_frames, slices, many_planes, one_plane])
def test_frames_and_slices_are_none(viewer_model, tmp_path, write):
    write(tmp_path / "cells.tif")
    assert hidden_channels(opened(viewer_model, tmp_path / "cells.tif")) is None


def test_a_layer_that_is_no_longer_its_files_is_none(viewer_model, tmp_path):
    ome(tmp_path / "cells.tif")
    layer = opened(viewer_model, tmp_path / "cells.tif")
    layer.data = layer.data[:2]
    assert hidden_channels(layer) is None
    (tmp_path / "cells.tif").unlink()
    assert hidden_channels(layer) is None
    assert hidden_channels(viewer_model.add_image(STACK)) is None
    assert names_in_file(layer) == ()


def test_a_movie_of_channels_stays_a_movie(viewer_model, tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (5, 2, 40, 50), np.uint8)
    ome(tmp_path / "movie.ome.tif", data, "TCYX", ["DAPI", "GFP"])
    layer = opened(viewer_model, tmp_path / "movie.ome.tif")
    layer.scale, layer.translate = (60, 1, 0.5, 0.5), (0, 0, 10, 20)
    layer.units = ("second", "pixel", "um", "um")
    labels = viewer_model.add_labels(np.zeros(data.shape, int), name="cells", scale=layer.scale, units=layer.units)
    labels.data[:, 1, 4:9, 5:9] = 7
    first, second = show_channels(viewer_model, layer, hidden_channels(layer))
    np.testing.assert_array_equal(second.data, data[:, 1])
    for one in (first, second):
        np.testing.assert_allclose(one.scale, (60, 0.5, 0.5))
        np.testing.assert_allclose(one.translate, (0, 10, 20))
        assert pixel_size(one) == 0.5
    (flat,) = (one for one in viewer_model.layers if one.name == "cells")
    np.testing.assert_array_equal(flat.data, labels.data[:, 1])
    np.testing.assert_allclose(flat.scale, (60, 0.5, 0.5))


def test_labels_on_several_channels_are_left_alone(viewer_model, tmp_path):
    ome(tmp_path / "cells.tif")
    layer = opened(viewer_model, tmp_path / "cells.tif")
    labels = viewer_model.add_labels(np.ones(STACK.shape, int), name="mine")
    with pytest.raises(DataError, match="Labels 'mine' are drawn on 3 of these frames"):
        show_channels(viewer_model, layer, hidden_channels(layer))
    assert list(viewer_model.layers) == [layer, labels]


@pytest.mark.parametrize(("names", "known"), [(["DAPI"], ("DAPI",)), (["cells_w1.TIF"], ()), ([""], ())])
def test_a_file_names_its_channel(viewer_model, tmp_path, names, known):
    ome(tmp_path / "cells.ome.tif", STACK[0], "YX", names)
    assert names_in_file(opened(viewer_model, tmp_path / "cells.ome.tif")) == known


def test_the_question_is_asked_until_it_is_answered(viewer_model, docked, tmp_path):
    plain(tmp_path / "cells.tif")
    layer = opened(viewer_model, tmp_path / "cells.tif")
    question, other = ChannelsQuestion(viewer_model), ChannelsQuestion(viewer_model)
    docked(question)
    question.ask([layer])
    assert "'cells' has 3 frames. Are these channels?" in unescape(question.text())
    question.linkActivated.emit("frames")
    assert not question.isVisible()
    for one in (question, other):
        one.ask([layer])
        assert one.text().count("href") == 0
    assert list(viewer_model.layers) == [layer]


def test_channels_are_shown_and_exported_by_their_names(viewer, tmp_path, qtbot):
    ome(tmp_path / "cells.ome.tif")
    opened(viewer, tmp_path / "cells.ome.tif")
    labels = viewer.add_labels(np.zeros(STACK.shape, int), name="mine")  # as napari's button makes them
    labels.data[0, 5:20, 5:20] = 1
    widget = open_dock(viewer, EXPORT)
    question = widget.form.question
    assert question.isVisible()
    told = "The file of 'cells.ome' holds 3 channels (DAPI, GFP, actin), which are open as frames."
    assert told in unescape(question.text())
    question.linkActivated.emit("channels")
    assert not question.isVisible()
    assert [layer.name for layer in viewer.layers] == [*NAMES, "mine"]
    widget.form.pixel_size["unknown"].value = True
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(widget.result.isVisible)
    (pair,) = AnnotationFolder.open(tmp_path / "annotations_mine").pairs
    item = pair.read()
    assert (pair.stem, item.channels) == ("cells", tuple(NAMES))
    np.testing.assert_array_equal(item.image, STACK)
    assert item.labels.sum() == 15 * 15


def test_channels_without_names_are_called_after_what_is_known(viewer, tmp_path):
    plain(tmp_path / "cells.tif")
    opened(viewer, tmp_path / "cells.tif")
    viewer.add_labels(np.ones(STACK.shape[1:], int), name="mine")
    form = open_dock(viewer, EXPORT).form
    form.question.linkActivated.emit("channels")
    assert [name for _, name in form.plan().channels] == ["grey", "grey 2", "grey 3"]


def test_the_name_in_the_file_is_proposed(viewer, tmp_path):
    ome(tmp_path / "cells.ome.tif", STACK[0], "YX", ["DAPI"])
    opened(viewer, tmp_path / "cells.ome.tif")
    viewer.add_labels(np.ones(STACK.shape[1:], int), name="mine")
    form = open_dock(viewer, EXPORT).form
    assert [name for _, name in form.plan().channels] == ["DAPI"]
    viewer.layers[0].name = "nuclei"
    assert [name for _, name in form.plan().channels] == ["nuclei"]


def test_segmentation_asks_too(viewer, toy_model, tmp_path, qtbot):
    toy_model("bright", channels=("GFP",))
    ome(tmp_path / "cells.tif")
    opened(viewer, tmp_path / "cells.tif")
    form = open_dock(viewer, SEGMENT).form
    qtbot.waitUntil(lambda: form.model.value == "bright")
    assert form.question.isVisible()
    viewer.add_labels(np.ones(STACK.shape, int), name="mine")
    form.question.linkActivated.emit("channels")
    assert "are drawn on 3 of these frames" in notification_manager.records[-1].message
    viewer.layers.remove("mine")
    form.question.linkActivated.emit("channels")
    assert [offer.name for offer in form.inputs.chosen()] == ["GFP"]
    assert not form.question.isVisible()
