import errno
import json
import os
import re
import zipfile

import pytest

from napari_seg_trainer.engines.cellpose.files import find_weights
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library import archive
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary


@pytest.fixture
def model(library, make_card, make_finished):
    """A model with a file of Cellpose's kind, which has no suffix, and one in a folder."""
    finished = make_finished()
    (finished / "cpsam_weights").write_bytes(bytes(range(256)) * 8000)
    return library.register(finished, make_card(pixel_size=0.5))


@pytest.fixture
def other(tmp_path):
    """Another library, as on another computer."""
    return ModelLibrary(tmp_path / "elsewhere" / "models")


@pytest.fixture
def zipped(model, tmp_path):
    return export_model(model, tmp_path / "nuclei.zip")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(zipped, change):
    """Write the archive again, its members changed by `change`, and without its folder if a name says so."""
    with zipfile.ZipFile(zipped) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(zipped, "w") as opened:
        for name, content in change(members).items():
            opened.writestr(name, content)
    return zipped


def card_with(members, **changes):
    card = json.loads(members["nuclei/model_card.json"])
    return members | {"nuclei/model_card.json": json.dumps(card | changes)}


# there and back


def test_a_model_comes_back_as_it_was(model, zipped, other):
    back = import_model(zipped, other)
    assert contents(back.folder) == contents(model.folder)
    assert back.card == model.card
    back.verify()
    assert os.listdir(other.folder) == ["nuclei"]


def test_an_archive_is_one_folder_of_the_cards_files(model, zipped):
    (model.folder / ".DS_Store").write_text("litter")
    (model.folder / "notes.txt").write_text("mine")
    again = export_model(model, zipped, overwrite=True)
    with zipfile.ZipFile(again) as opened:
        kinds = {member.filename: member.compress_type for member in opened.infolist()}
    assert sorted(kinds) == sorted(f"nuclei/{name}" for name in (*model.card.files, "model_card.json"))
    assert kinds["nuclei/config.json"] == zipfile.ZIP_DEFLATED
    assert kinds["nuclei/weights_best.h5"] == zipfile.ZIP_STORED
    assert sorted(os.listdir(zipped.parent)) == ["models", "nuclei.zip", "run"]


@pytest.mark.parametrize(
    ("asked", "written"),
    [("a", "a.segmodel"), ("a-1.2", "a-1.2.segmodel"), ("a.SEGMODEL", "a.SEGMODEL"), ("a.zip", "a.zip")],
)
def test_a_file_is_named_so_that_napari_knows_it(model, tmp_path, other, asked, written):
    assert export_model(model, tmp_path / asked) == tmp_path / written
    assert import_model(tmp_path / written, other).card.files == model.card.files
    with pytest.raises(LibraryError, match=rf"'{re.escape(str(tmp_path / written))}' already exists"):
        export_model(model, tmp_path / asked)


def test_bytes_are_told_on_both_ways(model, tmp_path, other):
    told = []
    path = export_model(model, tmp_path / "a.zip", progress=lambda *pair: told.append(pair))
    assert told[-1][0] == told[-1][1] > 2_000_000
    assert len(told) > len(model.card.files)
    for source in (path, model.folder):
        told.clear()
        import_model(source, other, name=f"n{len(other.names())}", progress=lambda *pair: told.append(pair))
        assert told[-1][0] == told[-1][1] > 2_000_000


def test_a_model_renamed_by_hand_goes_under_its_new_name(model, library, tmp_path, other):
    os.rename(model.folder, model.folder.with_name("by-hand"))
    assert import_model(export_model(library.get("by-hand"), tmp_path / "a.zip"), other).name == "by-hand"


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
def test_a_model_is_imported_once_and_another_of_its_name_gets_a_number(
    model, zipped, other, make_card, make_finished, packed
):
    source = zipped if packed else model.folder
    first = other.register(make_finished("other", b"other weights"), make_card())
    second = import_model(source, other)
    assert (second.name, second.card.name) == ("nuclei-2", "nuclei-2")
    assert import_model(source, other) == second
    assert import_model(source, other, name="mine").name == "mine"
    assert other.names() == ["mine", "nuclei", "nuclei-2"]
    assert other.get("nuclei") == first
    with pytest.raises(LibraryError, match="already in the library"):
        import_model(source, other, name="NUCLEI")


def test_a_model_that_is_there_is_not_imported_again(model, library):
    assert import_model(model.folder, library) == model
    assert library.names() == ["nuclei"]


