"""What the network finds in a few validation images, kept epoch by epoch."""

import errno
import os
import shutil

import numpy as np
import pytest

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.api import make_job
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.runs import previews, scoring
from napari_seg_trainer.runs.previews import MODEL, Previews, PreviewWriter, previews_folder
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.scoring import Scoring
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Finished, Log


def prepared(count, side=16, value=1.0):
    labels = np.zeros((side, side), np.int32)
    labels[2:6, 2:8] = 300
    return [PreparedImage(f"d/cell_{i}", np.full((2, side, side), value + i, np.float32), labels) for i in range(count)]


def found(number, side=16):
    return np.full((side, side), number, np.int32)


class Warned(list):
    def __call__(self, message):
        self.append(message)


@pytest.fixture
def warned():
    return Warned()


def write(run, images, *rounds, warn=pytest.fail):
    writer = PreviewWriter(run, ("dapi", "actin"), 0.5, warn)
    writer.choose(images)
    for done in rounds:
        for image in images:
            writer.keep(done, image.name, found(1000 if done == MODEL else done))
    return writer


# what is kept


def test_images_truth_and_predictions_are_kept(make_run):
    run = make_run()
    assert Previews(run).index() is None
    write(run, prepared(2), 5, 10, 100_000, MODEL)
    kept = Previews(run)
    index = kept.index()
    assert index.images == ("d/cell_0", "d/cell_1")
    assert (index.channels, index.pixel_size) == (("dapi", "actin"), 0.5)
    assert kept.rounds()["d/cell_1"] == (5, 10, 100_000, MODEL)
    image, truth = kept.image("d/cell_1")
    assert (image.dtype, image.shape, image.max()) == (np.float32, (2, 16, 16), 2)
    assert (truth.dtype, np.unique(truth).tolist()) == (np.int32, [0, 300])
    numbers = [int(kept.prediction("d/cell_0", done).max()) for done in kept.rounds()["d/cell_0"]]
    assert numbers == [5, 10, 100_000, 1000]


@pytest.mark.parametrize("highest", [1, 200, 70_000])
def test_what_is_not_annotated_is_kept(make_run, highest):
    run, truth = make_run(), np.array([[-1, 0], [highest, -1]], np.int32)
    write(run, [PreparedImage("d/cell", np.zeros((2, 2, 2), np.float32), truth)], 1)
    assert Previews(run).image("d/cell")[1].tolist() == truth.tolist()


def test_of_many_images_a_few_are_kept(make_run, monkeypatch):
    run = make_run()
    write(run, prepared(50), 1)
    assert len(Previews(run).index().images) == previews.MOST_IMAGES
    assert Previews(run).index().images[::11] == ("d/cell_0", "d/cell_49")
    assert len(os.listdir(previews_folder(run))) == 1 + 2 * previews.MOST_IMAGES
    monkeypatch.setattr(previews, "MOST_PIXELS", 2 * 16 * 16)
    large = make_run()
    write(large, prepared(5, side=16))
    assert len(Previews(large).index().images) == 2
    monkeypatch.setattr(previews, "MOST_PIXELS", 1)
    larger = make_run()
    write(larger, prepared(5, side=16))
    assert len(Previews(larger).index().images) == 1


def test_later_images_are_added_as_the_limits_allow(make_run, monkeypatch):
    run, images = make_run(), prepared(30)
    writer = write(run, images[10:12], 1)
    writer.choose(images)
    index = Previews(run).index()
    assert index.images[:3] == ("d/cell_10", "d/cell_11", "d/cell_0")
    assert index.images[-1] == "d/cell_29"
    assert len(index.images) == previews.MOST_IMAGES
    writer.keep(MODEL, "d/cell_29", found(1))
    assert Previews(run).rounds() == {"d/cell_10": (1,), "d/cell_11": (1,), "d/cell_29": (MODEL,)}
    assert Previews(run).image("d/cell_29")[0].max() == 30
    writer.choose(images)
    assert Previews(run).index() == index
    monkeypatch.setattr(previews, "MOST_PIXELS", 3 * 16 * 16)
    few = make_run()
    write(few, images[:3], 1).choose(images)
    assert Previews(few).index().images == ("d/cell_0", "d/cell_1", "d/cell_2")


def test_values_beyond_half_precision_stay_finite(make_run):
    run = make_run()
    write(run, prepared(1, value=1e9))
    image, _ = Previews(run).image("d/cell_0")
    assert np.isfinite(image).all()
    assert image.max() > 6e4


def test_a_resumed_run_goes_on_adding(make_run):
    run = make_run()
    write(run, prepared(20), 1, 2, MODEL)
    before = Previews(run).index()
    writer = PreviewWriter(run, ("dapi", "actin"), 0.5, pytest.fail)
    writer.choose(prepared(20)[::-1])
    assert Previews(run).index() == before
    assert Previews(run).rounds()["d/cell_0"] == (1, 2)  # it is no more what this attempt ends with
    writer.keep(2, "d/cell_0", found(7))
    writer.keep(3, "d/cell_0", found(8))
    assert Previews(run).rounds()["d/cell_0"] == (1, 2, 3)
    assert [int(Previews(run).prediction("d/cell_0", done).max()) for done in (1, 2, 3)] == [1, 7, 8]


def test_what_lies_there_without_an_index_is_nobodys(make_run):
    run = make_run()
    write(run, prepared(2), 1, 2)
    (previews_folder(run) / "index.json").write_text('{"images": ["d/ce')
    assert Previews(run).index() is None
    write(run, prepared(3), 5)
    assert Previews(run).rounds()["d/cell_0"] == (5,)


# what is not


