import numpy as np
import pytest

from napari_seg_trainer.annotations.annotated_image import pixel_hash
from napari_seg_trainer.annotations.builtin import builtin_folder, builtin_names
from napari_seg_trainer.annotations.doctor import Severity, examine
from napari_seg_trainer.annotations.folder import AnnotationFolder, open_folders
from napari_seg_trainer.errors import DataError


@pytest.mark.parametrize(("part", "count"), [("train", 24), ("test", 8)])
def test_nuclei(part, count):
    opened = AnnotationFolder.open(builtin_folder("nuclei_dsb2018", part))
    images = [pair.read() for pair in opened]
    assert (len(images), opened.layout, opened.unpaired) == (count, "celldetective", ())
    assert {(image.channels, image.pixel_size, image.image.dtype.name) for image in images} == {
        (("nuclei",), None, "uint8")
    }
    assert all(len(np.unique(image.labels)) > 3 for image in images)


def test_no_test_image_was_learnt_from():
    hashes = [
        {pixel_hash(pair.read().image) for pair in open_folders([builtin_folder("nuclei_dsb2018", part)])}
        for part in ("train", "test")
    ]
    assert not hashes[0] & hashes[1]


def test_the_doctor_finds_no_error_and_few_forgotten_nuclei():
    findings = examine([builtin_folder("nuclei_dsb2018"), builtin_folder("nuclei_dsb2018", "test")])
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
    assert sum(finding.code == "unlabelled-object" for finding in findings) <= 3


def test_the_licence_is_told():
    text = (builtin_folder("nuclei_dsb2018").parent / "NOTICE").read_text(encoding="utf-8")
    assert "CC0 1.0" in text
    assert "BBBC038v1" in text


def test_the_data_is_small():
    files = builtin_folder("nuclei_dsb2018").parent.rglob("*")
    assert sum(path.stat().st_size for path in files if path.is_file()) < 2e6


@pytest.mark.parametrize(
    ("name", "part"), [("nuclei", "train"), ("", "train"), ("..", "train"), ("nuclei_dsb2018", "all")]
)
def test_unknown_names_list_the_known(name, part):
    with pytest.raises(DataError, match="Choose"):
        builtin_folder(name, part)


def test_names():
    assert builtin_names() == ("nuclei_dsb2018",)
