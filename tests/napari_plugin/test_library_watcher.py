"""The library's folder, watched while other processes change it."""

import subprocess
import sys

import pytest

from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import CARD_FILE
from napari_seg_trainer.napari_plugin.models import library_watcher
from napari_seg_trainer.napari_plugin.models.library_watcher import COALESCE_MS, LibraryWatcher


@pytest.fixture
def watched(home, qapp):
    watchers: list[LibraryWatcher] = []

    def watch():
        told = []
        watcher = LibraryWatcher(qapp)
        watcher.changed.connect(lambda: told.append(ModelLibrary().names()))
        watchers.append(watcher)
        return told

    watch.watchers = watchers
    yield watch
    for watcher in watchers:
        watcher.deleteLater()


def in_another_process(code):
    library = "from napari_seg_trainer.library.library import ModelLibrary as L"
    subprocess.run([sys.executable, "-c", f"{library}; {code}"], check=True)


def test_a_library_that_is_not_there_yet_is_noticed_when_it_comes(watched, toy_model, home, qtbot):
    assert not home.exists()
    told = watched()
    toy_model("bright")
    qtbot.waitUntil(lambda: told[-1:] == [["bright"]])


def test_what_another_process_renames_and_deletes_is_told_once(watched, toy_model, qtbot):
    toy_model("bright")
    toy_model("dark")
    told = watched()
    in_another_process("L().rename('bright', 'shiny')")
    qtbot.waitUntil(lambda: told[-1:] == [["dark", "shiny"]])
    told.clear()
    in_another_process("L().delete('dark'); L().rename('shiny', 'bright'); L().rename('bright', 'last')")
    qtbot.waitUntil(lambda: told[-1:] == [["last"]])
    qtbot.wait(2 * COALESCE_MS)
    assert len(told) == 1


def test_a_card_that_comes_after_its_folder_is_noticed(watched, toy_model, qtbot):
    model = toy_model("bright")
    card = (model.folder / CARD_FILE).read_bytes()
    (model.folder / CARD_FILE).unlink()
    told = watched()
    (model.folder / CARD_FILE).write_bytes(card)
    qtbot.waitUntil(lambda: told == [["bright"]])


def test_a_library_that_is_deleted_and_made_again_is_still_watched(watched, toy_model, home, qtbot):
    toy_model("bright")
    told = watched()
    (home / "models").rename(home / "elsewhere")
    qtbot.waitUntil(lambda: told == [[]])
    (home / "elsewhere").rename(home / "models")
    qtbot.waitUntil(lambda: told == [[], ["bright"]])
    toy_model("dark")
    qtbot.waitUntil(lambda: told[-1] == ["bright", "dark"])


def test_a_disk_that_tells_nothing_is_looked_at(watched, toy_model, qtbot, monkeypatch):
    monkeypatch.setattr(library_watcher, "LOOK_MS", 50)
    toy_model("bright")
    told = watched()
    (watcher,) = watched.watchers
    watcher._system.removePaths(watcher._system.directories())
    toy_model("dark")
    qtbot.waitUntil(lambda: told[-1:] == [["bright", "dark"]])


def test_other_folders_on_the_way_to_the_library_are_not_told(watched, home, tmp_path, qtbot):
    told = watched()
    (tmp_path / "something else").mkdir()
    qtbot.wait(2 * COALESCE_MS)
    assert not told
