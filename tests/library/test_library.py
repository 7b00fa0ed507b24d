import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import napari_seg_trainer.errors
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.archive import export_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.pretrained import open_model
from testkit.patience import wait_until

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
SOURCES = Path(napari_seg_trainer.errors.__file__).parents[1]


def entries(library):
    return sorted(os.listdir(library.folder))


def test_a_finished_model_moves_into_the_library(library, make_card, make_finished):
    finished = make_finished()
    model = library.register(finished, make_card())
    assert model.folder == library.folder / "nuclei"
    assert not finished.exists()
    assert sorted(model.card.files) == ["config.json", "figures/curves.png", "weights_best.h5"]
    assert library.get("nuclei") == model
    assert [library.names(), list(library), "nuclei" in library, library.broken()] == [["nuclei"], [model], True, {}]
    model.verify()


def test_a_library_that_is_not_there_is_empty(library):
    assert (library.names(), library.broken(), "nuclei" in library) == ([], {}, False)
    assert not library.folder.exists()


def test_the_users_library_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(tmp_path / "home"))
    assert ModelLibrary().folder == tmp_path / "home" / "models"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nuclei", "already in the library. Choose"),
        ("NUCLEI", "already in the library as 'nuclei'"),
        ("a/b", "not allowed"),
        ("..", "starts with"),
        ("", "empty"),
        ("aux", "Windows"),
        ("notes.txt", "already"),
        ("half", "already"),
    ],
)
def test_names_that_a_new_model_cannot_have(library, make_card, make_finished, name, message):
    library.register(make_finished(), make_card())
    (library.folder / "notes.txt").write_text("")
    (library.folder / "half").mkdir()
    with pytest.raises(LibraryError, match=message):
        library.check_new_name(name)


def test_a_taken_name_leaves_everything_as_it_was(library, make_card, make_finished):
    library.register(make_finished("one", b"first"), make_card())
    other = make_finished("two", b"second")
    with pytest.raises(LibraryError, match="already"):
        library.register(other, make_card("Nuclei"))
    assert (library.folder / "nuclei" / "weights_best.h5").read_bytes() == b"first"
    assert (other / "weights_best.h5").read_bytes() == b"second"
    assert entries(library) == ["nuclei"]


CONTENDER = """
import sys, time
from pathlib import Path
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.model_card import ModelCard
home, number = Path(sys.argv[1]), sys.argv[2]
cards = [ModelCard(name=f"m{i}", engine="e", created="2026-01-02T00:00:00Z", channels=()) for i in range(40)]
library = ModelLibrary(home / "models")
(home / f"ready{number}").touch()
while not (home / "go").exists():
    time.sleep(0.001)
for i, card in enumerate(cards):
    try:
        library.register(home / f"run{number}" / str(i), card)
    except LibraryError as error:
        print(f"{i} lost: {error}")
    else:
        print(f"{i} won")
"""


def test_of_two_processes_with_the_same_name_one_wins(tmp_path):
    for number, i in ((number, i) for number in (0, 1) for i in range(40)):
        folder = tmp_path / f"run{number}" / str(i)
        folder.mkdir(parents=True)
        (folder / "weights.h5").write_text(str(number))
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, tmp_path, str(number)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for number in (0, 1)
    ]
    while not all((tmp_path / f"ready{number}").exists() or process.poll() for number, process in enumerate(processes)):
        pass
    (tmp_path / "go").touch()
    told = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    library = ModelLibrary(tmp_path / "models")
    assert len(entries(library)) == 40
    for i in range(40):
        outcome = [lines[i].split(":")[0] for lines in told]
        assert sorted(outcome) == [f"{i} lost", f"{i} won"]
        winner = outcome.index(f"{i} won")
        model = library.get(f"m{i}")
        model.verify()
        assert (model.folder / "weights.h5").read_text() == str(winner)
        assert (tmp_path / f"run{1 - winner}" / str(i) / "weights.h5").exists(), "the loser keeps its files"


RIVAL = """
import random, sys, time
from pathlib import Path
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
home, number = Path(sys.argv[1]), sys.argv[2]
library, draw = ModelLibrary(home / "models"), random.Random(number)
names = ["a", "b", "c"]
(home / f"ready{number}").touch()
while not (home / "go").exists():
    time.sleep(0.001)
for _ in range(150):
    one, other = draw.sample(names, 2)
    deeds = [
        lambda: import_model(home / "given.segmodel", library, name=one),
        lambda: library.rename(one, other),
        lambda: library.delete(one),
        lambda: library.get(one).verify(),
        lambda: export_model(library.get(one), home / f"{number}.segmodel", overwrite=True),
        library.names,
        library.broken,
    ]
    try:
        draw.choice(deeds)()
    except LibraryError as error:
        print(error)
"""
EXPECTED = ("There is no model", "is already in the library", "has just been taken", "has just been deleted or renamed")