def test_an_engine_that_is_not_installed_does_not_matter(library, make_card, make_finished, tmp_path, other):
    model = library.register(make_finished(), make_card(engine="unheard-of"))
    assert import_model(export_model(model, tmp_path / "a.zip"), other).card.engine == "unheard-of"


@pytest.mark.parametrize("below", ["", "renamed (1)/"])
def test_an_archive_that_was_packed_by_hand_is_imported(model, zipped, other, below):
    litter = {"__MACOSX/nuclei/._config.json": b"", ".DS_Store": b"", "nuclei/.hidden/x": b""}
    rewritten(zipped, lambda members: {k.replace("nuclei/", below): v for k, v in (members | litter).items()})
    assert contents(import_model(zipped, other).folder) == contents(model.folder)


# of other programs


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "folder"])
def test_a_stardist_model_is_imported(make_stardist, tmp_path, library, packed):
    folder = make_stardist("their nuclei")
    (folder / "logs").mkdir()
    (folder / "logs" / "events.out").write_bytes(b"x" * 99)
    before = contents(folder)
    model = import_model(zip_of(folder, tmp_path) if packed else folder, library)
    assert (model.name, model.card.engine) == ("their-nuclei", "stardist")
    there = ["config.json", "config_input.json", "model_card.json", "thresholds.json", "weights_best.h5"]
    assert sorted(contents(model.folder)) == there
    model.verify()
    assert contents(folder) == before
    assert import_model(folder, library) == model


@pytest.mark.parametrize("below", ["CP_cells/", ""])
def test_celldetectives_cellpose_weights_have_no_suffix(tmp_path, library, below, cellpose_weights):
    folder = tmp_path / "CP_cells"
    folder.mkdir()
    (folder / "CP_cells").write_bytes(cellpose_weights())
    (folder / "config_input.json").write_text(json.dumps({"channels": ["cells", "None"], "model_type": "cellpose"}))
    model = import_model(zip_of(folder, tmp_path, below), library)
    assert (model.card.engine, contents(model.folder)["CP_cells"]) == ("cellpose", cellpose_weights())
    assert import_model(folder, library) == model


def zip_of(folder, tmp_path, below=None):
    path = tmp_path / f"{folder.name}.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in contents(folder).items():
            opened.writestr(f"{f'{folder.name}/' if below is None else below}{name}", content)
    return path


# what goes wrong


def test_a_file_is_not_overwritten_unasked(model, zipped):
    before = zipped.read_bytes()
    with pytest.raises(LibraryError, match="already exists"):
        export_model(model, zipped)
    assert zipped.read_bytes() == before
    with pytest.raises(LibraryError, match="is a folder"):
        export_model(model, zipped.parent, overwrite=True)


