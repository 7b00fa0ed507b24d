"""The form of a training, filled in as a user does it."""

import json
import re
import sys
from datetime import UTC, date, datetime
from html import unescape
from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QLabel

from napari_seg_trainer.cli.demo import DATASET, demo_job
from napari_seg_trainer.engines.registry import engine_spec, parse_parameters
from napari_seg_trainer.engines.stardist.spec import LOWEST_RATE, RATE, TUNING_RATE
from napari_seg_trainer.errors import EngineError, JobError, LibraryError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.train.job_form import JobForm
from napari_seg_trainer.napari_plugin.train.pretrained_field import AUTOMATICALLY, FILE, FOLDER, SCRATCH
from napari_seg_trainer.napari_plugin.train.start_look import LOOKING
from napari_seg_trainer.napari_plugin.train.which_engine import GPU, WIDE
from napari_seg_trainer.paths import downloads_folder
from napari_seg_trainer.runs.dataset import open_dataset
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.job import (
    AUTOMATIC,
    LEAST_EPOCHS,
    MOST_EPOCHS,
    ChannelInput,
    Normalization,
    TrainingFacts,
    TrainingJob,
)
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

LEFT = Qt.MouseButton.LeftButton
BY_VALUES = Normalization(mode="values", low=0, high=4000, clip=True)
BUILTIN = "2D_versatile_fluo"


@pytest.fixture
def form(docked, viewer_model):
    return docked(JobForm(viewer_model))


@pytest.fixture
def settled(form, qtbot):
    """Wait until nothing is done in the background any more."""

    def is_settled():
        looked = form.data.is_empty() or form.data.survey is not None
        return looked and "Reading the pretrained" not in form.pretrained.reason()

    return lambda: qtbot.waitUntil(is_settled)


@pytest.fixture
def stardist_model(home, tmp_path):
    """Put a StarDist model into the library, as far as a form looks at it."""

    def make(name="parent", channels=("gfp",), **fields):
        finished = tmp_path / f"finished-{name}"
        finished.mkdir()
        (finished / "weights_best.h5").write_bytes(b"weights")
        inputs = tuple(ModelChannel(name=channel, normalization=BY_VALUES) for channel in channels)
        learned = {"epochs": 7, "early_stopping": None, "filters": 16, "grid": 2, "rays": 64, "batch_size": 8, "old": 1}
        fields = {"pixel_size": 0.25, "hyperparameters": learned} | fields
        card = ModelCard(name=name, engine="stardist", created=datetime.now(UTC), channels=inputs, **fields)
        return ModelLibrary().register(finished, card)

    return make


@pytest.fixture
def lacking(tmp_path, monkeypatch):
    """Install an engine that needs what is not installed, with parameters of every kind."""
    site = tmp_path / "site"
    info = site / "lacking-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lacking_engine.py").write_text(
        """
from typing import Literal
from pydantic import Field
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.schema.job import Hyperparameters

class Parameters(Hyperparameters):
    learning_rate: float = Field(0.5, gt=0, title="Learning rate", description="Elsewhere it is smaller.")
    flips: bool = Field(True, title="Flip the images", description="Mirror them, too.")
    size: Literal["small", "large"] | None = Field(None, title="Size", description="Of the network.")
    tag: str = Field("", title="Tag", description="Anything.")

SPEC = EngineSpec("lacking", "Lacking", "Nothing at all.", Parameters, (1, 2), "lacking_engine:Engine",
                  ("no_such_framework",), "python -m pip install lacking")
"""
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lacking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[napari_seg_trainer.engines]\nlacking = lacking_engine:SPEC\n")
    monkeypatch.syspath_prepend(site)
    return "lacking"


def foreign_model(folder, channels=1):
    """The files of a plain StarDist model, as far as they are looked at."""
    folder.mkdir(parents=True)
    config = {"n_rays": 32, "grid": [2, 2], "n_channel_in": channels, "unet_n_depth": 3, "train_epochs": 400}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "weights_best.h5").write_bytes(b"weights")
    return folder


def choose(box, text):
    """Choose in a drop-down, as a click does."""
    box = box if isinstance(box, QComboBox) else box.native
    place = box.findText(text)
    assert place >= 0, [box.itemText(i) for i in range(box.count())]
    box.setCurrentIndex(place)
    box.activated.emit(place)


