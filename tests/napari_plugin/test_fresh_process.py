"""What this plugin costs a napari that has just started, and what it leaves behind; each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_seg_trainer.paths import HOME_VARIABLE

OPEN_ALL = """
import json, sys, threading, time
import napari, psutil
from qtpy.QtWidgets import QApplication
from napari_seg_trainer.napari_plugin.parts import docks

viewer = napari.Viewer(show_welcome_screen=False)
QApplication.processEvents()
seconds = {}
for title in (docks.EXPORT, docks.TRAIN, docks.SEGMENT, docks.LIBRARY):
    began = time.perf_counter()
    docks.open_dock(viewer, title)
    QApplication.processEvents()
    seconds[title] = time.perf_counter() - began
until = time.monotonic() + 1.5
while time.monotonic() < until:  # whatever they look up in the background
    QApplication.processEvents()
heavy = ("tensorflow", "keras", "torch", "torchvision", "stardist", "csbdeep", "cellpose")
loaded = [name for name in heavy if name in sys.modules]
viewer.close()
QApplication.processEvents()
threads = [thread.name for thread in threading.enumerate()[1:] if not thread.daemon]
children = [child.name() for child in psutil.Process().children(recursive=True)]
print(json.dumps({"seconds": seconds, "loaded": loaded, "threads": threads, "children": children}))
"""


@pytest.fixture
def fresh(tmp_path: Path):
    """Run code in a fresh process with an empty home, and return what its last line tells."""

    def run(code: str) -> dict:
        environment = os.environ | {HOME_VARIABLE: str(tmp_path / "home"), "NAPARI_CONFIG": "", "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_opening_every_dock_imports_no_framework_and_leaves_nothing(fresh, tmp_path):
    told = fresh(OPEN_ALL)
    total = sum(told["seconds"].values())
    print(f"\nall docks opened in {total:.2f} s: " + ", ".join(f"{k} {v:.2f} s" for k, v in told["seconds"].items()))
    assert told["loaded"] == []
    assert told["threads"] == []
    assert told["children"] == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []
