"""A process that is killed, and a disk that is full, at each step in turn: the old or the new is left, never a half."""

import os
import shutil
from datetime import UTC, datetime

import pytest

from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from testkit import works

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes cannot be copied there")


def one_line(error):
    assert isinstance(error, SegTrainerError), repr(error)
    text = str(error)
    assert "pace" in text, text  # no space left, or make room
    assert len(text.splitlines()) == 1
    assert text.endswith(".")


def files(folder):
    """All visible files below a folder, with their content."""
    found = (path for path in folder.rglob("*") if path.is_file())
    shown = ((path.relative_to(folder), path) for path in found)
    return {str(name): path.read_bytes() for name, path in shown if not any(part[0] == "." for part in name.parts)}


# a file


def test_a_file(fresh, killed_at_each_step, full_at_each_write):
    def old():
        folder = fresh()
        (folder / "state.json").write_text("old")
        return folder

    def is_whole(folder):
        assert (folder / "state.json").read_text() in ("old", "new")

    assert killed_at_each_step(old, lambda folder: ("write_new_state", folder), is_whole) >= 4
    assert len(full_at_each_write(old, works.write_new_state, is_whole)) >= 3


# annotations


def test_annotations_that_are_replaced(fresh, killed_at_each_step, full_at_each_write):
    def old():
        folder = fresh()
        works.annotate(folder, 1)
        return folder

    def is_whole(folder):
        works.expect_one_of(folder, (1, 1, 1), (2, 2, 2))
        assert len(os.listdir(folder)) == 3, os.listdir(folder)

    assert killed_at_each_step(old, lambda folder: ("annotate", folder, 2, True), is_whole) >= 12
    for error in full_at_each_write(old, lambda folder: works.annotate(folder, 2, True), is_whole):
        one_line(error)


def test_annotations_that_are_new(fresh, killed_at_each_step, full_at_each_write):
    def is_whole(folder):
        found = works.values_of(folder)
        assert found in {(), (3, 3, 3)}
        assert len(os.listdir(folder)) == len(found), os.listdir(folder)

    assert killed_at_each_step(fresh, lambda folder: ("annotate", folder, 3), is_whole) >= 8
    for error in full_at_each_write(fresh, works.annotated(3).write, is_whole):
        one_line(error)


def test_what_a_killed_process_has_left_may_be_finished_by_several_at_once(fresh, killed_at_each_step, zygote):
    def old():
        folder = fresh()
        works.annotate(folder, 1)
        return folder

    def is_whole(folder):
        allowed = (1, 1, 1), (2, 2, 2)
        other = zygote.begin("testkit.works:expect_one_of", folder, *allowed)
        works.expect_one_of(folder, *allowed)
        assert zygote.end(other) == 0

    killed_at_each_step(old, lambda folder: ("annotate", folder, 2, True), is_whole)


# models


def card(name="nuclei"):
    channels = (ModelChannel(name="dapi"),)
    return ModelCard(name=name, engine="toy", created=datetime.now(UTC), channels=channels)


def finished(folder):
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "best.bin").write_bytes(bytes(range(256)))
    (folder / "toy.json").write_text('{"epoch": 1}')
    return folder


@pytest.fixture
def with_model(fresh):
    """Make a library with one model."""

    def make():
        folder = fresh()
        library = ModelLibrary(folder / "models")
        library.register(finished(folder / "finished"), card())
        return library

    return make


def all_models_are_whole(library):
    for model in library:
        model.verify()
        assert len(files(model.folder)) == 3
    assert library.broken() == {}


@pytest.mark.parametrize("other_disk", [False, True])
def test_a_registration(fresh, killed_at_each_step, full_at_each_write, other_disk):
    def prepare():
        folder = fresh()
        finished(folder / "finished")
        return folder

    def work(folder):
        return ("copy_in", folder, "nuclei") if other_disk else ("register", folder, card())

    def is_whole(folder):
        library = ModelLibrary(folder / "models")
        if not other_disk:
            all_models_are_whole(library)
        placed = files(library.folder / "nuclei") if (library.folder / "nuclei").exists() else {}
        assert placed or len(files(folder / "finished")) >= 2
        assert {"weights/best.bin", "toy.json"} <= (placed.keys() or {"weights/best.bin", "toy.json"})

    assert killed_at_each_step(prepare, work, is_whole) >= 5
    if not other_disk:
        for error in full_at_each_write(prepare, lambda folder: works.register(folder, card()), is_whole):
            one_line(error)


def test_a_new_name(with_model, killed_at_each_step, full_at_each_write):
    def is_whole(library):
        all_models_are_whole(library)
        assert library.names() in (["nuclei"], ["renamed"])

    def killed(library):
        return "rename", library.folder, "nuclei", "renamed"

    assert killed_at_each_step(with_model, killed, is_whole) >= 4
    for error in full_at_each_write(with_model, lambda library: library.rename("nuclei", "renamed"), is_whole):
        one_line(error)


def test_a_deletion(with_model, killed_at_each_step):
    def is_whole(library):
        all_models_are_whole(library)
        assert library.names() in (["nuclei"], [])

    assert killed_at_each_step(with_model, lambda library: ("delete", library.folder, "nuclei"), is_whole) >= 3


@pytest.fixture
def archive(with_model, tmp_path):
    return export_model(with_model().get("nuclei"), tmp_path / "nuclei.zip")


@pytest.mark.parametrize("packed", [True, False])
def test_an_import(archive, with_model, fresh, killed_at_each_step, full_at_each_write, packed):
    source = archive if packed else with_model().get("nuclei").folder
    before = source.read_bytes() if packed else files(source)

    def is_whole(folder):
        library = ModelLibrary(folder / "models")
        all_models_are_whole(library)
        assert library.names() in (["nuclei"], [])
        assert (source.read_bytes() if packed else files(source)) == before

    def work(folder):
        import_model(source, ModelLibrary(folder / "models"))

    assert killed_at_each_step(fresh, lambda folder: ("take_in", source, folder / "models"), is_whole) >= 10
    for error in full_at_each_write(fresh, work, is_whole):
        one_line(error)


def test_an_export(with_model, tmp_path, killed_at_each_step, full_at_each_write):
    target = tmp_path / "out" / "nuclei.zip"

    def prepare():
        library = with_model()
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir()
        target.write_bytes(b"old")
        return library

    def is_whole(library):
        all_models_are_whole(library)
        if target.read_bytes() != b"old":
            import_model(target, ModelLibrary(target.parent / "models")).verify()

    def work(library):
        export_model(library.get("nuclei"), target, overwrite=True)

    assert killed_at_each_step(prepare, lambda library: ("pass_on", library.folder, "nuclei", target), is_whole) >= 5
    for error in full_at_each_write(prepare, work, is_whole):
        one_line(error)
