"""What processes do in the tests of resilience, until they are killed; called by name, in a copy of a zygote."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.api import make_job
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Finished
from napari_seg_trainer.schema.model_card import ModelCard
from testkit import drawing
from testkit.faults import ALL, Faults, die


def warm_up() -> None:
    """Do once what is slow the first time."""
    with TemporaryDirectory() as folder:
        os.environ[HOME_VARIABLE] = folder
        data = Path(folder) / "annotations"
        for value, stem in enumerate("ab", start=1):
            replace(annotated(value), stem=stem, pixel_size=1.0).write(data)
        run = Run.create(make_job(name="warm", engine="toy", data=(data,), hyperparameters={"epochs": 1}))
        with drawing.left_out():
            last = train_run(run)
        assert isinstance(last, Finished), last


def struck(at: int, name: str, *arguments: Any) -> None:
    """Call one of the functions below, and die at one of its steps."""
    with Faults(at, die, ALL).active():
        globals()[name](*arguments)


def write_new_state(folder: Path) -> None:
    write_text(folder / "state.json", "new")


def annotated(value: int) -> AnnotatedImage:
    labels = np.zeros((16, 16), np.int32)
    labels[4:8, 4:8] = value
    return AnnotatedImage(np.full((1, 16, 16), value, np.uint16), labels, ("dapi",), "cell", pixel_size=float(value))


def annotate(folder: Path, value: int, overwrite: bool = False) -> None:
    annotated(value).write(folder, overwrite=overwrite)


def values_of(folder: Path) -> tuple[int, ...]:
    """What the image, the labels and the sidecar of the folder's one pair say; nothing where there is none."""
    try:
        (pair,) = AnnotationFolder.open(folder)
    except SegTrainerError:
        return ()
    read = pair.read()
    assert read.pixel_size is not None
    return int(read.image.max()), int(read.labels.max()), int(read.pixel_size)


def expect_one_of(folder: Path, *allowed: tuple[int, ...]) -> None:
    found = values_of(folder)
    assert found in allowed, found


def register(folder: Path, card: ModelCard) -> None:
    ModelLibrary(folder / "models").register(folder / "finished", card)


def copy_in(folder: Path, name: str) -> None:
    """As a registration from another disk does."""
    library = ModelLibrary(folder / "models")
    library.folder.mkdir()
    library._copy_in(folder / "finished", library.folder / name, name)


def rename(models: Path, old: str, new: str) -> None:
    ModelLibrary(models).rename(old, new)


def delete(models: Path, name: str) -> None:
    ModelLibrary(models).delete(name)


def take_in(source: Path, models: Path) -> None:
    import_model(source, ModelLibrary(models))


def pass_on(models: Path, name: str, target: Path) -> None:
    export_model(ModelLibrary(models).get(name), target, overwrite=True)


def train(folder: Path) -> None:
    """The run's training, without the drawing."""
    with drawing.left_out(), open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        train_run(Run(folder))