def test_a_damaged_model_is_not_exported(model, tmp_path):
    (model.folder / "weights_best.h5").write_bytes(b"changed")
    with pytest.raises(LibraryError, match=r"'weights_best.h5' .* was changed"):
        export_model(model, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_a_full_disk_leaves_no_half(model, zipped, other, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(os.listdir(zipped.parent))
    monkeypatch.setattr(archive, "copy_bytes", full)
    with pytest.raises(LibraryError, match="no space left"):
        export_model(model, zipped.with_name("b.zip"))
    with pytest.raises(LibraryError, match="no space left"):
        import_model(model.folder, other)
    assert [name for name in sorted(os.listdir(zipped.parent)) if name != "elsewhere"] == before
    assert os.listdir(other.folder) == []


BROKEN = {
    "a changed file": (lambda m: m | {"nuclei/weights_best.h5": b"?"}, "'weights_best.h5' in .* was changed"),
    "a missing file": (lambda m: {k: v for k, v in m.items() if "weights_b" not in k}, "lacks its file 'weights_b"),
    "no list of files": (lambda m: card_with(m, files={}), "has an invalid file list"),
    "a way out": (lambda m: card_with(m, files={"../../evil": "0"}), "has an invalid file list"),
    "an absolute way out": (lambda m: card_with(m, files={"/tmp/evil": "0"}), "has an invalid file list"),
    "a way out of Windows": (lambda m: card_with(m, files={"..\\evil": "0"}), "has an invalid file list"),
    "a broken card": (lambda m: m | {"nuclei/model_card.json": b"{"}, "cannot be used"),
    "an impossible name": (lambda m: card_with(m, name="../evil"), "cannot be used"),
    "no model": (lambda m: {"a/photo.json": b"{}"}, "is not a model folder"),
    "no text": (lambda m: {"a/photo.png": b""}, "holds no model files"),
    "a member outside": (lambda m: m | {"../evil.json": b""}, "outside its folder"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_archive_is_refused_and_leaves_nothing(zipped, other, tmp_path, change, message):
    rewritten(zipped, change)
    with pytest.raises(LibraryError, match=message) as caught:
        import_model(zipped, other)
    assert str(zipped) in str(caught.value)
    assert ".importing" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(other.folder) == []
    assert not list(tmp_path.rglob("evil*"))


CARDS = {
    "of the last year": ({"created": "9999-12-31T23:59:59+00:00"}, "created"),
    "of the first year": ({"created": "0001-01-01T00:00:00+00:00"}, "created"),
    "of no time zone": ({"created": "2026-01-01T00:00:00"}, "created"),
    "of fewer than no images": ({"training_images": -1}, "training_images"),
    "of very many images": ({"test_images": 10**30}, "test_images"),
    "of a long engine": ({"engine": "x" * 101}, "engine"),
    "of many channels": ({"channels": 1001 * [{"name": "a"}]}, "channels"),
    "of a long sentence": ({"verdict": ["x" * 5001]}, "verdict"),
    "with an escape": ({"verdict": ["\x1b[2Jgone"]}, r"invisible characters, in '\\x1b\[2Jgone'"),
    "with two lines": ({"parent": "a\nb"}, r"invisible characters, in 'a\\nb'"),
    "that turns round": ({"versions": {"x": "\u202eexe"}}, "invisible characters"),
    "with a hidden parameter": ({"hyperparameters": {"a\x00": 1}}, "invisible characters"),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_cannot_be_shown_is_refused(zipped, other, case):
    changes, words = CARDS[case]
    with pytest.raises(LibraryError, match=words) as error:
        import_model(rewritten(zipped, lambda members: card_with(members, **changes)), other)
    assert str(error.value).isprintable()
    assert other.names() == []


def test_names_of_images_may_have_any_characters(zipped, other):
    """They come from the file system, and windows of it copy marks of direction along."""
    import_model(rewritten(zipped, lambda members: card_with(members, data={"\u202aa": "0" * 64})), other)
    assert other.names() == ["nuclei"]


def test_a_folder_that_leads_elsewhere_is_refused(model, other, tmp_path):
    (tmp_path / "secret").write_text("secret")
    card = json.loads((model.folder / "model_card.json").read_text())
    (model.folder / "model_card.json").write_text(json.dumps(card | {"files": {"../../secret": "0"}}))
    with pytest.raises(LibraryError, match="invalid file list"):
        import_model(model.folder, other)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no file or folder"), (b"", "not a readable zip"), (b"text", "not a readable zip")]
)
def test_what_is_no_archive_is_refused(other, tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(LibraryError, match=message):
        import_model(tmp_path / "a.zip", other)
    assert not other.folder.exists() or os.listdir(other.folder) == []


def test_an_impossible_name_is_refused_before_anything_is_copied(model, other):
    with pytest.raises(LibraryError, match="'/' is not allowed"):
        import_model(model.folder, other, name="a/b")
    assert not other.folder.exists()


def test_names_that_are_free(library, make_card, make_finished):
    assert library.free_name("nuclei") == "nuclei"
    library.register(make_finished("a"), make_card("Nuclei"))
    library.register(make_finished("b"), make_card("nuclei-2"))
    assert library.free_name("nuclei") == "nuclei-3"
    long = "x" * 100
    library.register(make_finished("c"), make_card(long))
    assert library.free_name(long) == f"{'x' * 98}-2"
    with pytest.raises(LibraryError, match="not allowed"):
        library.free_name("a/b")


def test_a_file_of_cellposes_weights_is_imported(tmp_path, library, cellpose_weights):
    path = tmp_path / "CP_20260101 cells"
    path.write_bytes(cellpose_weights())
    model = import_model(path, library)
    assert (model.name, model.card.engine) == ("CP_20260101-cells", "cellpose")
    assert contents(model.folder)["weights.pth"] == cellpose_weights()
    assert import_model(path, library) == model


def test_weights_that_are_named_like_their_folder_are_found_when_it_is_renamed(tmp_path, library, cellpose_weights):
    folder = tmp_path / "CP_cells"
    folder.mkdir()
    (folder / "CP_cells").write_bytes(cellpose_weights())
    (folder / "config_input.json").write_text(json.dumps({"channels": ["cells", "None"], "model_type": "cellpose"}))
    model = import_model(folder, library, name="another")
    assert find_weights(model.folder) == model.folder / "CP_cells"
