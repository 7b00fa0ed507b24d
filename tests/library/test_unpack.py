import errno
import os
import random
import stat
import zipfile

import pytest

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library import unpack
from napari_seg_trainer.library.unpack import folder_in, unpack_model

GOOD = {"config.json": "{}", "weights_best.h5": "w"}


@pytest.fixture
def make_zip(tmp_path):
    def make(members, compression=zipfile.ZIP_STORED):
        path = tmp_path / "model.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return make


@pytest.fixture
def target(tmp_path):
    return tmp_path / "unpacked" / "model"


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("below", ["", "2D_versatile_fluo/", "a/"])
def test_a_model_is_unpacked_with_or_without_its_folder(make_zip, target, below):
    unpack_model(make_zip({f"{below}{name}": content for name, content in GOOD.items()}), target)
    assert files(target) == ["config.json", "weights_best.h5"]
    assert os.listdir(target.parent) == ["model"]


def test_what_is_no_part_of_a_model_is_left_out(make_zip, target):
    litter = {"run.sh": "x", "m/a.py": "x", "__MACOSX/._config.json": "x", ".DS_Store": "x", "a.PKL": "x", "b/": ""}
    unpack_model(make_zip(GOOD | litter | {"README.MD": "x"}), target)
    assert files(target) == ["README.MD", "config.json", "weights_best.h5"]


@pytest.mark.parametrize("below", ["", "cells/"])
def test_named_files_are_unpacked_whatever_their_kind(make_zip, target, below):
    members = GOOD | {"cells": "weights", "sub/cells": "x", "a.py": "x"}
    unpack_model(make_zip({f"{below}{name}": content for name, content in members.items()}), target, also={"cells"})
    assert files(target)[:1] == ["cells"]
    assert "a.py" not in files(target)


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (["nuclei/a.json", "nuclei/b/c.json", "__MACOSX/nuclei/._a.json", ".DS_Store"], "nuclei"),
        (["a.json", "nuclei/b.json"], "model"),
        (["a/a.json", "b/b.json"], "model"),
        (["a.json"], "model"),
    ],
)
def test_a_model_is_named_like_its_folder_or_its_archive(make_zip, members, name):
    assert folder_in(make_zip(dict.fromkeys(members, ""))) == name


def test_progress_is_told_in_bytes(make_zip, target):
    told = []
    unpack_model(make_zip(GOOD), target, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]


def linked(name):
    link = zipfile.ZipInfo(name)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../evil.json", "outside its folder"),
        ("a/../../evil.json", "outside its folder"),
        ("/etc/evil.json", "outside its folder"),
        ("C:/evil.json", "outside its folder"),
        ("..\\evil.json", "outside its folder"),
        ("../evil.sh", "outside its folder"),
        (linked("link.json"), "link or a special file"),
        ("CONFIG.json", "names a file twice"),
    ],
)
def test_a_dangerous_archive_is_refused(tmp_path, make_zip, target, member, message):
    archive = make_zip(GOOD | {member: "/etc/passwd"})
    with pytest.raises(LibraryError, match=message):
        unpack_model(archive, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["model.zip", "unpacked"]


def test_an_archive_that_grows_too_much_is_refused(make_zip, target):
    bomb = make_zip(GOOD | {"zeros.h5": bytes(3 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(LibraryError, match="more than 100 times its size"):
        unpack_model(bomb, target)


def test_an_archive_that_is_too_large_is_refused(make_zip, target, monkeypatch):
    monkeypatch.setattr(unpack, "MAX_BYTES", 1000)
    with pytest.raises(LibraryError, match="is the limit"):
        unpack_model(make_zip(GOOD | {"big.h5": random.Random(0).randbytes(2000)}), target)


def test_an_archive_of_too_many_files_is_refused(make_zip, target):
    with pytest.raises(LibraryError, match="1,001 files; 1,000 is the limit"):
        unpack_model(make_zip({f"{i}.json": "" for i in range(1001)}), target)


def test_a_size_that_is_a_lie_is_noticed(make_zip, target):
    archive = make_zip({"weights.h5": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    content = archive.read_bytes()
    size = (100_000).to_bytes(4, "little")
    assert content.count(size) == 2
    archive.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(LibraryError, match="not a readable zip"):
        unpack_model(archive, target)
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04"])
def test_what_is_no_zip_is_refused(tmp_path, target, content):
    (tmp_path / "model.zip").write_bytes(content)
    with pytest.raises(LibraryError, match="not a readable zip"):
        unpack_model(tmp_path / "model.zip", target)


def test_a_damaged_member_leaves_nothing(make_zip, target):
    archive = make_zip(GOOD)
    archive.write_bytes(archive.read_bytes().replace(b"weights_best.h5w", b"weights_best.h5X"))
    with pytest.raises(LibraryError, match="not a readable zip"):
        unpack_model(archive, target)
    assert os.listdir(target.parent) == []


def test_an_archive_without_model_is_refused(make_zip, target):
    with pytest.raises(LibraryError, match="holds no model files"):
        unpack_model(make_zip({"a.sh": ""}), target)


def test_a_folder_that_is_there_stays(make_zip, target):
    target.mkdir(parents=True)
    with pytest.raises(LibraryError, match="there already"):
        unpack_model(make_zip(GOOD), target)


def test_a_full_disk_leaves_nothing(make_zip, target, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpack, "copy_bytes", full)
    with pytest.raises(LibraryError, match="no space left"):
        unpack_model(make_zip(GOOD), target)
    assert os.listdir(target.parent) == []