def box_of(check_box):
    return QPoint(8, check_box.native.height() // 2)


def texts(box):
    return [box.itemText(i) for i in range(box.count())]


def field(form, name):
    """A field of the sections that fold."""
    forms = (form.inputs._pixel_size.form, form.training.basic.form, form.training.more.form)
    return next(each.field(name) for each in forms if name in each.asdict())


def red(form):
    """All red lines, folded away or not."""
    forms = (form.form, form.inputs._pixel_size.form, form.training.basic.form, form.training.more.form)
    return {name: text for each in forms for name, text in each.reasons.items()}


def folder_line(form, place=0):
    return form.data.list._rows[place].line


def test_a_biologist_chooses_a_folder_and_may_train(form, settled, annotation_folder, qtbot):
    assert form.reasons() == {"data": "Choose a folder of annotated images, or add built-in images."}
    assert red(form) == {}
    folder = annotation_folder("annotations_nuclei", images=5, channels=("dapi", "actin"))
    with qtbot.waitSignal(form.changed):
        folder_line(form).setText(str(folder))
    settled()
    assert form.reasons() == {}
    assert form.value() == TrainingJob(name=f"nuclei-{date.today()}", engine="stardist", data=(folder,))
    assert form.data.status.text().startswith("5 images of 96 × 96 pixels; 80 objects; layout: Celldetective; dapi (")
    assert form.input_section.text() == "Channels and normalization (dapi, actin)"
    assert form.training_section.text() == "Training (≤ 500 epochs, batch size 8)"
    assert field(form, "pixel_size").native.placeholderText() == "0.5 from the images"
    assert not form.input_section.isExpanded()


def test_what_is_automatic_is_shown_as_the_training_will_take_it(form, settled, annotation_folder):
    shown = {name: field(form, name).native for name in ("epochs", "learning_rate", "patch_size", "rays", "depth")}
    assert {line.placeholderText() for line in shown.values()} == {"automatic"}
    assert form.training_section.text() == "Training (until it no longer improves, batch size 8)"
    form.add_data(annotation_folder("annotations_nuclei", images=7, shape=(200, 200)))
    settled()
    field(form, "augmentation").native.setText("10")
    field(form, "job:validation_split").native.setText("0.5")
    job = form.value()
    dataset = open_dataset(job, None, lambda *_: None)
    diameters, extents = dataset.object_sizes()
    shapes = [image.facts.shape[1:] for image in dataset.side(dataset.split.training)]
    facts = TrainingFacts(shapes, diameters, extents)
    taken = parse_parameters(engine_spec(job.engine), job.hyperparameters).completed(facts)
    assert LEAST_EPOCHS < taken.epochs < MOST_EPOCHS
    told = {name: line.placeholderText() for name, line in shown.items()}
    texts = {name: f"{getattr(taken, name):g} (auto)" for name in shown}
    assert told == texts | {"epochs": f"≤ {taken.epochs} (auto)"}
    assert field(form, "grid").native.itemText(0) == f"{taken.grid} (auto)"
    form.training_section.expand(animate=False)
    form.training.more_section.expand(animate=False)
    field(form, "grid").reset_choices()  # as magicgui does where a field gets another parent
    assert field(form, "grid").native.currentText() == f"{taken.grid} (auto)"
    for line in (shown["learning_rate"], shown["epochs"]):
        assert line.fontMetrics().horizontalAdvance(line.placeholderText()) < line.width() - 8
    field(form, "grid").native.setCurrentIndex(1)
    assert form.value().hyperparameters["grid"] == 1
    field(form, "grid").native.setCurrentIndex(0)
    assert "grid" not in form.value().hyperparameters
    field(form, "augmentation").native.setText("many")
    assert shown["epochs"].placeholderText() == "automatic"


def test_how_long_it_takes_is_chosen(form, settled, annotation_folder):
    form.add_data(annotation_folder("annotations_nuclei", images=7, shape=(200, 200)))
    settled()
    length, epochs, minutes = (field(form, name) for name in ("length", "epochs", "minutes"))
    form.training_section.expand(animate=False)
    assert length.native.currentText() == "until best"
    assert not minutes.visible
    choose(length, "minutes")
    assert form.value().hyperparameters == {"minutes": 10}
    assert minutes.visible
    assert (epochs.enabled, epochs.native.placeholderText()) == (False, "measured")
    assert form.training_section.text() == "Training (about 10 minutes, batch size 8)"
    minutes.native.setText("")
    assert red(form)["minutes"] == "Enter how many minutes the training may take."
    assert minutes.visible
    minutes.native.setText("2.5")
    assert form.value().hyperparameters == {"minutes": 2.5}
    choose(length, "epochs")
    assert form.value().hyperparameters == {"epochs": 500}
    assert (epochs.enabled, minutes.visible) == (True, False)
    epochs.native.setText("20")
    assert form.training_section.text() == "Training (20 epochs, batch size 8)"
    epochs.native.setText("")  # what follows is typed next
    assert (form.value().hyperparameters, length.value) == ({}, "improving")
    epochs.native.setText("3")
    assert (form.value().hyperparameters, length.value) == ({"epochs": 3}, "epochs")
    choose(length, "until best")
    assert form.value().hyperparameters == {}
    assert epochs.native.placeholderText() == "≤ 500 (auto)"


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({}, "improving"),
        ({"minutes": 3}, "minutes"),
        ({"epochs": 3}, "epochs"),
        ({"epochs": 3, "minutes": 3}, "epochs"),
        ({"epochs": None, "minutes": 3}, "minutes"),
    ],
)
def test_a_job_shows_how_long_it_takes(form, annotation_folder, given, length):
    job = TrainingJob(name="again", engine="stardist", data=(annotation_folder(images=3),), hyperparameters=given)
    form.set_value(job)
    assert field(form, "length").value == length
    assert form.value().hyperparameters == given


