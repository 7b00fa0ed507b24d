"""The docks of this plugin in one window: however they are opened, they share their tabs."""

import pytest
from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QDockWidget, QTabBar

from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, LIBRARY, PLUGIN, SEGMENT, TRAIN, open_dock, opened
from napari_seg_trainer.napari_plugin.run.active import ActiveLine

TITLES = {EXPORT: "Export", TRAIN: "Train", SEGMENT: "Segment", LIBRARY: "Library"}
COMMANDS = {title: f"{PLUGIN}.{short.lower()}_widget" for title, short in TITLES.items()}


def dock_of(viewer, title):
    widget = opened(viewer, title)
    return widget.parentWidget()


def tabs(viewer, qtbot):
    """The tab bar with this plugin's titles, once there is one."""

    def found():
        window = viewer.window._qt_window
        bars = [bar for bar in window.findChildren(QTabBar) if bar.isVisible()]
        return [bar for bar in bars if "Train" in [bar.tabText(place) for place in range(bar.count())]]

    qtbot.waitUntil(lambda: len(found()) == 1)
    (bar,) = found()
    return bar


def from_the_menu(viewer, title):
    get_app_model().commands.execute_command(COMMANDS[title]).result()


def from_a_program(viewer, title):
    viewer.window.add_plugin_dock_widget(PLUGIN, title)


@pytest.mark.parametrize("way", [from_the_menu, from_a_program, open_dock])
def test_however_they_are_opened_they_share_tabs_with_short_titles(viewer, qtbot, way):
    other = QDockWidget("another plugin's")
    viewer.window._qt_window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, other)
    for title in TITLES:
        way(viewer, title)
        qtbot.waitUntil(lambda title=title: opened(viewer, title) is not None)
    window = viewer.window._qt_window
    first = dock_of(viewer, EXPORT)
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(first)) == 3)
    assert other not in window.tabifiedDockWidgets(first)
    bar = tabs(viewer, qtbot)
    assert sorted(bar.tabText(place) for place in range(bar.count())) == sorted(TITLES.values())
    qtbot.waitUntil(lambda: bar.tabText(bar.currentIndex()) == "Library")  # the one that was opened last
    names = set(viewer.window.dock_widgets)
    assert names == {f"{title} ({PLUGIN})" for title in TITLES}
    window.removeDockWidget(other)
    other.deleteLater()


def test_the_menu_brings_a_dock_behind_others_to_the_front(viewer, qtbot):
    """napari hides what is docked already, also where it is behind another tab."""
    for title in (EXPORT, TRAIN):
        open_dock(viewer, title)
    bar = tabs(viewer, qtbot)
    qtbot.waitUntil(lambda: bar.tabText(bar.currentIndex()) == "Train")
    qtbot.waitUntil(lambda: not opened(viewer, EXPORT)._is_in_front)
    from_the_menu(viewer, EXPORT)
    qtbot.waitUntil(lambda: bar.tabText(bar.currentIndex()) == "Export")
    assert not dock_of(viewer, EXPORT).isHidden()


def test_a_dock_in_front_can_be_hidden_and_comes_back_in_front(viewer, qtbot):
    for title in (EXPORT, TRAIN):
        open_dock(viewer, title)
    tabs(viewer, qtbot)
    dock = dock_of(viewer, TRAIN)
    qtbot.waitUntil(lambda: opened(viewer, TRAIN)._is_in_front)
    dock.close()
    qtbot.wait(100)
    assert dock.isHidden()
    from_the_menu(viewer, TRAIN)
    qtbot.waitUntil(lambda: not dock.isHidden())
    bar = tabs(viewer, qtbot)
    qtbot.waitUntil(lambda: bar.tabText(bar.currentIndex()) == "Train")


def test_a_dock_that_floats_or_is_elsewhere_stays_there(viewer, qtbot):
    open_dock(viewer, EXPORT)
    dock_of(viewer, EXPORT).setFloating(True)
    open_dock(viewer, TRAIN)
    qtbot.wait(50)
    assert dock_of(viewer, EXPORT).isFloating()
    assert viewer.window._qt_window.tabifiedDockWidgets(dock_of(viewer, TRAIN)) == []


def test_a_closed_dock_leaves_nothing_behind(viewer, qtbot):
    for title in TITLES:
        open_dock(viewer, title)
    dock_of(viewer, SEGMENT).title.close_button.click()
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT) is None)
    open_dock(viewer, SEGMENT)
    assert len(viewer.window._qt_window.tabifiedDockWidgets(dock_of(viewer, EXPORT))) == 3


def test_a_training_is_told_of_in_every_dock_and_a_click_leads_to_it(viewer, begin, qtbot):
    widgets = {title: open_dock(viewer, title) for title in TITLES}
    run = begin(epochs=1000, seconds=0.1)
    for title in (EXPORT, SEGMENT, LIBRARY):
        open_dock(viewer, title)
        line = widgets[title].findChild(ActiveLine)
        qtbot.waitUntil(lambda line=line: line.words.startswith("Training 'nuclei': epoch"))
        qtbot.waitUntil(lambda line=line: "left" in line.words)
    line.linkActivated.emit("run")
    train = widgets[TRAIN]
    qtbot.waitUntil(lambda: train.run_view is not None and train.run_view.shown == run)
    run.request_stop()
    qtbot.waitUntil(lambda: line.words == "")
    assert line.height() == 0


def test_every_button_has_a_name(viewer):
    """Screen readers say it; a sign is none."""
    for title in TITLES:
        widget = open_dock(viewer, title)
        nameless = [
            button.toolTip() or button.objectName()
            for button in widget.findChildren(QAbstractButton)
            if not button.objectName().startswith("qt_")
            and not any(letter.isalpha() for letter in button.accessibleName() or button.text())
        ]
        assert nameless == [], title
