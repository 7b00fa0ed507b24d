"""Reports of models from elsewhere: nothing of theirs that could run is kept, and what it showed is shown."""

import json
import zipfile

import pytest

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.report import ReportData, write_report
from napari_seg_trainer.evaluation.scores import ImageScore, Scores
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.reports import has_report, report_of
from napari_seg_trainer.schema.events import EpochEnded

SCRIPT = b"<script>alert('a stranger')</script>"
LITTER = (
    "report.pdf",
    "run.sh",
    "x.desktop",
    "figures/page.HTML",
    "setup.exe",
    "a.js",
    "b.svg",
    "c.bat",
    "d.lnk",
    "e.py",
)
SCORES = Scores.of(
    [ImageScore(image="<b>one", matchings=tuple(Matching(iou, 3, 1, 1, 2.5) for iou in (0.5, 0.7, 0.9)))]
)
EVENTS = [
    EpochEnded(epoch=n, metrics={"loss": 1 / n, "val_loss": 1 / n}, learning_rate=0.1, is_best=True, seconds=1)
    for n in (1, 2, 3)
]


@pytest.fixture
def sent(tmp_path, make_card, make_finished):
    """A model as a stranger sends it, all of whose files are on its card."""
    finished = make_finished()
    card = make_card(scores=SCORES.pooled, verdict=("It is <i>good</i>.",))
    write_report(finished, card, EVENTS, [], SCORES)
    (finished / "report.html").write_bytes(SCRIPT)
    for name in LITTER:
        (finished / name).parent.mkdir(exist_ok=True)
        (finished / name).write_bytes(b"echo a stranger")
    theirs = ModelLibrary(tmp_path / "theirs" / "models").register(finished, card)
    return export_model(theirs, tmp_path / "sent.segmodel")


@pytest.fixture
def mine(home):
    return ModelLibrary()


@pytest.mark.parametrize("unpacked", [False, True])
def test_nothing_that_a_click_would_run_is_taken_in(sent, mine, tmp_path, unpacked):
    if unpacked:
        with zipfile.ZipFile(sent) as archive:
            archive.extractall(tmp_path / "unpacked")
        (sent,) = (tmp_path / "unpacked").iterdir()
    model = import_model(sent, mine)
    names = {path.relative_to(model.folder).as_posix() for path in model.folder.rglob("*") if path.is_file()}
    assert not names & {"report.html", *LITTER}
    assert {"weights_best.h5", "config.json", "report.json", "curves.png"} <= names
    assert set(model.card.files) == names - {"model_card.json", "config_input.json"}  # which others look for
    model.verify()
    assert import_model(sent, mine) == model  # it is not copied again


def test_its_report_is_made_anew(sent, mine):
    model = import_model(sent, mine)
    page = report_of(model)
    text = page.read_text(encoding="utf-8")
    assert not page.is_relative_to(mine.folder)
    assert "<script" not in text
    assert "It is &lt;i&gt;good&lt;/i&gt;." in text
    assert "&lt;b&gt;one" in text
    assert text.count("data:image/png;base64") == 1
    assert report_of(model) == page
    renamed = mine.rename(model.name, "other")
    assert report_of(renamed) != page


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"scores": 1}', b"\xff", b"[" * 100_000, None])
def test_numbers_that_are_none_leave_the_card(sent, mine, content):
    model = import_model(sent, mine)
    path = model.folder / "report.json"
    path.unlink() if content is None else path.write_bytes(content)
    (model.folder / "examples.png").write_bytes(SCRIPT)
    text = report_of(model).read_text(encoding="utf-8")
    assert "It is &lt;i&gt;good&lt;/i&gt;." in text
    assert "data:image" not in text


def test_a_model_without_scores_has_none(mine, make_finished, make_card):
    model = mine.register(make_finished(), make_card())
    assert not has_report(model)
    with pytest.raises(LibraryError, match="has no report"):
        report_of(model)


def test_the_page_that_a_training_wrote_is_shown(mine, make_finished, make_card):
    finished = make_finished()
    write_report(finished, make_card(), EVENTS, [], SCORES)
    model = mine.register(finished, make_card())
    assert report_of(model) == model.folder / "report.html"
    assert json.loads((model.folder / "report.json").read_text())["events"][0]["epoch"] == 1
    assert ReportData.model_validate_json((model.folder / "report.json").read_bytes()).scores == SCORES