def test_the_starter_that_finds_the_objects_is_proposed(real_look, form, settled, qtbot):
    box = form.pretrained.box
    assert texts(box)[:2] == [AUTOMATICALLY, SCRATCH]
    choose(form.data.list.builtin_box, DATASET)
    settled()
    assert form.pretrained._note.text() == LOOKING.reason
    qtbot.waitUntil(lambda: box.currentText() == "nuclei_fluorescence (auto)")
    assert form.pretrained._note.text().startswith("Starts from nuclei_fluorescence, which finds ")
    assert form.value().pretrained == AUTOMATIC
    rate = field(form, "learning_rate").native.placeholderText()
    assert LOWEST_RATE < float(rate.removesuffix(" (auto)")) < TUNING_RATE
    field(form, "rays").native.setText("64")
    qtbot.waitUntil(lambda: box.currentText() == "from scratch (auto)")
    assert form.pretrained._note.text() == "Starts from scratch, because the network architecture is set."
    assert field(form, "learning_rate").native.placeholderText() == f"{RATE:g} (auto)"
    choose(box, SCRATCH)
    assert form.value().pretrained is None
    assert form.pretrained._note.text() == ""
    assert field(form, "inverted").native.itemText(0) == "no (auto)"


def test_of_a_model_that_is_chosen_is_shown_what_it_finds(real_look, form, settled, qtbot):
    choose(form.data.list.builtin_box, DATASET)
    choose(form.pretrained.box, "nuclei_fluorescence (built in)")
    settled()
    assert field(form, "keep").native.placeholderText() == "automatic"
    qtbot.waitUntil(lambda: "Starts from nuclei_fluorescence, which finds" in form.pretrained._note.text())
    assert form.pretrained._note.text().startswith("StarDist")
    kept = field(form, "keep").native.placeholderText()
    assert 0.5 < float(kept.removesuffix(" (auto)")) < 0.65
    assert form.value().pretrained == "nuclei_fluorescence"
    choose(form.pretrained.box, SCRATCH)
    assert field(form, "keep").native.placeholderText() == "0 (auto)"
    assert form.pretrained._note.text() == ""


