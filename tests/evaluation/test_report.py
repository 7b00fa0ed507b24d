import base64
import re
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.evaluation.report import Example, ReportData, page_anew, write_report
from napari_seg_trainer.evaluation.report_page import methods
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.schema.events import EpochEnded
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

CARD = ModelCard(
    name="my-nuclei",
    engine="stardist",
    created=datetime(2026, 1, 2, tzinfo=UTC),
    channels=(ModelChannel(name="DNA <b>&"),),
    pixel_size=0.325,
    epochs=40,
    best_epoch=31,
    training_images=12,
    validation_images=3,
    seed=5,
    versions={"stardist": "0.9.2"},
    hyperparameters={"rays": 32},
)
HOSTILE = "<script>alert(1)</script> $x_{$ 細胞"


@pytest.fixture(scope="module")
def labels():
    labels = np.zeros((40, 60), np.int32)
    for i, (y, x) in enumerate(np.ndindex(3, 4)):
        labels[2 + 12 * y : 11 + 12 * y, 3 + 14 * x : 13 + 14 * x] = i + 1
    return labels


@pytest.fixture(scope="module")
def written(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("report")
    prediction = np.roll(labels, 1, 1)
    epochs = [
        EpochEnded(epoch=i, metrics={"loss": 1 / i, "val_loss": 2 / i}, learning_rate=1, is_best=True, seconds=1)
        for i in (1, 2)
    ]
    empty = np.zeros((4, 4), int)
    scores = Scores.of([score_image(HOSTILE, labels, prediction), score_image("void", empty, empty)])
    examples, citations = [Example(HOSTILE, labels * 20, labels, prediction)], engine_spec(CARD.engine).citations
    write_report(folder, CARD, epochs, examples, scores, citations=citations)
    return folder


class _Balance(HTMLParser):
    """Notes tags that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_only_the_report_is_written(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "curves.png",
        "examples.png",
        "report.html",
        "report.json",
        "report.pdf",
    ]


def test_the_page_is_made_anew_of_its_numbers(written):
    citations = engine_spec(CARD.engine).citations
    data = ReportData.model_validate_json((written / "report.json").read_bytes())
    anew = page_anew(CARD, data, (written / "examples.png").read_bytes(), citations)
    assert anew.decode() == (written / "report.html").read_text(encoding="utf-8")


def test_without_numbers_the_page_tells_the_card(written):
    page = page_anew(CARD, None).decode()
    assert "<img" not in page
    assert "DNA &lt;b&gt;&amp;" in page


def test_the_pdf_has_a_page_of_text_and_one_for_each_figure(written):
    content = (written / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") == 3


def test_methods_are_ready_for_a_paper():
    card = CARD.replace(parent="2D_versatile_fluo", scores={"ap50": 0.9, "ap70": 0.75}, test_images=4)
    card = card.replace(test_scores={"ap50": 0.8}, hyperparameters={"epochs": 40, "learning_rate": 0.001, "rays": 32})
    assert methods(card) == (
        "A model of the kind stardist was trained with napari-seg-trainer (stardist 0.9.2), starting from "
        "2D_versatile_fluo, on 12 annotated images; 3 validated. Channels were DNA <b>& "
        "(percentiles 1 to 99.8 become 0 to 1). All images were brought to 0.325 µm per pixel. Parameters: epochs 40, "
        "learning rate 0.001, seed 5; the weights are those of epoch 31. Average precision on 3 validation images was "
        "0.900 at IoU 0.5, 0.750 at IoU 0.7. Average precision on 4 test images was 0.800 at IoU 0.5."
    )
    alone = ModelCard(name="a", engine="b", created=datetime(2026, 1, 2, tzinfo=UTC), channels=())
    assert "from scratch" in methods(alone)


def test_page_is_well_formed_and_needs_no_other_file(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    balance = _Balance()
    balance.feed(page)
    assert (balance.open, balance.wrong) == ([], [])
    sources = re.findall(r'src="([^"]*)"', page)
    assert [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources] == [
        (written / "curves.png").read_bytes(),
        (written / "examples.png").read_bytes(),
    ]
    assert "http" not in page


def test_names_are_escaped(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; $x_{$ 細胞" in page
    assert "DNA &lt;b&gt;&amp;: percentiles 1 to 99.8 become 0 to 1" in page


@pytest.mark.parametrize(
    "fact",
    [
        "<td>stardist</td>",
        "<td>0.325 µm</td>",
        "<th>Best epoch (used for the model)</th><td>31</td>",
        "<th>Seed</th><td>5</td>",
        "<th>Version of stardist</th><td>0.9.2</td>",
        "<th>Hyperparameter rays</th><td>32</td>",
        "from 12 images; 3 more for validation",
        "MICCAI 2018",
        "WACV 2020",
        "<tr><td>0.5</td><td>12</td><td>0</td><td>0</td><td>1.000</td>",
        "<td>void</td><td>0</td><td>–</td>",
    ],
)
def test_page_tells(written, fact):
    assert fact in (written / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("sources", [("A. Author & co. 2020.", "B. Other 2021."), ()])
def test_what_is_to_be_cited_is_told(tmp_path, sources):
    page = write_report(tmp_path, CARD, [], [], Scores.of([]), citations=sources).read_text(encoding="utf-8")
    assert ("How to cite" in page) == bool(sources)
    assert all(f"<li>{escape(source)}</li>" in page for source in sources)
    assert "No images were evaluated." in page


def test_a_second_report_replaces_the_first(tmp_path):
    for seed in (5, 99):
        page = write_report(tmp_path, CARD.replace(seed=seed), [], [], Scores.of([]))
    assert "<th>Seed</th><td>99</td>" in page.read_text(encoding="utf-8")
