"""The whole journey of a user, through the widgets alone, with a real StarDist training."""

import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, PLUGIN, SEGMENT, TRAIN, open_dock, opened
from testkit import processes

pytest.importorskip("stardist")

TINY = {"epochs": "3", "batch_size": "2", "augmentation": "1", "learning_rate": "0.002"}
TINY_MORE = {"patch_size": "64", "depth": "2", "filters": "8", "rays": "16", "grid": "2"}
FRAME = 1
BEAT_MILLISECONDS = 5


@pytest.fixture
def click(qtbot):
    def press(button):
        qtbot.waitUntil(lambda: button.isVisible() and button.isEnabled())
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


def correct_a_label(viewer):
    """Draw an object on background, as a user does with the brush."""
    _, labels = viewer.layers
    viewer.dims.set_current_step(0, FRAME)
    free = np.argwhere(labels.data[FRAME][20:-20:8, 20:-20:8] == 0)[0] * 8 + 20
    labels.selected_label = new = int(labels.data.max()) + 1
    labels.brush_size = 12
    labels.paint((FRAME, *free), new)
    assert (labels.data[FRAME] == new).sum() > 50
    return labels, new


def export_six(viewer, qtbot, click, folder: Path) -> Path:
    """Frames 0 to 5 of the stack, through the dock."""
    dock = open_dock(viewer, EXPORT)
    form = dock.form
    form.population.value = "nuclei"
    form.folder.line_edit.value = str(folder)
    form.pixel_size["unknown"].value = True
    form.parts.expand(animate=False)
    form.parts.form.field("which").value = "from … to …"
    first, _, last = form.parts.form.field("range")
    first.value, last.value = 0, 5
    assert "6 images" in dock.preview.text()
    click(dock.button)
    qtbot.waitUntil(lambda: dock.result.isVisible() and dock.button.isVisible())
    click(dock.result.train)
    return folder / "annotations_nuclei"


def train(viewer, qtbot, click, name: str):
    """Three epochs of a small network; the folder is in the form already."""
    dock = opened(viewer, TRAIN)
    form = dock.job_form
    assert [path.name for path in form.data.folders()] == ["annotations_nuclei"]
    form.name.value = name
    form.training_section.expand(animate=False)
    form.training.more_section.expand(animate=False)
    for fields, values in ((form.training.basic, TINY), (form.training.more, TINY_MORE)):
        for parameter, value in values.items():
            field = fields.form.field(parameter)
            field.value = value if isinstance(field.value, str) else int(value)
    qtbot.waitUntil(lambda: form.data.survey is not None)
    assert form.reasons() == {}
    qtbot.waitUntil(lambda: dock.run_view is not None)
    qtbot.wait(500)  # as a hand takes it: the view of the run is being drawn, unseen
    beat = Beat()
    click(dock.form_page.button)
    qtbot.waitUntil(dock.run_view.isVisible)
    return dock.run_view, beat


class Beat:
    """A timer in the viewer's event loop, which notes when it is late."""

    def __init__(self):
        self._ticks = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._ticks.append(time.perf_counter()))
        self._timer.start(BEAT_MILLISECONDS)

    def longest_gap(self) -> float:
        """Milliseconds; ends the measurement."""
        self._timer.stop()
        return float(np.diff(self._ticks).max() * 1000)


def left_behind() -> dict[str, set[str]]:
    """Threads, processes, shared memory and temporary files that there are now.

    Apart from what Python and napari keep for the next viewer: pools of threads, and the tracker of shared memory.
    """
    pools = ("Dummy", "ThreadPoolExecutor")
    return {
        "threads": {thread.name for thread in threading.enumerate() if not thread.name.startswith(pools)},
        "processes": {processes.words(child) for child in processes.children()},
        "shared memory": processes.shared_memory(),
        "temporary files": {path.name for path in Path(tempfile.gettempdir()).iterdir()},
    }


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    """So that other programs' files are not counted; processes that are started use it, too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.xdist_group("end to end")  # the longest comes first
@pytest.mark.usefixtures("own_temporary_folder")
def test_from_a_sample_to_a_model_that_segments(viewer, qtbot, click, tmp_path):
    before = left_behind()
    viewer.open_sample(PLUGIN, "nuclei")
    labels, new = correct_a_label(viewer)
    folder = export_six(viewer, qtbot, click, tmp_path / "experiment")
    exported = [pair.read() for pair in AnnotationFolder.open(folder)]
    assert len(exported) == 6
    assert new in exported[FRAME].labels
    np.testing.assert_array_equal(exported[FRAME].labels, labels.data[FRAME])

    segment = open_dock(viewer, SEGMENT)
    run, beat = train(viewer, qtbot, click, "tiny-nuclei")
    qtbot.waitUntil(lambda: "in the library" in run.outcome.text)
    print(f"\nlongest gap of a {BEAT_MILLISECONDS} ms timer during the training: {beat.longest_gap():.0f} ms")
    points = run.curves.points()
    assert len(points["loss"]) >= 3
    assert len(points["val_loss"]) >= 3

    qtbot.waitUntil(lambda: segment.model_name == "tiny-nuclei")  # selected by itself
    viewer.layers.clear()
    viewer.open_sample(PLUGIN, "one_image_of_nuclei")
    image = viewer.layers[0]
    image.scale = (0.5, 0.5)
    open_dock(viewer, SEGMENT)
    click(segment.button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    result = viewer.layers[-1]
    assert result.name == f"{image.name} · tiny-nuclei"
    assert result.data.shape == image.data.shape
    np.testing.assert_array_equal(result.scale, image.scale)
    assert result.metadata[PLUGIN]["model"] == "tiny-nuclei"

    viewer.layers.selection = {image, result}
    assert viewer.layers.save(str(tmp_path / "saved.tif"), selected=True, plugin=PLUGIN)
    data = result.data.copy()
    viewer.layers.clear()
    viewer.open(tmp_path / "saved_labelled.tif", plugin=PLUGIN)
    again, masks = viewer.layers
    np.testing.assert_array_equal(masks.data, data)
    np.testing.assert_array_equal(again.data, image.data)

    viewer.close()

    def nothing_is_left():
        after = left_behind()
        assert {kind: after[kind] - before[kind] for kind in before} == {kind: set() for kind in before}

    qtbot.waitUntil(nothing_is_left)