def test_a_look_that_fails_leaves_it_to_the_training(real_look, form, settled, qtbot, annotation_folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    form.add_data(annotation_folder(images=3))
    settled()
    qtbot.waitUntil(lambda: form.pretrained._note.text().startswith("The start model is chosen when"))
    assert form.pretrained.box.currentText() == AUTOMATICALLY
    assert form.reasons() == {}


def test_the_demonstration_trains_as_the_form_does(form, settled):
    choose(form.data.list.builtin_box, DATASET)
    settled()
    given = form.value()
    assert given == demo_job(given.engine).replace(name=given.name)


def test_whether_more_images_would_help_is_a_box_to_tick(form):
    box = field(form, "job:learning_curve")
    assert box.text == "Would more images help?"
    assert "three times as long" in box.tooltip
    assert not box.value
    assert "learning_curve" not in form.training.job_fields()
    box.native.click()
    assert form.training.job_fields() == {"learning_curve": True}


JOBS = {
    "as little as possible": {},
    "built-in data only": {"data": (), "builtin": ("nuclei_dsb2018",)},
    "everything": {
        "data": (Path("annotations_a"), Path("/exp/annotations b")),
        "builtin": ("nuclei_dsb2018",),
        "validation_data": (Path("/exp/one"), Path("/exp/two")),
        "channels": (
            ChannelInput(name="actin", normalization=BY_VALUES),
            ChannelInput(name="dapi", index=0, normalization=Normalization(low=2.5, high=97)),
        ),
        "pixel_size": 0.325,
        "validation_split": 0.35,
        "seed": 42,
        "learning_curve": True,
        "hyperparameters": {"epochs": 3, "learning_rate": 1e-05, "early_stopping": 5, "rays": 64, "grid": 4},
    },
    "what are defaults": {"hyperparameters": {"epochs": None, "rays": None, "filters": 32}},
    "many channels": {"channels": tuple(ChannelInput(name=f"c{i}") for i in range(5))},
    "another shape than the model": {"pretrained": "parent", "pixel_size": 0.5, "hyperparameters": {"filters": 64}},
    "its own channel": {"pretrained": "parent", "channels": (ChannelInput(name="dapi", normalization=BY_VALUES),)},
    "a folder that is not there": {"pretrained": "/nowhere/model"},
    "built in": {"pretrained": BUILTIN},
    "a third party's": {
        "engine": "toy",
        "channels": (ChannelInput(name="dapi"),),
        "hyperparameters": {"seconds": 0.25, "losses": [3.0, 2.5], "failure": "bug"},
    },
    "a third party's with a switch": {
        "engine": "lacking",
        "hyperparameters": {"flips": False, "size": "large", "tag": "7", "learning_rate": 0.5},
    },
}


def test_every_job_goes_through_the_form(toy, lacking, form, settled, stardist_model, annotation_folder):
    stardist_model()
    foreign_model(downloads_folder() / BUILTIN)
    data = annotation_folder(channels=("dapi", "actin"))
    for name, fields in JOBS.items():
        job = TrainingJob(**({"name": "model-1", "engine": "stardist", "data": (data,)} | fields))
        form.set_value(job)
        assert form.value() == job, name
        settled()
        assert form.value() == job, name


def test_a_job_that_no_engine_here_can_train_is_refused(form):
    before = form.name.value
    with pytest.raises(EngineError, match="There is no engine 'other'"):
        form.set_value(TrainingJob(name="x", engine="other", data=("a",)))
    with pytest.raises(JobError, match="speed"):
        form.set_value(TrainingJob(name="x", engine="stardist", data=("a",), hyperparameters={"speed": 1}))
    with pytest.raises(LibraryError, match="There is no model 'gone'"):
        form.start_from("gone")
    assert form.name.value == before


def test_a_name_is_checked_while_it_is_typed(form, toy_model, home, qtbot):
    toy_model("bright")
    form.name.native.clear()
    qtbot.keyClicks(form.name.native, "bright")
    assert "'bright' is already in the library" in form.reasons()["name"]
    assert red(form)["name"] == form.reasons()["name"]
    qtbot.keyClicks(form.name.native, "er")
    assert "name" not in form.reasons()
    Run.create(TrainingJob(name="brighter-2", engine="toy", data=(home,))).claim()
    qtbot.keyClicks(form.name.native, "-2")
    assert form.reasons()["name"].startswith("A running training will make a model named 'brighter-2'.")
    qtbot.keyClicks(form.name.native, " b")
    assert "name" not in form.reasons()
    qtbot.keyClicks(form.name.native, "/")
    assert "'/' is not allowed" in red(form)["name"]
    with qtbot.assertNotEmitted(form.changed):
        qtbot.keyClick(form.name.native, Qt.Key.Key_Return)


def test_a_name_follows_the_data_until_the_user_gives_one(form, annotation_folder, toy_model, qtbot):
    assert form.name.value == f"model-{date.today()}"
    form.add_data(annotation_folder("annotations_nuclei"))
    assert form.name.value == f"nuclei-{date.today()}"
    toy_model(f"nuclei-{date.today()}")
    qtbot.waitUntil(lambda: form.name.value == f"nuclei-{date.today()}-2")
    form.name.native.setText("mine")
    form.add_data(annotation_folder("annotations_cells", seed=1))
    assert form.name.value == "mine"


def test_several_folders_and_built_in_images_are_counted_together(form, settled, annotation_folder, qtbot):
    first, second = annotation_folder("annotations_a"), annotation_folder("annotations_b", seed=1)
    form.add_data(first)
    qtbot.mouseClick(form.data.list.add_button, LEFT)
    folder_line(form, 1).setText(str(second))
    choose(form.data.list.builtin_box, "nuclei_dsb2018")
    settled()
    assert form.value().data == (first, second)
    assert form.value().builtin == ("nuclei_dsb2018",)
    built_in = len(form.data.survey.images) - 8
    assert built_in > 1
    for _ in range(2):
        qtbot.mouseClick(form.data.list._rows[0].remove_button, LEFT)
    settled()
    assert form.value().data == ()
    assert len(form.data.survey.images) == built_in
    qtbot.mouseClick(form.data.list._rows[0].remove_button, LEFT)
    assert "data" in form.reasons()
    assert not form.data.status.isVisible()


def test_what_the_doctor_finds_is_told_and_shown(viewer, annotation_folder, qtbot):
    folder, form = annotation_folder(images=5), JobForm(viewer)
    viewer.window.add_dock_widget(form, name="under test")
    form.add_data(folder)
    qtbot.waitUntil(lambda: form.data.survey is not None)
    assert not form.data.findings.isVisible()
    qtbot.mouseClick(form.data.look_button, LEFT)
    assert form.data.findings.isVisible()
    finding = next(finding for finding in form.data.findings.findings if finding.file)
    form.data.findings.chosen.emit(finding)
    qtbot.waitUntil(lambda: len(viewer.layers) > 0)
    notes = len(form.data.findings.findings)
    assert re.sub("<[^>]*>", "", form.data.summary.text()) == (f"{notes} notes" if notes > 1 else "1 note")


def test_an_error_in_the_data_stops_the_training_until_it_is_mended(form, settled, annotation_folder, qtbot):
    folder = annotation_folder(images=5)
    whole = (folder / "cell_00.tif").read_bytes()
    (folder / "cell_00.tif").write_bytes(whole[:100])
    form.add_data(folder)
    settled()
    reason = form.reasons()["data"]
    assert "cell_00.tif" in reason
    assert red(form)["data"] == reason
    (folder / "cell_00.tif").unlink()  # as the folder is watched, nobody needs to ask again
    (folder / "cell_00.tif").write_bytes(whole)
    qtbot.waitUntil(lambda: form.reasons() == {})


def test_a_folder_that_is_not_there_is_told(form, settled, tmp_path):
    form.add_data(tmp_path / "nowhere")
    settled()
    assert "nowhere" in red(form)["data"]


def test_validation_folders_take_the_place_of_the_split(form, settled, annotation_folder, qtbot):
    data = annotation_folder("one_field", images=3, field_of_view="A")
    form.add_data(data)
    settled()
    assert "one field of view" in form.reasons()["data"]
    other = annotation_folder("annotations_other", images=2, seed=1, field_of_view="A")
    form.training.validation._rows[0].line.setText(str(other))
    settled()
    assert form.reasons() == {}
    assert form.value().validation_data == (other,)
    assert not field(form, "job:validation_split").enabled


def test_an_engine_of_a_third_party_has_its_own_fields(toy, lacking, form, qtbot):
    assert [button.text() for button in form.engine.buttons.values()] == [
        "StarDist",
        "Cellpose",
        "Cellpose-SAM",
        "Lacking",
        "Toy",
    ]
    field(form, "epochs").native.setText("12")
    field(form, "learning_rate").native.setText("0.1")
    field(form, "rays").native.setText("64")
    qtbot.mouseClick(form.engine.buttons["lacking"], LEFT)
    assert form.training.hyperparameters() == {"epochs": 12}  # a learning rate means another thing there
    assert field(form, "learning_rate").value == "0.5"
    more = form.training.more.form
    assert [more[name].widget_type for name in ("flips", "size", "tag")] == ["CheckBox", "_Choice", "LineEdit"]
    qtbot.mouseClick(more["flips"].native, LEFT, pos=box_of(more["flips"]))
    choose(more["size"], "large")
    assert form.training.hyperparameters() == {"epochs": 12, "flips": False, "size": "large"}
    choose(more["size"], "automatic")
    assert form.training.hyperparameters() == {"epochs": 12, "flips": False}
    qtbot.mouseClick(form.engine.buttons["toy"], LEFT)
    field(form, "losses").native.setText("[3, 2.5]")
    assert form.training.hyperparameters() == {"epochs": 12, "losses": [3, 2.5]}
    field(form, "losses").native.setText("[3, 2.")
    assert red(form)["losses"] == "Losses: Input should be a valid tuple."


def test_what_an_engine_is_good_for_and_how_it_is_installed(lacking, form, qtbot):
    which = form.engine.which
    assert not which.isVisible()
    qtbot.mouseClick(form.engine.which_button, LEFT)
    assert which.isVisible()
    assert form.engine.buttons["lacking"].toolTip() == "Nothing at all."
    assert any("Nothing at all." in label.text() for label in which.findChildren(QLabel))
    assert not form.engine.copy_button.isVisible()
    qtbot.mouseClick(form.engine.buttons["lacking"], LEFT)
    assert "no_such_framework" in red(form)["engine"]
    assert "python -m pip install lacking" in form.reasons()["engine"]
    qtbot.mouseClick(form.engine.copy_button, LEFT)
    assert QApplication.clipboard().text() == "python -m pip install lacking"
    qtbot.mouseClick(form.engine.buttons["stardist"], LEFT)
    assert "engine" not in form.reasons()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("epochs", "0", "Epochs must be a whole number from 1 to 1000000, or left empty."),
        ("augmentation", "much", "Augmentation factor must be a number from 1 to 100."),
        ("rays", "4", "Rays must be a whole number from 8 to 256, or left empty."),
        ("job:validation_split", "1", "Validation split must be a number above 0 and below 1."),
        ("job:seed", "-1", "Seed must be a whole number from 0 to 4294967295."),
        ("pixel_size", "0", "Pixel size must be a number above 0, or left empty."),
    ],
)
def test_a_wrong_value_is_refused_while_it_is_typed(form, annotation_folder, name, text, reason):
    form.add_data(annotation_folder())
    edit = field(form, name)
    right = edit.value
    edit.native.setText(text)
    assert red(form)[name] == reason
    assert form.reasons()[name.removeprefix("job:")] == reason
    section = form.input_section if name == "pixel_size" else form.training_section
    assert "⚠" in section.text()
    with pytest.raises(JobError, match=reason.rstrip(".")):
        form.value()
    edit.native.setText(right)
    assert red(form) == {}
    assert "⚠" not in section.text()
    form.value()


def test_channels_are_chosen_by_name(form, settled, annotation_folder, qtbot):
    form.add_data(annotation_folder(channels=("dapi", "gfp", "actin")))
    settled()
    rows = form.inputs.channels.rows
    assert [row.key[0] for row in rows] == ["dapi", "gfp", "actin"]
    assert form.value().channels == ()
    choose(rows[1].channel, "none")
    assert [given.name for given in form.value().channels] == ["dapi", "actin"]
    assert rows[2].key[0] == ""  # room for one more
    choose(rows[1].channel, "dapi")
    assert form.reasons()["channels"] == "Channel 'dapi' is chosen twice. Choose another one, or none."
    choose(rows[1].channel, "gfp")
    choose(rows[1].mode, "intensities")
    rows[1].low.native.setText("100")
    assert "low (100) must be smaller than high (99.8)" in form.reasons()["channels"]
    assert "must be smaller" in unescape(form.inputs._reason.text())
    with pytest.raises(JobError, match="must be smaller"):
        form.value()
    rows[1].high.native.setText("4095,5")
    qtbot.mouseClick(rows[1].clip.native, LEFT, pos=box_of(rows[1].clip))
    how = Normalization(mode="values", low=100, high=4095.5, clip=True)
    assert form.value().channels == (ChannelInput(name="dapi"), ChannelInput(name="gfp", normalization=how))
    assert form.reasons() == {}


