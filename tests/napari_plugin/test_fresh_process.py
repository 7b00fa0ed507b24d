"""What this plugin costs a napari that has just started, and what it leaves behind; each in a process of its own."""

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


ABSENT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def absent_with(*wanted: str) -> set[str]:
    """The packages that are there, and would not be if these alone were installed, with what they need."""
    needed, names = set(), list(wanted)
    while names:
        requirement = Requirement(names.pop())
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key not in needed:
            needed.add(key)
            for text in requires(requirement.name) or ():
                marker = Requirement(text).marker
                if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
                    names.append(text)
    kept = {name for name, _ in needed}
    packages = packages_distributions()
    return {each for each, owners in packages.items() if kept.isdisjoint(map(canonicalize_name, owners))}


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


def test_every_dock_opens_with_this_package_and_napari_alone(fresh):
    absent = absent_with("napari-seg-trainer", "napari[pyqt6]")
    assert absent >= {"stardist", "tensorflow", "cellpose", "torch", "pytest"}
    assert absent.isdisjoint({"appose", "pyqtgraph", "napari", "superqt"})
    told = fresh(ABSENT.format(absent=absent) + OPEN_ALL)
    assert len(told["seconds"]) == 4


def test_opening_every_dock_imports_no_framework_and_leaves_nothing(fresh, tmp_path):
    told = fresh(OPEN_ALL)
    total = sum(told["seconds"].values())
    print(f"\nall docks opened in {total:.2f} s: " + ", ".join(f"{k} {v:.2f} s" for k, v in told["seconds"].items()))
    assert told["loaded"] == []
    assert told["threads"] == []
    assert told["children"] == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []
