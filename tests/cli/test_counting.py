"""What a command shows on a screen while it works."""

import io
import os
import re
import subprocess

import pytest
from rich.console import Console

from napari_seg_trainer.cli import counting as module
from napari_seg_trainer.cli.counting import counting

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def screen(monkeypatch):
    """Show bars in a text; ``screen(True)`` is a screen."""

    def make(is_screen):
        console = Console(file=io.StringIO(), force_terminal=is_screen, width=100)
        monkeypatch.setattr(module, "out", console)
        monkeypatch.setattr(module, "err", console)
        return console

    return make


def on_screen(written):
    """What can be seen of each line in the end: what a carriage return or an erasure has not replaced."""
    return [re.split(r"\r|\x1b\[2K", line)[-1] for line in written.replace("\r\n", "\n").split("\n")]


@pytest.mark.parametrize(("parts", "note"), [(False, "3 of 12"), (True, "25%")])
def test_a_screen_shows_how_far_it_is(screen, parts, note):
    console = screen(True)
    with counting("segmenting", parts=parts) as progress:
        progress(3, 12)
    shown = _STYLE.sub("", console.file.getvalue())
    assert "loading the model…" in shown
    assert f"{note} " in shown.split("segmenting…")[-1]


def test_without_a_screen_nothing_is_shown(screen):
    console = screen(False)
    with counting("segmenting") as progress:
        progress(3, 12)
    assert console.file.getvalue() == ""


def test_of_nothing_all_is_done(screen):
    screen(True)
    with counting("exporting", parts=True) as progress:
        progress(0, 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_lines_stand_above_the_bar(toy_model, annotation_folder, command, tmp_path, words):
    toy_model("bright")
    images = sorted(annotation_folder().glob("cell_??.tif"))
    ours, theirs = os.openpty()
    asked = command("segment", "bright", *images, "-o", tmp_path / "out", "--pixel-size", "0.5", *words)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    written = b""
    with subprocess.Popen(asked, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            while read := os.read(ours, 4096):
                written += read
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    begin = '{"image": "' if words else "cell_"
    told = [line for line in on_screen(written.decode()) if "objects" in line]
    assert len(told) == len(images) == 4
    assert all(line.startswith(begin) for line in told), told
    assert "segmenting…" in written.decode()
