import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from napari_seg_trainer.files import (
    TEMPORARY_PREFIX,
    own_temporary_folder,
    owner_mark,
    read_arrays,
    read_bytes,
    write_bytes,
    write_text,
)


def test_a_file_is_written_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "job.json", "µm\n")
    assert (tmp_path / "job.json").read_bytes() == "µm\n".encode()
    assert os.listdir(tmp_path) == ["job.json"]


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "state.json"
    write_bytes(path, b"a much longer old content")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_folder_in_the_way_stays_and_the_part_is_removed(tmp_path):
    (tmp_path / "state.json").mkdir()
    with pytest.raises(OSError):
        write_text(tmp_path / "state.json", "new")
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "state.json", "new")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_can_read_the_file(tmp_path):
    write_text(tmp_path / "job.json", "{}")
    assert (tmp_path / "job.json").stat().st_mode & 0o777 == 0o644


def test_temporary_files_of_killed_processes_go_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = owner_mark()
    host = mine.partition("-")[0]
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    kept = [f"{TEMPORARY_PREFIX}{mark}-a" for mark in (mine, f"other-{gone.pid}", "x", f"{host}-1")]
    for name in (*kept, f"{TEMPORARY_PREFIX}{host}-{gone.pid}-a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    with own_temporary_folder() as folder:
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, folder.name])
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_temporary_files_of_this_process_and_its_children_go_with_their_folder():
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    ask = [sys.executable, "-c", "import tempfile; print(tempfile.mkstemp()[1])"]
    with own_temporary_folder() as folder:
        own = tempfile.mkdtemp()
        other = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
        assert os.path.dirname(own) == os.path.dirname(other) == str(folder)
        assert os.path.exists(other)
    assert not folder.exists()
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


def test_arrays_are_read(tmp_path):
    np.savez_compressed(tmp_path / "two.npz", one=np.arange(3), other=np.zeros((2, 2)))
    found = read_arrays(tmp_path / "two.npz")
    assert {name: values.tolist() for name, values in found.items()} == {"one": [0, 1, 2], "other": [[0, 0], [0, 0]]}


def test_arrays_that_unpack_to_far_more_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", zeros=np.zeros(2**20))
    assert (tmp_path / "zeros.npz").stat().st_size < 2**14
    with pytest.raises(ValueError, match=r"zeros.npz declares 8,388,\d+ bytes of numbers; 1,048,576 is the limit"):
        read_arrays(tmp_path / "zeros.npz", most=2**20)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it_ran"),)

    np.savez(tmp_path / "trap.npz", trap=np.array([Trap()], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(tmp_path / "trap.npz")
    assert not (tmp_path / "it_ran").exists()


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    (tmp_path / "long").write_bytes(bytes(11))
    assert read_bytes(tmp_path / "long", 11) == bytes(11)
    with pytest.raises(OSError, match="It has 11 bytes, and 10 are the limit"):
        read_bytes(tmp_path / "long", 10)
