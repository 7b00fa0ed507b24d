"""What the docks cost a napari viewer: the time to open each, to export a large image, and how fluid it stays.

Each question is answered in a fresh process, in a real viewer. On a machine without a screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/viewer.py
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import machine

TRAINING = {"epochs": 6, "batch_size": 4, "augmentation": 2.0, "patch_size": 128, "filters": 16}
TIMER_MILLISECONDS = 5
OBJECTS = 2000
SIDE = 2048


def main() -> None:
    """Ask each question, several times where it is about time, and print the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="how often to open the docks and to export")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=sorted(QUESTIONS), help="ask this alone, once, and print it as JSON")
    parser.add_argument("--ask", choices=sorted(QUESTIONS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        sys.stdout.write(json.dumps(QUESTIONS[options.ask]()) + "\n")
        return
    if options.only:
        sys.stdout.write(json.dumps({"machine": machine(), **ask(options.only)}, indent=1) + "\n")
        return
    opened = [ask("open") for _ in range(options.repeat)]
    exported = [ask("export") for _ in range(options.repeat)]
    result = {
        "machine": machine(),
        "open_seconds": {title: statistics.median(each[title] for each in opened) for title in opened[0]},
        "export_seconds": statistics.median(each["seconds"] for each in exported),
        "training": ask("training"),
        "buttons": ask("buttons"),
        "layers": ask("layers"),
    }
    sys.stdout.write((json.dumps(result) if options.json else told(result)) + "\n")


def told(result: dict[str, Any]) -> str:
    """Return the answers for people."""
    lines = [str(result["machine"])]
    lines += [f"opening {title!r}: {seconds:.2f} s" for title, seconds in result["open_seconds"].items()]
    lines.append(f"opening all: {sum(result['open_seconds'].values()):.2f} s")
    lines.append(f"exporting {SIDE} × {SIDE} pixels with {OBJECTS:,} objects: {result['export_seconds']:.2f} s")
    training = result["training"]
    lines.append(
        f"a {TIMER_MILLISECONDS} ms timer during a training of {training['seconds']:.0f} s: longest gap "
        f"{training['longest_gap']:.0f} ms, 99.9 % below {training['gap_999']:.0f} ms ({training['ticks']:,} ticks)"
    )
    buttons = result["buttons"]
    lines.append("longest gap after a click on each button:")
    lines += [f"{gap:6.0f} ms  {name}" for name, gap in sorted(buttons["gaps"].items(), key=lambda one: -one[1])]
    lines.append("longest gap while napari adds a sample's layers by itself, without a dock:")
    lines += [f"{gap:6.0f} ms  {name}" for name, gap in result["layers"]["gaps"].items()]
    lines.append(f"left out, as they open a dialog of the system: {', '.join(buttons['left_out'])}")
    return "\n".join(lines)


def ask(question: str) -> dict[str, Any]:
    """Answer one question in a fresh process, with an empty home."""
    with TemporaryDirectory() as home:
        environment = os.environ | {"NAPARI_SEG_TRAINER_HOME": home, "NAPARI_CONFIG": ""}
        command = [sys.executable, __file__, "--ask", question]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def viewer_at_rest() -> Any:
    """Return a viewer that has drawn itself."""
    import napari

    viewer = napari.Viewer(show_welcome_screen=False)
    until(lambda: False, 1.0)
    return viewer


def until(done: Callable[[], bool], seconds: float) -> None:
    """Let the viewer work until `done` or for so many seconds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def open_docks() -> dict[str, float]:
    """Time each dock, from the command to the first picture of it."""
    from qtpy.QtWidgets import QApplication

    from napari_seg_trainer.napari_plugin.parts import docks

    viewer, seconds = viewer_at_rest(), {}
    for title in (docks.EXPORT, docks.TRAIN, docks.SEGMENT, docks.LIBRARY):
        began = time.perf_counter()
        docks.open_dock(viewer, title)
        QApplication.processEvents()
        seconds[title] = time.perf_counter() - began
    viewer.close()
    return seconds


def export_large() -> dict[str, float]:
    """Time an export, from the click to the files."""
    from napari_seg_trainer.napari_plugin.parts import docks

    viewer = viewer_at_rest()
    labels = discs()
    noise = np.random.default_rng(0).normal(100, 10, labels.shape)
    viewer.add_image((noise + 1000 * (labels > 0)).astype(np.uint16), name="nuclei", scale=(0.5, 0.5), units="um")
    viewer.add_labels(labels, name="labels", scale=(0.5, 0.5), units="um")
    dock = docks.open_dock(viewer, docks.EXPORT)
    with TemporaryDirectory() as folder:
        dock.form.folder.line_edit.value = folder
        until(lambda: False, 1.0)
        target = Path(folder) / "annotations_labels" / "nuclei.tif"
        began = time.perf_counter()
        dock.button.click()
        until(lambda: bool(list(Path(folder).glob("annotations_*/*[!d].tif"))), 60)
        seconds = time.perf_counter() - began
        until(dock.button.isVisible, 60)
        assert list(target.parent.parent.glob("annotations_*/*_labelled.tif")), "nothing was exported"
    viewer.close()
    return {"seconds": seconds}


def discs() -> np.ndarray:
    """Return labels of 2,000 discs of 24 pixels across."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, columns = np.indices((24, 24)) - 11.5
    disc = rows**2 + columns**2 < 11**2
    step = SIDE // 45
    for number in range(OBJECTS):
        y, x = divmod(number, 45)
        labels[y * step : y * step + 24, x * step : x * step + 24][disc] = number + 1
    return labels


def train_and_watch() -> dict[str, float]:
    """Measure the gaps of a timer while a StarDist training runs and is shown."""
    from qtpy.QtCore import Qt, QTimer

    from napari_seg_trainer.api import make_job
    from napari_seg_trainer.napari_plugin.parts import docks

    viewer = viewer_at_rest()
    viewer.open_sample(docks.PLUGIN, "nuclei")
    dock = docks.open_dock(viewer, docks.TRAIN)
    dock.job_form.set_value(
        make_job(
            name="watched", engine="stardist", pretrained=None, builtin=("nuclei_dsb2018",), hyperparameters=TRAINING
        )
    )
    until(dock.form_page.button.isEnabled, 60)
    until(lambda: dock.job_form.data.survey is not None, 60)
    ticks: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(TIMER_MILLISECONDS)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start()
    dock.form_page.button.click()
    wait_for_end(dock)
    timer.stop()
    viewer.close()
    gaps = np.diff(ticks) * 1000
    return {
        "seconds": ticks[-1] - ticks[0],
        "ticks": len(ticks),
        "longest_gap": float(gaps.max()),
        "gap_999": float(np.percentile(gaps, 99.9)),
        "long": [(round(float(ticks[i] - ticks[0]), 2), round(float(gaps[i]))) for i in np.flatnonzero(gaps > 50)],
    }


def wait_for_end(dock: Any) -> None:
    """Run the event loop itself until the training has ended, as napari does."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, looker = QEventLoop(), QTimer()
    looker.setInterval(200)
    looker.timeout.connect(lambda: loop.quit() if dock.run_view is not None and dock.run_view.outcome.text else None)
    looker.start()
    QTimer.singleShot(900_000, loop.quit)
    loop.exec_() if hasattr(loop, "exec_") else loop.exec()
    looker.stop()
    assert "in the library" in dock.run_view.outcome.text, dock.run_view.outcome.text


def press_buttons() -> dict[str, Any]:
    """Press every button of the docks, and measure the gaps of a timer."""
    from buttons import measure

    presses = measure()
    return {"gaps": presses.gaps, "left_out": sorted(presses.left_out)}


def add_layers() -> dict[str, Any]:
    """Add layers without a dock, and measure the gaps of a timer."""
    from buttons import measure_napari

    return {"gaps": measure_napari().gaps}


QUESTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "buttons": press_buttons,
    "open": open_docks,
    "export": export_large,
    "layers": add_layers,
    "training": train_and_watch,
}

if __name__ == "__main__":
    main()
