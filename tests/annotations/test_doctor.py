import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.doctor import Severity, Survey, examine, examine_image, survey
from napari_seg_trainer.annotations.findings import MAX_PER_KIND, Finding
from napari_seg_trainer.annotations.folder import open_folders

INFO, WARNING, ERROR = Severity


def stray(labels):
    labels[90:92, 2:4] = 6


def hole(labels):
    labels[35:37, 35:37] = 0


def two_holes(labels):
    labels[34, 34] = labels[38, 38] = 0


def ring_of_two(labels):
    # background between two objects belongs to neither
    labels[36, 30:42] = 0
    labels[37:, :][labels[37:, :] == 6] = 99
    labels[36, 30] = 6
    labels[36, 42] = 99


def tiny(labels):
    labels[0:2, 90:92] = 77


def forgotten(labels):
    labels[labels == 6] = 0


def cut(labels):
    labels[6:18, 0:13] = 1


def binary(labels):
    labels[labels > 0] = 255


def classes(labels):
    labels[labels > 0] = labels[labels > 0] % 2 + 1


def negative(labels):
    labels[labels == 3] = -3


def sparse(labels):
    labels[labels == 6] = 2_000_000_000


@pytest.mark.parametrize(
    ("change", "code", "severity", "words", "label", "position"),
    [
        (stray, "several-pieces", WARNING, "Object 6 is in 2 pieces, the smallest of 4 pixels", 6, (90.5, 2.5)),
        (hole, "hole", WARNING, "Object 6 has a hole of 4 pixels. Fill it.", 6, (35.5, 35.5)),
        (two_holes, "hole", WARNING, "Object 6 has a hole of 2 pixels", 6, None),
        (tiny, "tiny-object", WARNING, "Object 77 has only 4 pixels, where 113 are usual", 77, (0.5, 90.5)),
        (forgotten, "unlabelled-object", WARNING, "has no label", None, (36, 36)),
        (cut, "cut-by-border", INFO, "1 of 16 objects is cut", None, None),
        (binary, "binary-mask", ERROR, "a single label for 16 separate objects", 255, None),
        (classes, "binary-mask", ERROR, "only 2 labels for 16 separate objects", 1, None),
        (negative, "negative-labels", ERROR, "negative labels", None, None),
    ],
)
def test_a_defect_of_the_mask_is_found_where_it_is(make, change, code, severity, words, label, position):
    labels = make().labels.copy()
    change(labels)
    found = [finding for finding in examine_image(make(labels=labels)) if finding.code == code]
    assert len(found) == 1
    assert (found[0].severity, found[0].label) == (severity, label)
    assert words in found[0].message
    if position is not None:
        assert found[0].position == pytest.approx(position, abs=1)


@pytest.mark.parametrize("change", [lambda labels: None, sparse, ring_of_two])
def test_a_good_mask_gives_nothing(make, change):
    labels = make().labels.copy()
    change(labels)
    assert [finding.code for finding in examine_image(make(labels=labels))] == []


def test_one_object_in_two_pieces_is_no_binary_mask(make):
    labels = np.zeros((96, 96), np.int32)
    labels[10:20, 10:20] = labels[40:50, 40:50] = 1
    assert {finding.code for finding in examine_image(make(labels=labels))} == {"several-pieces"}


def test_diagonal_neighbours_are_one_piece(make):
    labels = make().labels.copy()
    labels[40:50, 0:10] = np.eye(10) * 50
    assert "several-pieces" not in {finding.code for finding in examine_image(make(labels=labels))}


def nan(image):
    image[0, 3, 4] = np.nan


def constant(image):
    image[0] = 7


@pytest.mark.parametrize(
    ("change", "code", "position"), [(nan, "not-a-number", (3, 4)), (constant, "constant-channel", None)]
)
def test_a_defect_of_the_pixels_is_found(make, change, code, position):
    image = make().image.astype(np.float32)
    change(image)
    (finding,) = (finding for finding in examine_image(make(image=image)) if finding.code == code)
    assert (finding.severity, finding.position) == (WARNING, position)
    assert "'dapi'" in finding.message


