"""The documentation: its commands and code run, its links lead somewhere, and its page of messages is complete."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_seg_trainer import pages
from napari_seg_trainer.paths import HOME_VARIABLE
from testkit.pages_data import colour_images, write_images

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^ *```(?P<language>bash|python)(?P<options>[^\n]*)\n(?P<code>.*?)^ *```", re.M | re.S)
_SHORT = " --epochs 1 --batch-size 2"
"""What is added to each training here, which would else last until nothing improves."""
ELSEWHERE = {
    "how-to/gpu.md": ["nvidia-smi", 'uv pip install --torch-backend=auto "napari-seg-trainer[all]"'],
}
"""What is not run: it needs hardware, or another system."""
ORDER = ("tutorial.md", "how-to/", "how-good.md", "troubleshooting.md", "concepts.md", "reference/")

if not DOCS.is_dir():
    pytest.skip("the pages are not here", allow_module_level=True)


@dataclass(frozen=True)
class Block:
    """A piece of code on a page."""

    page: str
    language: str
    code: str
    is_run: bool

    def __str__(self):
        return f"{self.page}: {self.code.strip().splitlines()[0]}"


def blocks():
    """The code of all pages for users, in the order in which they are read."""
    paths = sorted(DOCS.rglob("*.md"), key=lambda path: (place(path), path))
    for path in paths:
        name = path.relative_to(DOCS).as_posix()
        if name in ("architecture.md", "benchmarks.md"):  # for developers, with placeholders
            continue
        for found in _FENCE.finditer(path.read_text(encoding="utf-8")):
            yield Block(name, found["language"], found["code"], 'test="hardware"' not in found["options"])


def place(path):
    name = path.relative_to(DOCS).as_posix()
    return next((i for i, start in enumerate(ORDER) if name.startswith(start)), len(ORDER))


ALL = list(blocks())


def test_what_is_not_run_is_listed():
    left_out = {}
    for block in ALL:
        if not block.is_run:
            left_out.setdefault(block.page, []).append(block.code.strip())
    assert left_out == ELSEWHERE


@pytest.fixture(scope="module")
def place_to_work(tmp_path_factory):
    """A folder with all that the pages speak of, and a library of its own."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("annotations_nuclei", "annotations_nuclei_test"):
        write_images(folder / name, channels=("dapi",), seed=len(name))
    write_images(folder / "annotations_cells", channels=("actin", "dapi"))
    write_images(folder / "annotations_tissue", channels=("red", "green", "blue"))
    for name in ("new_images", "frames", "cells"):
        channels = ("actin", "dapi") if name == "cells" else ("dapi",)
        write_images(folder / name, channels=channels)
        for mask in (folder / name).glob("*_labelled.tif"):
            mask.unlink()
    colour_images(folder / "tissue")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in ALL if block.is_run], ids=str)
def test_it_runs(block, place_to_work):
    program = Path(sys.executable).parent
    environment = {
        **os.environ,
        HOME_VARIABLE: str(place_to_work / "home"),
        "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    code = re.sub(r" --minutes \d+", "", block.code)
    code = re.sub(r"^(napari-seg-trainer train [^\n]*)$", rf"\1{_SHORT}", code, flags=re.M)
    command = [sys.executable, "-c", code] if block.language == "python" else ["bash", "-ec", code]
    done = subprocess.run(command, cwd=place_to_work, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("typer")
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "scripts" / "docs_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_message_that_names_a_way_out_has_its_entry(hooks):
    page = hooks.messages_page()
    found = list(hooks.messages())
    assert len(found) > 150
    assert {topic for topic, _, _ in found} >= {"Trainings", "Models and the library", "Images and annotation folders"}
    for _, wrong, way_out in found:
        assert f"| {hooks._cell(wrong)} | {hooks._cell(way_out)} |" in page
    assert "Export annotations into it, or choose another folder." in page


def test_every_command_has_its_entry(hooks):
    page = hooks.commands_page()
    for command in ("train", "segment", "evaluate", "keep", "export-bioimageio"):
        assert f"### {command}\n" in page
    assert "`--simple-method`" in page
    assert "`--learning-rate" in page


def test_what_links_to_a_page_finds_it():
    names = {value: name for name, value in vars(pages).items() if isinstance(value, str) and value.startswith("http")}
    for address in names:
        inside = address.removeprefix(pages.SITE).strip("/")
        assert (DOCS / f"{inside or 'index'}.md").is_file()
    configured = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"site_url: {pages.SITE}/" in configured


def test_what_troubleshooting_quotes_is_said_by_the_program(hooks):
    said = {text.text.replace("{…}", "…") for text in sys.modules["list_texts"].all_texts()}
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quotes = [quote for heading in re.findall(r"^### (.*)$", page, re.M) for quote in re.findall(r'"([^"]+)"', heading)]
    assert len(quotes) > 10
    for quote in quotes:
        pieces = [piece.strip() for piece in quote.split("…") if piece.strip()]
        assert any(all(piece in text for piece in pieces) for text in said), quote
