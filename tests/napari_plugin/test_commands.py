"""The plugin's entries in napari's menus."""

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_seg_trainer.library.archive import export_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.parts import docks
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, LIBRARY, SEGMENT, TRAIN, open_dock, opened

ENDING = f" ({docks.PLUGIN})"


def find(menu, title):
    """The entry of this title in a menu, whose submenus are opened, as a user does."""
    menu.aboutToShow.emit()
    for action in menu.actions():
        found = action if action.text() == title else action.menu() and find(action.menu(), title)
        if found:
            return found
    return None


@pytest.fixture
def qt_dialogs(qapp):
    """Dialogs of Qt's own in place of the system's, which a test cannot fill in."""
    qapp.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, True)
    yield
    qapp.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, False)


@pytest.fixture
def chosen(viewer):
    """Two pairs of layers; the first pair is selected."""
    layers = [viewer.add_image(np.zeros((40, 50)), name="DAPI"), viewer.add_labels(np.ones((40, 50), int), name="mine")]
    viewer.add_image(np.zeros((40, 50)), name="actin")
    viewer.add_labels(np.ones((40, 50), int), name="other")
    viewer.layers.selection = set(layers)
    return layers


def test_annotations_of_the_selected_layers_are_exported(viewer, chosen):
    find(viewer.window.layers_menu, "Export annotations…" + ENDING).trigger()
    plan = opened(viewer, EXPORT).form.plan()
    assert plan.labels is chosen[1]
    assert [source.layer for source, _name in plan.channels] == [chosen[0]]


def test_the_selected_image_is_segmented(viewer, chosen, toy_model, qtbot):
    toy_model("bright", channels=("nuclei",))
    for image in (chosen[0], viewer.layers["actin"]):
        viewer.layers.selection = {image, chosen[1]}
        find(viewer.window.layers_menu, "Segment…" + ENDING).trigger()
        form = opened(viewer, SEGMENT).form
        qtbot.waitUntil(lambda form=form: form.model.value == "bright")
        assert [offer.source.layer for offer in form.inputs.chosen()] == [image]


@pytest.mark.parametrize("title", [EXPORT, TRAIN, SEGMENT, LIBRARY])
def test_a_dock_from_the_menu_is_the_one_that_a_program_opens(viewer, home, title):
    find(viewer.window.plugins_menu, title + ENDING).trigger()
    widget = opened(viewer, title)
    assert widget is not None
    assert open_dock(viewer, title) is widget


def test_training_is_among_the_layers_entries(viewer):
    assert find(viewer.window.layers_menu, TRAIN + ENDING) is not None


def choose(viewer, qtbot, title, path):
    """Choose a file or folder in the dialog of an entry of the File menu."""
    find(viewer.window.file_menu, title + ENDING).trigger()
    (dialog,) = viewer.window.main_menu.window().findChildren(QFileDialog)
    qtbot.waitUntil(dialog.isVisible)
    dialog.setDirectory(str(path.parent))
    dialog.selectFile(str(path))
    dialog.accept()


@pytest.mark.parametrize("kind", ["segmodel", "zip", "folder"])
def test_a_trained_model_is_opened(viewer, toy_model, tmp_path, qtbot, qt_dialogs, kind):
    model = toy_model("bright")
    toy_model("dim")
    if kind != "folder":
        file = export_model(model, tmp_path / f"bright.{kind}")
        ModelLibrary().delete("bright")
    else:
        file = model.folder.rename(tmp_path / "bright") / "model_card.json"
    choose(viewer, qtbot, "Open a trained model…", file)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT) is not None)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT).form.model.value == "bright")
    assert set(ModelLibrary().names()) == {"bright", "dim"}


def test_an_annotation_folder_is_opened(viewer, annotation_folder, qtbot, qt_dialogs):
    folder = annotation_folder("exp/annotations_nuclei", 3, channels=("dapi", "actin"))
    choose(viewer, qtbot, "Open annotation folder…", folder)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    assert [layer.name for layer in viewer.layers] == ["dapi", "actin", "nuclei labels"]
    open_dock(viewer, EXPORT)
    assert opened(viewer, EXPORT).form.plan().folder == folder


def test_a_folder_of_anything_else_is_told_in_one_line(viewer, tmp_path, qtbot, qt_dialogs):
    (tmp_path / "pictures").mkdir()
    choose(viewer, qtbot, "Open annotation folder…", tmp_path / "pictures")
    qtbot.waitUntil(lambda: any(record.severity == "error" for record in notification_manager.records))
    text = notification_manager.records[-1].message
    assert text.startswith(f"Folder '{tmp_path / 'pictures'}' is empty")
    assert not viewer.layers


def test_a_models_folder_is_opened_as_a_model(viewer, toy_model, tmp_path, qtbot, qt_dialogs):
    folder = toy_model("bright").folder.rename(tmp_path / "bright")
    choose(viewer, qtbot, "Open annotation folder…", folder)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT) is not None)
    assert ModelLibrary().names() == ["bright"]


def test_a_choice_that_is_called_off_opens_nothing(viewer, home, qtbot, qt_dialogs):
    find(viewer.window.file_menu, "Open a trained model…" + ENDING).trigger()
    window = viewer.window.main_menu.window()
    (dialog,) = window.findChildren(QFileDialog)
    dialog.reject()
    qtbot.waitUntil(lambda: not window.findChildren(QFileDialog))
    assert opened(viewer, SEGMENT) is None
    assert ModelLibrary().names() == []