def test_a_channel_that_an_image_lacks_is_told(form, settled, annotation_folder):
    form.add_data(annotation_folder("a", channels=("dapi", "gfp")))
    form.add_data(annotation_folder("b", channels=("dapi",), seed=1))
    settled()
    assert form.reasons()["channels"].startswith("Channel 'gfp' is not there: there are images that have only dapi.")
    choose(form.inputs.channels.rows[1].channel, "none")
    assert form.reasons() == {}


def test_a_channel_may_have_other_names_in_other_folders(form, settled, annotation_folder):
    form.add_data(annotation_folder("a", channels=("nuclei",)))
    form.add_data(annotation_folder("b", channels=("gfp", "DAPI"), seed=1))
    form.add_data(annotation_folder("c", channels=("gfp", "Hoechst"), seed=2))
    settled()
    (row,) = form.inputs.channels.rows[:1]
    assert form.reasons()["channels"].startswith(
        "Channel 'nuclei' is not there: there are images that have only gfp, DAPI. Choose below it what it is called "
        "there, or another one that all images have."
    )
    fields = row.elsewhere
    assert [texts(field.native) for field in fields.values()] == [
        ["choose…", "gfp", name] for name in ("DAPI", "Hoechst")
    ]
    assert fields["gfp", "DAPI"].tooltip == "Name of 'nuclei' in the images that have gfp, DAPI."
    choose(fields["gfp", "DAPI"], "gfp")
    choose(fields["gfp", "DAPI"], "DAPI")
    assert "gfp, Hoechst" in form.reasons()["channels"]
    choose(fields["gfp", "Hoechst"], "Hoechst")
    assert form.reasons() == {}
    job = form.value()
    assert job.channels == (ChannelInput(name="nuclei", other_names=("DAPI", "Hoechst")),)
    choose(row.channel, "gfp")  # what the other one was called does not count for it
    assert [texts(field.native) for field in row.elsewhere.values()] == [["choose…", "nuclei"]]
    form.set_value(job)
    settled()
    assert form.value() == job
    assert [field.value.name for field in row.elsewhere.values()] == ["DAPI", "Hoechst"]
    choose(row.elsewhere["gfp", "DAPI"], "choose…")
    assert "gfp, DAPI" in form.reasons()["channels"]


def test_an_engine_that_takes_few_channels_is_given_the_first(toy, form, settled, annotation_folder, qtbot):
    form.add_data(annotation_folder(channels=("dapi", "gfp", "actin")))
    qtbot.mouseClick(form.engine.buttons["toy"], LEFT)
    settled()
    assert [given.name for given in form.value().channels] == ["dapi", "gfp"]
    assert form.reasons() == {}
    choose(form.inputs.channels.rows[1].channel, "none")
    assert [given.name for given in form.value().channels] == ["dapi"]
    assert "none" not in texts(form.inputs.channels.rows[0].channel.native)


def test_a_pretrained_model_is_taken_over_and_locks_what_it_settles(
    form, settled, stardist_model, annotation_folder, qtbot
):
    stardist_model()
    stardist_model("two", channels=("gfp", "dapi"), pixel_size=None)
    field(form, "epochs").native.setText("55")
    form.add_data(annotation_folder(channels=("dapi", "gfp")))
    qtbot.waitUntil(lambda: "parent" in texts(form.pretrained.box))
    choose(form.pretrained.box, "parent")
    settled()
    assert form.reasons() == {}
    job = form.value()
    assert job.pretrained == "parent"
    assert job.hyperparameters == {"epochs": 55, "filters": 16, "grid": 2, "rays": 64}
    (row,) = form.inputs.channels.rows
    assert row.value() == ChannelInput(name="gfp", normalization=BY_VALUES)
    assert texts(row.channel.native) == ["dapi", "gfp"]
    locked = [field(form, "rays"), field(form, "filters"), field(form, "grid"), field(form, "pixel_size")]
    for each in [*locked, row.mode, row.low, row.clip]:
        assert not each.enabled
        assert "'parent'" in each.tooltip
    assert field(form, "epochs").enabled
    assert field(form, "pixel_size").native.placeholderText() == "0.25 from the model"
    choose(row.channel, "dapi")
    assert form.value().channels == (ChannelInput(name="dapi", normalization=BY_VALUES),)
    choose(form.pretrained.box, "two")
    settled()
    assert [row.key[0] for row in form.inputs.channels.rows] == ["gfp", "dapi"]
    assert field(form, "pixel_size").enabled
    choose(form.pretrained.box, SCRATCH)
    assert form.value().hyperparameters == {"epochs": 55}
    assert [row.key[0] for row in form.inputs.channels.rows] == ["dapi", "gfp"]
    assert all(each.enabled for each in locked)