def test_an_empty_mask_is_a_warning(make):
    found = examine_image(make(labels=np.zeros((96, 96), np.int32)))
    assert [(finding.severity, finding.code) for finding in found] == [(WARNING, "empty-mask")]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2)])
@pytest.mark.parametrize("value", [0, 1])
def test_slivers_of_images_are_looked_at(make, shape, value):
    findings = examine_image(make(labels=np.full(shape, value, np.int32)))
    assert all(finding.severity < ERROR for finding in findings)


def test_dark_objects_have_no_forgotten_ones(make):
    bright = make()
    labels = bright.labels.copy()
    labels[labels == 6] = 0
    inverted = make(image=1000 - bright.image, labels=labels)
    assert "unlabelled-object" not in {finding.code for finding in examine_image(inverted)}


def test_most_forgotten_nuclei_of_real_images_are_found():
    found = total = 0
    for pair in open_folders([builtin_folder("nuclei_dsb2018")]):
        image = pair.read()
        areas = np.bincount(image.labels.ravel())
        areas[0] = 0
        label = int(areas.argmax())
        mask = image.labels == label
        image.labels[mask] = 0
        places = [finding.position for finding in examine_image(image) if finding.code == "unlabelled-object"]
        near = ndimage.binary_dilation(mask, iterations=3)
        found += any(near[round(y), round(x)] for y, x in places)
        total += 1
    assert found >= 0.6 * total


def test_many_findings_of_a_kind_are_counted(make):
    labels = np.zeros((200, 200), np.int32)
    labels[2::8, 2::8] = np.arange(1, 626).reshape(25, 25)
    found = [finding for finding in examine_image(make(labels=labels)) if finding.code == "tiny-object"]
    assert len(found) == MAX_PER_KIND + 1
    assert found[-1].message == f"And {625 - MAX_PER_KIND} more of this kind in this image."


def test_good_folders_give_nothing(folder):
    seen = []
    assert examine([folder], progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(i, 6) for i in range(1, 7)]


def codes(findings: list[Finding]) -> set[tuple[Severity, str]]:
    return {(finding.severity, finding.code) for finding in findings}


def cut_file(folder, make):
    path = folder / "cell_00.tif"
    path.write_bytes(path.read_bytes()[:1000])


def float_mask(folder, make):
    tifffile.imwrite(folder / "cell_00_labelled.tif", np.full((96, 96), 0.5, np.float32))


def rgb_mask(folder, make):
    tifffile.imwrite(folder / "cell_00_labelled.tif", np.zeros((96, 96, 3), np.uint8))


def decimal_mask(folder, make):
    tifffile.imwrite(folder / "cell_00_labelled.tif", make().labels.astype(np.float32))


def small_mask(folder, make):
    tifffile.imwrite(folder / "cell_00_labelled.tif", np.ones((9, 9), np.uint8))


def list_sidecar(folder, make):
    (folder / "cell_00.json").write_text("[]")


def long_sidecar(folder, make):
    (folder / "cell_00.json").write_text('{"channels": ["a", "b"]}')


def lone_mask(folder, make):
    (folder / "cell_00.tif").unlink()


def other_channels(folder, make):
    make("cell_00", channels=("gfp",), pixel_size=0.5).write(folder, overwrite=True)


def no_pixel_size(folder, make):
    make("cell_00").write(folder, overwrite=True)


def other_pixel_size(folder, make):
    make("cell_00", pixel_size=0.7).write(folder, overwrite=True)


def copy(folder, make):
    make("copy", seed=3, pixel_size=0.5).write(folder)


def relabelled_copy(folder, make):
    make("copy", seed=3, pixel_size=0.5, labels=make().labels * 2).write(folder)


def one_field(folder, make):
    for path in folder.glob("*.json"):
        path.write_text(json.dumps({"channels": ["dapi"], "field_of_view": "pos 1", "spatial_calibration": 0.5}))


def three_images(folder, make):
    for path in folder.glob("cell_0[345]*"):
        path.unlink()


def one_image(folder, make):
    for path in folder.glob("cell_0[12345]*"):
        path.unlink()


