"""Names that are proposed for models, and why a name cannot be had."""

from datetime import date
from pathlib import Path

import pytest

from napari_seg_trainer.napari_plugin.train.job_names import name_problem, proposed_name
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Failed
from napari_seg_trainer.schema.job import TrainingJob

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("folders", "builtin", "name"),
    [
        (["/exp12/annotations_nuclei", "/exp13/annotations_cells"], [], "nuclei-2026-11-23"),
        (["/exp12/T cells (day 3)"], [], "T-cells-day-3-2026-11-23"),
        (["/exp12/annotations_"], [], "model-2026-11-23"),
        ([], ["nuclei_dsb2018"], "nuclei_dsb2018-2026-11-23"),
        ([], [], "model-2026-11-23"),
        (["/" + "x" * 200], [], "x" * 60 + "-2026-11-23"),
    ],
)
def test_a_name_is_proposed_after_what_was_annotated(home, folders, builtin, name):
    assert proposed_name([Path(folder) for folder in folders], builtin, TODAY) == name


def test_a_proposed_name_is_free(toy_model):
    toy_model("nuclei-2026-11-23")
    toy_model("Nuclei-2026-11-23-2")
    assert proposed_name([Path("annotations_nuclei")], [], TODAY) == "nuclei-2026-11-23-3"


def test_why_a_name_cannot_be_had(toy_model, home):
    toy_model("bright")
    assert "is already in the library as 'bright'" in name_problem("Bright")
    assert "'/' is not allowed" in name_problem("a/b")
    assert name_problem("my cells 2") == ""
    assert name_problem("") == "Model name is empty. Use letters, digits, spaces, '-', '_' and dots."
    run = Run.create(TrainingJob(name="soon", engine="toy", data=(home,)))
    run.claim()
    assert name_problem("soon") == "A running training will make a model named 'soon'. Choose another name."
    assert name_problem("soo") == ""
    run.append(Failed(message="x"))
    assert name_problem("soon") == ""


def test_a_library_that_cannot_be_read_is_told(home):
    home.mkdir()
    (home / "models").write_text("a file in its place")
    assert "cannot be read" in name_problem("nuclei")
    assert proposed_name([Path("nuclei")], [], TODAY) == "nuclei-2026-11-23"