def test_a_folder_that_cannot_be_made_is_told_once(make_run, warned):
    run = make_run()
    previews_folder(run).write_text("in the way")
    write(run, prepared(2), 1, 2, MODEL, warn=warned)
    assert len(warned) == 1
    assert warned[0].startswith("No more previews are saved")
    assert "File exists" in warned[0]
    assert Previews(run).index() is None


def test_a_disk_that_is_full_later_is_told_once(make_run, warned, monkeypatch):
    run = make_run()
    writer = write(run, prepared(2), 1, warn=warned)
    with monkeypatch.context() as full:

        def refuse(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "fsync", refuse)
        writer.keep(2, "d/cell_0", found(2))
    writer.keep(2, "d/cell_1", found(2))
    assert len(warned) == 1
    assert "No space left" in warned[0]
    assert Previews(run).rounds() == {"d/cell_0": (1,), "d/cell_1": (1,)}
    assert not [name for name in os.listdir(previews_folder(run)) if name.endswith(".part")]


def test_a_disk_that_has_no_room_for_the_warning_does_no_harm(make_run):
    run = make_run()
    previews_folder(run).write_text("in the way")

    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(run, prepared(1), 1, warn=refuse)


@pytest.mark.parametrize("name", ["00.npz", "00_epoch_000001.npz"])
@pytest.mark.parametrize("damage", ["missing", "half", "empty", "pickle", "array", "words", "other axes", "pipe"])
def test_a_broken_file_is_told_in_one_line(make_run, name, damage):
    run = make_run()
    write(run, prepared(1), 1)
    path = previews_folder(run) / name
    whole = path.read_bytes()
    path.unlink()
    wrong = {"pickle": np.array([{}], object), "words": np.array([["a"]]), "other axes": np.zeros((1, 1, 1, 1))}
    if damage == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes")
        os.mkfifo(path)
    elif damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros((2, 2)))
    elif damage in wrong:
        np.savez(path, **dict.fromkeys(("image", "truth", "labels"), wrong[damage]))
    with pytest.raises(RunError, match=path.name) as caught:
        Previews(run).image("d/cell_0") if name == "00.npz" else Previews(run).prediction("d/cell_0", 1)
    assert len(str(caught.value).splitlines()) == 1


def test_an_image_that_is_not_there_is_told(make_run):
    run = make_run()
    assert Previews(run).rounds() == {}
    with pytest.raises(RunError, match="no preview of image 'x'"):
        Previews(run).image("x")
    write(run, prepared(1), 1)
    with pytest.raises(RunError, match="no preview of image 'x'"):
        Previews(run).prediction("x", 1)


# with a training


class Predictor:
    """Finds one object more each time, and counts."""

    def __init__(self):
        self.times = 0

    def predict(self, image):
        self.times += 1
        return np.full(image.shape[1:], self.times, np.int32)

    def __call__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_nothing_is_predicted_for_previews(make_run):
    run, images = make_run(), prepared(30)
    with_, without = Predictor(), Predictor()
    writer = PreviewWriter(run, ("dapi", "actin"), None, pytest.fail)
    for predictor, keeping in ((with_, writer), (without, None)):
        planned = Scoring(images, previews=keeping)
        planned.plan(10, 10**9)
        planned.score(predictor, 1e6, 1)
        planned.score(predictor, 1e6, 2)
    assert with_.times == without.times == 1 + 2 * 30
    assert int(Previews(run).prediction("d/cell_29", 2).max()) == 1 + 2 * 30


@pytest.fixture
def plenty(monkeypatch):
    monkeypatch.setattr(scoring, "SHARE", 1e9)


@pytest.fixture
def train(home, toy, undrawn, annotation_folder):
    """Train in this process, anew or further."""
    data = annotation_folder(images=6, channels=("dapi", "actin"))

    def work(run=None, **hyperparameters):
        run = run or Run.create(
            make_job(name="nuclei", engine=toy, data=(data,), validation_split=0.4, hyperparameters=hyperparameters)
        )
        return run, train_run(run)

    return work


@pytest.mark.usefixtures("plenty")
def test_a_training_keeps_them(train):
    run, last = train(epochs=3)
    assert isinstance(last, Finished)
    kept = Previews(run)
    index = kept.index()
    assert set(index.images) == set(run.split.validation)
    assert (index.channels, index.pixel_size) == (("dapi", "actin"), 0.5)
    for name in index.images:
        image, truth = kept.image(name)
        assert image.shape == (2, 96, 96)
        assert truth.max() == 16
        assert kept.rounds()[name] == (1, 2, 3, MODEL)
        for done in kept.rounds()[name]:
            assert kept.prediction(name, done).shape == (96, 96)
    assert not any(isinstance(event, Log) and event.level == "warning" for event in run.events())


def test_where_no_round_is_scored_there_is_the_model(train, monkeypatch):
    monkeypatch.setattr(scoring, "FEWEST_ROUNDS", 10**9)
    monkeypatch.setattr(scoring, "SHARE", 1e-9)
    run, last = train(epochs=1)
    assert isinstance(last, Finished)
    kept = Previews(run)
    assert kept.rounds()[kept.index().images[0]][-1] == MODEL


@pytest.mark.usefixtures("plenty")
def test_a_disk_that_refuses_them_ends_no_training(train, home):
    run, last = train(epochs=2)
    ModelLibrary().delete("nuclei")
    shutil.rmtree(previews_folder(run))
    shutil.rmtree(run.checkpoint_folder)
    previews_folder(run).write_text("in the way")
    _, last = train(run)
    assert isinstance(last, Finished)
    warnings = [event.message for event in run.events() if isinstance(event, Log) and event.level == "warning"]
    assert len(warnings) == 1
    assert "No more previews" in warnings[0]