def all_empty(folder, make):
    for path in folder.glob("*_labelled.tif"):
        tifffile.imwrite(path, np.zeros((96, 96), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "code", "severity", "file"),
    [
        (cut_file, "unreadable-image", ERROR, "cell_00.tif"),
        (float_mask, "unusable-mask", ERROR, "cell_00_labelled.tif"),
        (rgb_mask, "unusable-mask", ERROR, "cell_00_labelled.tif"),
        (decimal_mask, "decimal-labels", WARNING, "cell_00_labelled.tif"),
        (small_mask, "shape-mismatch", ERROR, "cell_00.tif"),
        (list_sidecar, "unusable-sidecar", ERROR, "cell_00.json"),
        (long_sidecar, "channel-mismatch", ERROR, "cell_00.tif"),
        (lone_mask, "unpaired-file", WARNING, "cell_00_labelled.tif"),
        (other_channels, "channels-differ", WARNING, "cell_00.tif"),
        (no_pixel_size, "pixel-size-missing", WARNING, "cell_00.tif"),
        (other_pixel_size, "pixel-sizes-differ", INFO, "cell_00.tif"),
        (copy, "duplicate", WARNING, "copy.tif"),
        (relabelled_copy, "duplicate", WARNING, "copy.tif"),
        (one_field, "one-field-of-view", ERROR, None),
        (three_images, "too-few-images", WARNING, None),
        (one_image, "too-few-images", ERROR, None),
        (all_empty, "all-masks-empty", ERROR, None),
    ],
)
def test_a_defect_of_a_folder_is_found(folder, make, spoil, code, severity, file):
    spoil(folder, make)
    findings = examine([folder])
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1
    assert (found[0].severity, found[0].file and found[0].file.name) == (severity, file)
    assert "\n" not in found[0].message
    assert {finding.code for finding in findings} <= {code, "empty-mask"}


def test_the_worst_comes_first(folder, make):
    small_mask(folder, make)
    other = make("cell_01", seed=1, channels=("gfp",), labels=np.pad(make().labels[1:-1, 1:-1], 1, mode="edge"))
    other.write(folder, overwrite=True)
    severities = [finding.severity for finding in examine([folder])]
    assert severities == sorted(severities, reverse=True)
    assert len(set(severities)) > 1


def test_bad_folders_become_findings(tmp_path, folder):
    findings = examine([tmp_path / "missing", folder])
    assert codes(findings) == {(ERROR, "unreadable-folder")}
    assert codes(examine([tmp_path / "missing"])) == {(ERROR, "unreadable-folder")}
    assert codes(examine([])) == {(ERROR, "too-few-images")}


def test_findings_go_through_json():
    finding = Finding(severity=WARNING, code="hole", message="x", label=3, position=(1.0, 2.0))
    assert '"severity":"warning"' in finding.model_dump_json()
    assert Finding.model_validate_json(finding.model_dump_json()) == finding


def looked(folder):
    """What a survey yields on its way, and what it returns."""
    steps, looking = [], survey([folder])
    while True:
        try:
            steps.append(next(looking))
        except StopIteration as end:
            return steps, end.value


def test_a_survey_counts_what_it_looks_at(tmp_path, make):
    for number, (channels, pixel_size) in enumerate([(("dapi",), 0.2), (("gfp",), 0.4), (("dapi",), 0.9)]):
        make(f"cell_{number}", seed=number, channels=channels, pixel_size=pixel_size).write(tmp_path)
    steps, found = looked(tmp_path)
    objects = len(np.unique(make().labels)) - 1
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert (len(found.images), found.objects, found.pixel_size) == (3, 3 * objects, 0.4)
    assert found.channels == (("dapi",), ("gfp",))
    assert list(found.findings) == examine([tmp_path])
    make("unknown", seed=9).write(tmp_path)
    assert looked(tmp_path)[1].pixel_size is None


def test_a_survey_of_nothing_counts_nothing(tmp_path):
    steps, found = looked(tmp_path / "missing")
    assert steps == []
    assert found == Survey(findings=tuple(examine([tmp_path / "missing"])))