def test_of_what_two_programs_do_with_one_name_nothing_is_half_done(library, make_card, make_finished, tmp_path):
    export_model(library.register(make_finished(), make_card(engine="e")), tmp_path / "given.segmodel")
    library.delete("nuclei")
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    begin = [sys.executable, "-c", RIVAL, tmp_path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen([*begin, number], **pipes) for number in "01"]
    wait_until(lambda: all((tmp_path / f"ready{number}").exists() for number in "01"), "both are there")
    (tmp_path / "go").touch()
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert [errors for _, errors in told] == ["", ""]
    lines = [line for words, _ in told for line in words.splitlines()]
    assert [line for line in lines if not any(words in line for words in EXPECTED)] == []
    assert library.broken() == {}
    for model in library:
        model.verify()
    assert set(os.listdir(library.folder)) <= {"a", "b", "c"}


@pytest.fixture
def other_disk(monkeypatch):
    """Make a move between the runs and the library look like one between two disks, which needs a second disk."""
    rename = os.rename

    def guarded(source, target):
        if Path(source).name == "model":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", guarded)


@pytest.mark.usefixtures("other_disk")
def test_what_killed_processes_left_half_made_goes_a_day_later(library, make_card, make_finished):
    old, new = library.folder / ".importing-1", library.folder / ".importing-2"
    for folder in (old, new, library.folder / ".mine"):
        folder.mkdir(parents=True)
    for folder in (old, library.folder / ".mine"):
        os.utime(folder, (0, 0))
    library.register(make_finished(), make_card())
    assert sorted(os.listdir(library.folder)) == [".importing-2", ".mine", "nuclei"]


def test_a_model_comes_from_another_disk(library, make_card, make_finished):
    finished = make_finished()
    library.register(finished, make_card()).verify()
    assert entries(library) == ["nuclei"]
    assert not finished.exists()


@pytest.mark.usefixtures("other_disk")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
        (OSError(errno.EACCES, "Permission denied"), "no permission to write .* NAPARI_SEG_TRAINER_HOME"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (shutil.Error([("from", "to", "[Errno 28] No space left on device")]), "No space left .* still in"),
    ],
)
def test_a_failed_copy_leaves_nothing_half_made(library, make_card, make_finished, monkeypatch, error, message):
    def fail(source, target):
        os.makedirs(target)
        (target / "weights_best.h5").write_bytes(b"wei")
        raise error

    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(library.folder.parent))
    finished = make_finished()
    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(LibraryError, match=message) as caught:
        library.register(finished, make_card())
    assert "\n" not in str(caught.value)
    assert entries(library) == []
    assert (finished / "weights_best.h5").exists()


@pytest.mark.parametrize("where", ["models", "models/below"])
def test_a_file_in_the_way_of_the_library_is_explained(tmp_path, make_card, make_finished, where):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(LibraryError, match=r"models(/below)?' cannot be read: Not a directory\."):
        ModelLibrary(tmp_path / where).register(make_finished(), make_card())
    assert (tmp_path / "models").read_text() == "a file"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_protected_library_is_explained(library, make_card, make_finished):
    library.folder.mkdir()
    library.folder.chmod(0o500)
    finished = make_finished()
    with pytest.raises(LibraryError, match="no permission to write"):
        library.register(finished, make_card())
    assert (finished / "weights_best.h5").exists()


def test_a_disk_that_is_full_at_the_card_is_explained(library, make_card, make_finished, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    finished = make_finished()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LibraryError, match="no space left on the disk"):
        library.register(finished, make_card())
    assert not library.folder.exists()
    assert not list(finished.glob("*card*"))


@pytest.mark.parametrize(("name", "message"), [("missing", "not a folder"), ("empty", "is empty")])
def test_a_folder_without_model_is_refused(tmp_path, library, make_card, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match=message):
        library.register(tmp_path / name, make_card())


def test_an_unknown_name_is_answered_with_close_ones(library, make_card, make_finished):
    library.register(make_finished(), make_card("Nuclei-2D"))
    with pytest.raises(LibraryError, match="Did you mean 'Nuclei-2D'"):
        library.get("nuclei2d")
    with pytest.raises(LibraryError, match=r"no model '\.\./models/Nuclei-2D'"):
        library.get("../models/Nuclei-2D")


BROKEN = {
    "no-card": None,
    "no-json": "{",
    "a-list": "[1, 2]",
    "wrong-type": '{"name": 3}',
    "newer": '{"version": 2, "name": "newer", "engine": "e", "created": "2026-01-02T00:00:00Z", "channels": []}',
}


