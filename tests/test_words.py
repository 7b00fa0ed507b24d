"""The texts that users see are in the terms of the field, and personify nothing."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "list_texts.py"
UNWANTED = re.compile(
    r"\b(teach\w*|taught|told|mend(s|ed|ing)?|by heart|so many|shall|beaten|roundish|knobbly|speaks? for|settled?)\b"
    r"|(?<!there )\bis no\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def texts():
    if not SCRIPT.is_file():
        pytest.skip("the scripts are not here")
    spec = importlib.util.spec_from_file_location("list_texts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["list_texts"] = module
    spec.loader.exec_module(module)
    return list(module.all_texts())


def test_texts_of_all_kinds_are_listed(texts):
    found = {text.text for text in texts}
    assert "Train a segmentation model" in found  # a dock's title
    assert any(text.startswith("Segment images with a trained model.") for text in found)  # a command's help
    assert "Folder '{…}' is empty. Export annotations into it, or choose another folder." in found  # an error
    assert "Batch size" in found  # a field of a form
    assert any(text.place.endswith(("report.html.jinja:45", "report.html.jinja:48")) for text in texts)
    assert not any("Raises ------" in text for text in found)  # what only developers read
    assert len(texts) > 1000


def test_each_has_its_place(texts):
    for text in texts[:: len(texts) // 20]:
        path, _, line = text.place.rpartition(":")
        words = re.split(r"\{.*?\}|\s+", text.text)
        beside = (SCRIPT.parents[1] / path).read_text(encoding="utf-8").splitlines()[int(line) - 1 : int(line) + 8]
        assert max(words, key=len).split("…")[0] in "\n".join(beside)


def test_no_text_has_an_unwanted_word(texts):
    assert [f"{text.place}: {text.text}" for text in texts if UNWANTED.search(text.text)] == []


@pytest.mark.parametrize(
    ("text", "unwanted"),
    [
        ("This mends it", True),
        ("a recommended value", False),
        ("There is no model", False),
        ("the model is no use", True),
    ],
)
def test_unwanted_words_are_found(text, unwanted):
    assert bool(UNWANTED.search(text)) is unwanted


def test_the_list_can_be_printed():
    shown = subprocess.run([sys.executable, SCRIPT, "--json"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("[")
    assert "Batch size" in shown.stdout