def test_a_job_that_contradicts_its_pretrained_model_is_told(form, settled, stardist_model, annotation_folder):
    stardist_model()
    fields = {"pretrained": "parent", "hyperparameters": {"rays": 32}}
    channels = (ChannelInput(name="dapi"), ChannelInput(name="gfp"))
    data = annotation_folder(channels=("dapi", "gfp"))
    form.set_value(TrainingJob(name="a", engine="stardist", data=(data,), channels=channels, **fields))
    settled()
    assert form.reasons() == {
        "channels": "The pretrained model 'parent' takes 1 channel(s), not 2.",
        "rays": "Rays is 64 in the pretrained model, not 32. Choose that model again.",
    }
    choose(form.pretrained.box, "parent")
    settled()
    assert form.reasons() == {}


def test_a_training_starts_from_a_model_of_another_engine(toy_model, form, settled, annotation_folder):
    toy_model("bright", channels=("dapi",), pixel_size=0.5, hyperparameters={"seconds": 0.5, "failure": ""})
    form.add_data(annotation_folder(channels=("nuclei",)))
    form.start_from("bright")
    settled()
    job = form.value()
    assert (job.engine, job.pretrained, job.hyperparameters) == ("toy", "bright", {"seconds": 0.5})
    # as the names differ but not their number, they are taken in their order, as the training does
    assert [row.key for row in form.inputs.channels.rows] == [("nuclei", 0)]
    assert form.reasons() == {}


def test_a_model_folder_is_typed_or_chosen(form, settled, tmp_path, annotation_folder, qtbot):
    model = foreign_model(tmp_path / "their_model", channels=2)
    form.add_data(annotation_folder(channels=("dapi", "gfp", "actin")))
    choose(form.pretrained.box, FOLDER)
    assert form.reasons()["pretrained"] == "Choose the folder of the pretrained model."
    form.pretrained.folder.line_edit.native.setText(str(tmp_path))
    assert "pretrained" in form.reasons()  # it is being read
    settled()
    assert "is not a model folder" in red(form)["pretrained"]
    form.pretrained.folder.line_edit.native.setText(str(model))
    settled()
    assert "pretrained" not in form.reasons()
    assert form.reasons()["channels"].startswith("Channel 'channel 0' is not there: the images have dapi, gfp, actin.")
    for row, name in zip(list(form.inputs.channels.rows), ("actin", "dapi"), strict=True):
        choose(row.channel, name)
    assert form.reasons() == {}
    assert form.value().hyperparameters == {"rays": 32, "grid": 2, "depth": 3}


def test_a_built_in_model_that_was_fetched_before_is_taken_over(form, settled, annotation_folder):
    foreign_model(downloads_folder() / BUILTIN)
    form.add_data(annotation_folder(channels=("dapi",)))
    choose(form.pretrained.box, f"{BUILTIN} (built in)")
    settled()
    assert form.value().pretrained == BUILTIN
    assert form.value().hyperparameters["rays"] == 32
    assert form.reasons() == {}


def test_models_that_come_and_go_are_offered(form, stardist_model, qtbot):
    assert texts(form.pretrained.box)[:2] == [AUTOMATICALLY, SCRATCH]
    assert texts(form.pretrained.box)[-1] == FOLDER
    stardist_model("later")
    qtbot.waitUntil(lambda: "later" in texts(form.pretrained.box))
    choose(form.pretrained.box, "later")
    ModelLibrary().delete("later")
    qtbot.waitUntil(lambda: "There is no pretrained model 'later'" in form.reasons().get("pretrained", ""))


