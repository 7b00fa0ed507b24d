"""Surroundings that nobody wishes for: names that are no text, disks that cannot be written, no shared memory."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.library.pretrained import open_model
from napari_seg_trainer.library.problems import disk_problem
from napari_seg_trainer.paths import HOME_VARIABLE

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are text, and they have no mounts")
E_ACUTE = b"\xe9"
"""As Windows wrote it once; no UTF-8."""


def no_text(folder):
    """Rename all files so that their names are no text."""
    for name in os.listdir(folder):
        os.rename(folder / name, os.fsencode(folder) + b"/caf" + E_ACUTE + os.fsencode(name))
    return folder


def can_mount():
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


def mounted(script, *arguments, **variables):
    """Run a shell's commands where they may mount what nobody else sees."""
    if not can_mount():
        pytest.skip("this user may not mount a disk")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-euc", script, "sh", *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@linux
@pytest.mark.parametrize(
    "words", [("check",), ("train", "--engine", "toy", "--name", "n", "--data"), ("evaluate", "bright")]
)
def test_an_image_whose_name_is_no_text_is_told(toy_model, cli, annotation_folder, words):
    toy_model()
    shown = cli(*words, no_text(annotation_folder()))
    said = " ".join((shown.err if words[0] != "check" else shown.out).split())
    assert shown.status == 1
    assert "caf\\udce9" in said
    assert "is not valid UTF-8. Rename it." in said


@linux
def test_an_image_whose_name_is_no_text_is_segmented(toy_model, cli, annotation_folder, tmp_path):
    toy_model()
    folder = no_text(annotation_folder(images=1))
    (image,) = (path for path in folder.glob("*.tif") if "labelled" not in path.name)
    output = tmp_path / os.fsdecode(b"out" + E_ACUTE)
    shown = cli("segment", "bright", image, "-o", output)
    assert (shown.status, shown.err) == (0, "")
    assert os.listdir(os.fsencode(output)) == [b"caf" + E_ACUTE + b"cell_00_labelled.tif"]


@linux
@pytest.mark.parametrize("words", [("report",), ("resume",), ("import-model",), ("train", "--data", ".", "--name")])
def test_a_name_that_is_no_text_is_told(home, cli, words):
    shown = cli(*words, os.fsdecode(b"n" + E_ACUTE))
    assert shown.status == 1
    assert "'n\\udce9'" in shown.error or "n\\udce9'" in shown.error


def test_a_home_that_is_not_there_yet_is_made_when_needed(toy_model, cli, tmp_path, monkeypatch):
    toy_model()
    assert cli("export-model", "bright", tmp_path / "bright.segmodel").status == 0
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "not" / "there" / "yet"))
    for words in (("models",), ("runs",)):
        assert cli(*words).status == 0
    assert not (tmp_path / "not").exists()
    assert cli("import-model", tmp_path / "bright.segmodel").status == 0
    assert "bright" in cli("models").out


def test_a_home_below_a_file_is_told(toy_model, cli, tmp_path, monkeypatch, annotation_folder):
    toy_model()
    assert cli("export-model", "bright", tmp_path / "bright.segmodel").status == 0
    (tmp_path / "file").touch()
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file" / "home"))
    for words in (
        ("models",),
        ("import-model", tmp_path / "bright.segmodel"),
        ("train", "--engine", "toy", "--data", annotation_folder(), "--name", "n"),
    ):
        shown = cli(*words)
        assert shown.status == 1
        assert "file/home" in shown.error.replace("\\", "/")


@pytest.mark.parametrize(
    ("number", "inside", "outside"),
    [
        (errno.EROFS, f"disk that cannot be written. Set {HOME_VARIABLE} to", "disk that cannot be written. Choose an"),
        (errno.EACCES, f"or set {HOME_VARIABLE} to another folder.", "or choose another folder."),
        (errno.ENOSPC, "no space left", "no space left"),
        (errno.ENOENT, "is not there", "is not there"),
    ],
)
def test_the_way_out_is_one_that_helps(home, tmp_path, number, inside, outside):
    error = OSError(number, os.strerror(number))
    assert inside in disk_problem(error, home / "models")
    assert outside in disk_problem(error, tmp_path / "segmented")


READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
image=$2 other=$3
shift 3
say() { echo "== $1"; "$@" 2>&1 || echo "status $?"; }
program() { "$PYTHON" -m napari_seg_trainer "$@"; }
say program models
say program segment bright "$image" -o "$other"
say program rename-model bright other
say program train --engine toy --data "${image%/*}" --name n
"""


@linux
def test_of_a_library_that_cannot_be_written_models_are_used(home, toy_model, annotation_folder, tmp_path):
    toy_model()
    image = annotation_folder(images=1) / "cell_00.tif"
    done = mounted(READ_ONLY, home, image, tmp_path / "out", PYTHON=sys.executable)
    assert "Traceback" not in done.stdout
    listed, segmented, *refused = done.stdout.split("== ")[1:]
    assert "bright" in listed
    assert "16 objects" in segmented
    assert len(refused) == 2
    for said in refused:
        assert "is on a disk that cannot be written. Set NAPARI_SEG_TRAINER_HOME to another folder." in said, said
        assert "status 1" in said


def test_a_starter_needs_no_place_for_downloads(home):
    """As where an administrator has installed all for everybody."""
    home.mkdir()
    (home / "downloads").touch()
    model = open_model("nuclei_fluorescence")
    model.verify()
    assert not model.folder.is_relative_to(home)
    assert open_model("nuclei_fluorescence").folder == model.folder


@linux
def test_a_full_disk_keeps_no_half_of_a_starter(home):
    home.mkdir()
    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; shift; "$@" || true; find "$NAPARI_SEG_TRAINER_HOME" -type f'
    begin = [sys.executable, "-m", "napari_seg_trainer", "report", "nuclei_fluorescence"]
    done = mounted(script, home, *begin)
    assert f"There is no space left on the disk of '{home / 'downloads'}" in done.stderr.replace("\n", " ")
    left = [Path(line) for line in done.stdout.splitlines()]
    assert [path for path in left if path.suffix != ".lock" and path.name != "log.txt"] == []


SEGMENT = """
import sys
import numpy as np
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.segmentation.service import SegmentationService
with SegmentationService() as service:
    try:
        service.segment(ModelLibrary().get("bright"), np.zeros((1, 64, 64), np.uint16))
    except SegTrainerError as error:
        print(error)
    else:
        print("segmented")
"""
NOWHERE = 'mount -t tmpfs tmpfs /mnt; mount --bind /mnt /dev/shm; mount -o remount,ro,bind /dev/shm; exec "$@"'
SMALL = 'mount -t tmpfs -o size=8k tmpfs /dev/shm; exec "$@"'


@linux
@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (NOWHERE, "no shared memory is available (Read-only file system). On Linux it is in /dev/shm; "),
        (SMALL, "needs 0.1 MB of shared memory, more than is free."),
        ('exec "$@"', "segmented"),
    ],
    ids=["none", "little", "enough"],
)
def test_without_shared_memory_a_process_is_not_asked(toy_model, mount, words):
    toy_model()
    done = mounted(mount, sys.executable, "-c", SEGMENT)
    assert words in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.returncode == 0


@pytest.mark.slow
def test_twenty_thousand_files_are_looked_through(annotation_folder, home, cli):
    """In a time that grows with their number, not with its square: the second half takes as long as the first."""
    folder = annotation_folder(images=1, shape=(32, 32))
    image, labels = (folder / f"cell_00{end}.tif" for end in ("", "_labelled"))
    (folder / "cell_00.json").unlink(missing_ok=True)
    for number in range(1, 10_000):
        shutil.copy(image, folder / f"cell_{number:05}.tif")
        shutil.copy(labels, folder / f"cell_{number:05}_labelled.tif")
    times = [time.perf_counter()]
    for place, looked in enumerate(look_through(AnnotationFolder.open(folder).pairs), 1):
        assert looked.facts is not None
        if place in (5_000, 10_000):
            times.append(time.perf_counter())
    first, second = times[1] - times[0], times[2] - times[1]
    assert second < 3 * first
    assert json.loads(cli("check", folder, "--json").out)["understood"].startswith("10,000 images of 32 × 32 pixels")
