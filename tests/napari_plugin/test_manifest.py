"""What the plugin tells napari."""

import sys
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from napari._app_model.constants._menus import MenuId
from npe2 import PluginManifest

import napari_seg_trainer
from napari_seg_trainer.napari_plugin.parts import docks

FILE = Path(napari_seg_trainer.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(FILE)


def test_every_name_in_it_resolves(manifest):
    manifest.validate_imports()


def test_napari_finds_it():
    (entry,) = entry_points(group="napari.manifest", name="napari-seg-trainer")
    assert entry.value == "napari_seg_trainer:napari.yaml"


@pytest.mark.skipif(sys.platform == "win32", reason="git makes no symbolic links there")
def test_the_file_at_the_root_is_the_same():
    # for npe2's tools and the plugin hub, which look at the root of a repository
    repository = Path(__file__).parents[2]
    at_root = repository / "napari.yaml"
    assert at_root.is_symlink()
    assert at_root.resolve() == repository.resolve() / "src" / "napari_seg_trainer" / "napari.yaml"
    assert at_root.read_bytes() == FILE.read_bytes()


def test_every_menu_accepts_contributions(manifest):
    assert manifest.contributions.menus
    assert set(manifest.contributions.menus) <= {menu.value for menu in MenuId.contributables()}


def test_commands_are_named_for_people(manifest):
    commands = manifest.contributions.commands
    assert [title for title, count in Counter(command.title for command in commands).items() if count > 1] == []
    contributions = manifest.contributions
    used = [item.command for items in contributions.menus.values() for item in items]
    for part in (contributions.widgets, contributions.readers, contributions.writers, contributions.sample_data):
        used += [item.command for item in part]
    assert set(used) == {command.id for command in commands}


def test_the_docks_have_the_names_by_which_programs_open_them(manifest):
    titles = {docks.EXPORT, docks.TRAIN, docks.SEGMENT, docks.LIBRARY}
    assert {widget.display_name for widget in manifest.contributions.widgets} == titles
    assert manifest.name == manifest.display_name == docks.PLUGIN
