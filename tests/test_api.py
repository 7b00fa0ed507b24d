"""What a script can do; trainings are in `runs/test_training.py`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_seg_trainer import compare, evaluate, load_annotations, segment, suggest
from napari_seg_trainer.api import make_job, read_job, train
from napari_seg_trainer.errors import DataError, EngineError, JobError, LibraryError, RunError
from napari_seg_trainer.runs.run import list_runs

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def bright(annotation_folder):
    """One annotated image of two channels."""
    (image,) = load_annotations(annotation_folder(images=1, channels=("dapi", "gfp")))
    return image


def test_all_folders_are_read(annotation_folder):
    first, second = annotation_folder("a", 2), annotation_folder("b", 1, seed=3)
    assert [image.stem for image in load_annotations([first, str(second)])] == ["cell_00", "cell_01", "cell_00"]
    assert len(load_annotations(str(first))) == 2


@pytest.mark.parametrize("make_axes", [lambda plane: plane, lambda plane: plane[None]], ids=["YX", "CYX"])
def test_a_plane_is_segmented_by_a_model_of_one_channel(toy_model, bright, make_axes):
    labels = segment(toy_model().name, make_axes(bright.image[0]))
    assert (labels.dtype, labels.max()) == (np.int32, 16)


def test_channels_are_named_or_chosen(toy_model, bright):
    model = toy_model()
    named = segment(model, bright.image, channels=bright.channels)
    assert np.array_equal(segment(model, bright.image, use=["0"]), named)
    assert np.array_equal(segment(str(model.folder), bright.image[::-1], channels=["gfp", "DAPI"]), named)


def test_an_unknown_pixel_size_is_a_warning(toy_model, bright):
    model = toy_model(pixel_size=0.5)
    with pytest.warns(UserWarning, match="The pixel size is unknown") as told:
        segment(model, bright.image[0])
    assert told[0].filename == __file__
    segment(model, bright.image[0], pixel_size=0.5)


@pytest.mark.parametrize(
    ("image", "fields", "told"),
    [
        (np.zeros(5), {}, "1 axes"),
        (np.zeros((1, 2, 3, 4)), {}, "4 axes"),
        (np.zeros((2, 8, 8)), {"channels": ["dapi"]}, "2 channel(s), but 1 name(s)"),
        (np.zeros((2, 8, 8)), {}, "no channel 'dapi'"),
        (np.zeros((8, 8)), {"pixel_size": 0}, "Pixel size 0"),
    ],
)
def test_an_image_that_does_not_fit_is_an_error(toy_model, image, fields, told):
    with pytest.raises(DataError) as error:
        segment(toy_model(), image, **fields)
    assert told in str(error.value)


def test_a_model_is_scored(toy_model, annotation_folder):
    scores = evaluate(toy_model(), annotation_folder(images=2))
    assert [image.image for image in scores.images] == ["cell_00", "cell_01"]
    assert scores.pooled["ap50"] == 1


def test_an_image_that_cannot_be_scored_is_left_out(toy_model, annotation_folder):
    toy_model("first")
    toy_model("second")
    folder = annotation_folder(images=3)
    (folder / "cell_01.tif").write_bytes(b"II*\0")
    with pytest.warns(UserWarning, match="cell_01.*not included"):
        scores = evaluate("first", folder)
    assert [score.image for score in scores.images] == ["cell_00", "cell_02"]
    with pytest.warns(UserWarning, match="cell_01.*not included") as told:
        both = compare(["first", "second"], folder)
    assert len(told) == 1
    assert [len(scores.images) for scores in both.values()] == [2, 2]
    for name in ("cell_00.tif", "cell_02.tif"):
        (folder / name).write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"None of the images can be scored\..*cell_00"):
        evaluate("first", folder)
    with pytest.raises(DataError, match=r"None of the images can be scored\..*cell_00"):
        compare(["first", "second"], folder)


def test_how_far_it_is_is_told(toy_model, annotation_folder, tmp_path):
    toy_model("first")
    toy_model("second")
    folder, told = annotation_folder(images=2), []
    unannotated = tmp_path / "unannotated"
    unannotated.mkdir()
    for name in ("cell_00.tif", "cell_01.tif"):
        shutil.copy(folder / name, unannotated)

    def progress(done, total):
        told.append((done, total))

    evaluate("first", folder, progress=progress)
    assert told == [(0, 2), (1, 2), (2, 2)]
    told.clear()
    compare(["first", "second"], folder, progress=progress)
    assert told == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4), (4, 4)]
    told.clear()
    assert len(suggest("first", unannotated, progress=progress)) == 2
    assert (told[0], told[-1]) == ((0, 2), (2, 2))
    assert told == sorted(told)


def test_the_readmes_example_is_a_script(home, toy_model, annotation_folder, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "__main__" not in example
    for name, seed in (("annotations_nuclei", 0), ("annotations_nuclei_test", 1)):
        folder = annotation_folder(name, images=3, channels=("nuclei",), seed=seed)
    (tmp_path / "new_images").mkdir()
    shutil.copy(folder / "cell_00.tif", tmp_path / "new_images" / "cell_07.tif")
    toy_model("nuclei-0", channels=("nuclei",))
    (tmp_path / "script.py").write_text(example.replace("epochs=100", "epochs=2, engine='toy'"), encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *others = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert [name for name, _ in others] == ["nuclei-1", "nuclei-0"]
    assert float(first[0]) == float(others[0][1]) > 0.9


def test_an_unknown_model_is_an_error(home, annotation_folder):
    with pytest.raises(LibraryError, match="'bright'"):
        evaluate("bright", annotation_folder())


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": "a/b"}, JobError),
        ({"engine": "stardust"}, EngineError),
        ({"epochs": 0}, JobError),
        ({"epohcs": 5}, JobError),
        ({"pixel_size": 0}, JobError),
        ({"channels": ["dapi"]}, JobError),
    ],
)
def test_an_impossible_training_does_not_begin(home, toy, annotation_folder, fields, error):
    with pytest.raises(error) as raised:
        train(annotation_folder(), **({"name": "nuclei", "engine": toy} | fields))
    assert len(str(raised.value).splitlines()) == 1
    assert list_runs() == []


def test_a_training_that_fails_raises_what_went_wrong(home, toy, tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        train(tmp_path / "nowhere", name="nuclei", engine=toy)


def test_a_job_file_is_read(toy, tmp_path):
    job = make_job(name="nuclei", engine=toy, data=["a"], hyperparameters={"epochs": 3})
    (tmp_path / "job.json").write_text(job.model_dump_json())
    assert read_job(str(tmp_path / "job.json")) == job
