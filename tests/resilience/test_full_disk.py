"""Trainings by the real engines on a small disk that fills up."""

import os
import shutil
import subprocess
import sys

import pytest

from napari_seg_trainer.paths import HOME_VARIABLE

SMALL = ("--set", "patch_size=64", "--set", "batch_size=2", "--epochs", "3")
NETWORKS = {
    "stardist": (("filters=8", "depth=2", "rays=16"), (500, 1300)),
    "cellpose": ((), (60_000, 120_000)),
}
SCRIPT = """
set -u
mount -t tmpfs -o size="$1"k tmpfs "$2"
shift 2
"$@"; echo "status $?"
mount -o remount,size=900m "$HOME_OF_MODELS"
napari-seg-trainer resume nuclei; echo "status $?"
napari-seg-trainer models --json
"""
CASES = [(engine, size) for engine, (_, sizes) in NETWORKS.items() for size in sizes]


def _can_mount():
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "kib"), CASES)
def test_a_training_goes_on_once_there_is_room(engine, kib, annotation_folder, tmp_path, command):
    if not _can_mount():
        pytest.skip("this user may not mount a small disk")
    home, data = tmp_path / "home", annotation_folder(images=5)
    home.mkdir()
    settings = [word for setting in NETWORKS[engine][0] for word in ("--set", setting)]
    training = command("train", "--data", data, "--name", "nuclei", "--engine", engine, *SMALL, *settings)
    here = os.path.dirname(sys.executable)
    environment = os.environ | {
        HOME_VARIABLE: str(home),
        "HOME_OF_MODELS": str(home),
        "PATH": os.pathsep.join([here, os.environ["PATH"]]),
    }
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", SCRIPT, "small-disk", str(kib), str(home), *training],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
    assert "cannot be saved" in error
    assert "No space left on device. The weights of earlier epochs are kept." in error
    assert "Traceback" not in done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("status")] == ["status 1", "status 0"]
    told = [line.split(" of ")[0].split()[1] for line in done.stdout.splitlines() if line.startswith("epoch")]
    assert told == ["1", "2", "3"]
    assert '"name": "nuclei"' in done.stdout or '"name":"nuclei"' in done.stdout