@pytest.fixture
def messy(library, make_card, make_finished):
    """Return a library with one good model, and folders that are none."""
    library.register(make_finished(), make_card())
    for name, card in BROKEN.items():
        (library.folder / name).mkdir()
        (library.folder / name / "weights_best.h5").write_bytes(b"precious")
        if card is not None:
            (library.folder / name / "model_card.json").write_text(card)
    (library.folder / ".incoming-1").mkdir()
    (library.folder / "notes.txt").write_text("mine")
    return library


def test_broken_models_are_told_and_never_touched(messy, caplog):
    before = sorted(messy.folder.rglob("*"))
    with caplog.at_level(logging.WARNING):
        assert messy.names() == ["nuclei"]
    assert sorted(messy.broken()) == sorted(BROKEN)
    assert len(caplog.records) == len(BROKEN)
    assert sorted(messy.folder.rglob("*")) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_explained_in_a_line(messy, name):
    with pytest.raises(LibraryError, match=name) as caught:
        messy.get(name)
    assert "\n" not in str(caught.value)


def test_a_model_is_renamed(library, make_card, make_finished):
    library.register(make_finished(), make_card())
    renamed = library.rename("nuclei", "Nuclei")
    assert (renamed.name, renamed.folder.name, library.names()) == ("Nuclei", "Nuclei", ["Nuclei"])
    assert json.loads((renamed.folder / "model_card.json").read_text())["name"] == "Nuclei"
    renamed.verify()


@pytest.mark.parametrize(
    ("old", "new", "message"), [("a", "B", "already"), ("a", "x/y", "not allowed"), ("c", "d", "no model 'c'")]
)
def test_a_rename_that_cannot_be(library, make_card, make_finished, old, new, message):
    for name in ("a", "b"):
        library.register(make_finished(name), make_card(name))
    with pytest.raises(LibraryError, match=message):
        library.rename(old, new)
    assert library.names() == ["a", "b"]


def test_a_folder_renamed_by_hand_names_the_model(library, make_card, make_finished):
    library.register(make_finished(), make_card())
    os.rename(library.folder / "nuclei", library.folder / "by-hand")
    os.mkdir(library.folder / "with space")
    assert library.names() == ["by-hand"]
    assert library.get("by-hand").card.name == "by-hand"


@pytest.mark.parametrize("name", ["nuclei", "no-json"])
def test_a_model_is_deleted(messy, name):
    messy.delete(name)
    assert name not in entries(messy)
    assert not [entry for entry in entries(messy) if entry.startswith(".deleted")]


@pytest.mark.parametrize("name", ["unknown", "notes.txt", "..", ".", "", ".incoming-1"])
def test_what_is_no_model_is_not_deleted(messy, name):
    before = sorted(messy.folder.parent.rglob("*"))
    with pytest.raises(LibraryError, match="no model"):
        messy.delete(name)
    assert sorted(messy.folder.parent.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_deleting_a_link_keeps_what_it_points_to(tmp_path, library, make_card, make_finished):
    model = library.register(make_finished(), make_card())
    shutil.move(model.folder, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", model.folder)
    library.delete("nuclei")
    assert entries(library) == []
    assert (tmp_path / "elsewhere" / "weights_best.h5").exists()


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda path: path.write_bytes(b"other"), "was changed"),
        (lambda path: None, "lacks its file"),
        (Path.mkdir, "lacks its file"),
        pytest.param(os.mkfifo if hasattr(os, "mkfifo") else None, "lacks its file", marks=pipes),
    ],
    ids=["other", "none", "a folder", "a pipe"],
)
def test_a_changed_file_is_found(library, make_card, make_finished, replace, message):
    model = library.register(make_finished(), make_card())
    weights = model.folder / "weights_best.h5"
    weights.unlink()
    replace(weights)
    with pytest.raises(LibraryError, match=f"{message}|{message}.*weights_best.h5"):
        model.verify()


def test_a_model_opens_by_name_and_by_folder(library, make_card, make_finished):
    model = library.register(make_finished(), make_card())
    assert open_model("nuclei", library) == model
    assert open_model(model.folder, library) == model
    assert open_model(str(model.folder), library) == model


@pytest.mark.parametrize(
    ("text", "message"),
    [("nukleus", "no model"), ("~nobody/x", "no model"), ("", "not a model"), ("plain", "model_card")],
)
def test_what_is_neither_name_nor_folder_is_not_opened(tmp_path, library, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").mkdir()
    with pytest.raises(LibraryError, match=message):
        open_model(text, library)