def test_the_wheel_scrolls_and_chooses_nothing(form, settled, annotation_folder, qtbot):
    form.add_data(annotation_folder(channels=("dapi", "gfp")))
    settled()
    form.input_section.expand(animate=False)
    box = form.inputs.channels.rows[0].mode.native
    qtbot.waitUntil(box.isVisible)
    place = QPointF(box.rect().center())
    wheel = QWheelEvent(
        place,
        QPointF(box.mapToGlobal(box.rect().center())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(box, wheel)
    assert form.value().channels == ()


@pytest.mark.parametrize("engine", ["stardist", "toy"])
def test_the_tab_key_goes_down_the_form(toy, viewer, annotation_folder, qtbot, engine):
    panel, form = Panel("Train", "Start."), JobForm(viewer)
    panel.add(form)
    viewer.window.add_dock_widget(panel, name="under test")
    form.add_data(annotation_folder("a", channels=("dapi", "gfp")))
    form.add_data(annotation_folder("b", channels=("dapi", "gfp"), seed=1))
    qtbot.mouseClick(form.engine.buttons["toy"], LEFT)
    qtbot.mouseClick(form.engine.buttons[engine], LEFT)
    qtbot.waitUntil(lambda: form.data.survey is not None)
    for section in (form.input_section, form.training_section, form.training.more_section):
        section.expand(animate=False)
    last, low = form.training.more.form["job:seed"].native, form.inputs.channels.rows[1].low.native
    qtbot.waitUntil(lambda: last.isVisible() and low.isVisible())
    stops = [folder_line(form)]
    while stops[-1] is not last and len(stops) < 1000:
        stops.append(stops[-1].nextInFocusChain())
    stops = [stop for stop in stops if stop.focusPolicy() & Qt.FocusPolicy.TabFocus and stop.isVisible()]

    def heights():
        return [stop.mapTo(form, stop.rect().center()).y() for stop in stops]

    qtbot.waitUntil(lambda: heights() == sorted(heights()))
    assert {last, low, form.name.native, form.pretrained.box, folder_line(form, 1)} < set(stops)


# Cellpose


@pytest.mark.parametrize(
    ("engine", "rate", "batch", "start", "most"),
    [("cellpose", "0.001 (auto)", "8", SCRATCH, 2), ("cellpose-sam", "0.00001", "1", "from cpsam_v2", 3)],
)
def test_cellpose_has_fields_and_defaults_of_its_own(
    form, annotation_folder, settled, engine, rate, batch, start, most
):
    form.add_data(annotation_folder(channels=("a", "b", "c", "d")))
    settled()
    form.engine.buttons[engine].click()
    line = field(form, "learning_rate")
    assert (line.value or line.native.placeholderText()) == rate
    assert field(form, "batch_size").value == batch
    assert field(form, "scale_range").tooltip
    assert form.pretrained.box.currentText() == start
    assert [row.key[0] for row in form.inputs.channels.rows] == ["a", "b", "c"][:most]
    job = form.value()
    assert (job.engine, job.pretrained, job.hyperparameters) == (engine, AUTOMATIC, {})


def test_the_second_channel_of_cellpose_may_be_none(form, annotation_folder, settled):
    form.add_data(annotation_folder(channels=("actin", "dapi")))
    settled()
    form.engine.buttons["cellpose"].click()
    cells, nuclei = form.inputs.channels.rows
    choose(nuclei.channel, "none")
    assert [channel.name for channel in form.value().channels] == ["actin"]
    assert form.reasons() == {}
    assert cells.key == ("actin", None)


def test_which_one_to_take_is_told_in_three_sentences(form):
    form.engine.which_button.click()
    shown = " ".join(label.text() for label in form.engine.which.findChildren(QLabel))
    assert all(f"<b>{spec.title}</b>: {spec.good_for}" in shown for spec in form.engine._specs)


def test_a_few_questions_propose_one(form):
    form.engine.which_button.click()
    which = form.engine.which
    assert which.choose_button.text() == "Choose StarDist"
    which.boxes["shape"].setCurrentText(WIDE)
    assert which.choose_button.text() == "Choose Cellpose"
    assert "any shape" in which.reason.text()
    which.choose_button.click()
    assert form.engine.spec().id == "cellpose"
    assert not which.isVisible()
    form.engine.which_button.click()
    which.boxes["gpu"].setCurrentText(GPU)
    assert which.choose_button.text() == "Choose Cellpose-SAM"


def test_only_engines_that_train_are_offered(form):
    assert "simple-method" not in form.engine.buttons


def test_a_file_of_cellposes_weights_is_chosen(form, settled, tmp_path, annotation_folder, cellpose_weights):
    path = tmp_path / "CP_20260101"
    path.write_bytes(cellpose_weights())
    form.add_data(annotation_folder(channels=("actin", "dapi")))
    form.engine.buttons["cellpose"].click()
    choose(form.pretrained.box, FILE)
    assert form.reasons()["pretrained"] == "Choose the file of the pretrained model."
    form.pretrained.folder.line_edit.native.setText(str(path))
    settled()
    assert form.reasons() == {}
    assert form.value().pretrained == str(path)
    # its channels have no names and need not be as many: those of the images are taken in their order
    assert [row.key for row in form.inputs.channels.rows] == [("actin", 0), ("dapi", 1)]
    assert all(row.value().normalization.high == 99 for row in form.inputs.channels.rows)
    form.set_value(form.value())
    assert form.pretrained.box.currentText() == FILE
    form.engine.buttons["stardist"].click()
    assert FILE not in texts(form.pretrained.box)
