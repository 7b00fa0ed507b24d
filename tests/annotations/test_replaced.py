"""What an export replaces, and the way back."""

from datetime import datetime

import numpy as np
import pytest

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.replaced import Replaced, look_at_existing
from napari_seg_trainer.errors import DataError

NOW = datetime(2026, 1, 2, 3, 4, 5)
BLANK = np.zeros((20, 30), np.uint16)


def noise(seed):
    return np.random.default_rng(seed).integers(0, 1000, (20, 30)).astype(np.uint16)


def write(folder, *planes, value=1, **options):
    labels = np.zeros((20, 30), np.int32)
    labels[4:9, 4:9] = value
    names = tuple(f"c{place}" for place in range(len(planes)))
    AnnotatedImage(np.stack(planes), labels, names, "cell").write(folder, **options)


def labels_in(folder):
    (pair,) = AnnotationFolder.open(folder)
    return pair.read().labels.max()


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ([noise(1)], [noise(1)], True),
        ([noise(1)], [noise(2)], False),
        ([noise(1)], [noise(2), noise(1)], True),  # a channel more
        ([noise(1), BLANK], [noise(2), BLANK], False),  # an empty channel is in many images
        ([BLANK], [BLANK], True),
        ([noise(1)], [noise(1)[:10]], False),
    ],
)
def test_an_image_is_the_same_by_its_pixels(tmp_path, old, new, same):
    write(tmp_path, *old)
    there = look_at_existing(tmp_path, "cell", new)
    assert there.same == same
    assert abs((datetime.now() - there.made).total_seconds()) < 3600


def test_one_that_cannot_be_read_is_another_one(tmp_path):
    (tmp_path / "cell.tif").write_bytes(b"II*")
    assert not look_at_existing(tmp_path, "cell", [noise(1)]).same


def test_what_was_replaced_comes_back_and_goes_again(tmp_path):
    folder = tmp_path / "annotations_cells"
    write(folder, noise(1), value=1)
    kept = Replaced.beside(folder, NOW)
    assert kept.aside.name == "replaced_annotations_cells_2026-01-02_03-04-05"
    kept.keep("cell")
    write(folder, noise(1), value=2, overwrite=True)
    (kept.aside / ".DS_Store").touch()
    for value in (1, 2, 1):
        assert kept.swap() == 1
        assert labels_in(folder) == value
        assert labels_in(kept.aside) == 3 - value
    assert not (folder / ".DS_Store").exists()


def test_nothing_that_is_kept_is_overwritten(tmp_path):
    folder = tmp_path / "annotations_cells"
    for value in (1, 2, 3):
        write(folder, noise(1), value=value, overwrite=True)
        Replaced.beside(folder, NOW).keep("cell")
    assert [labels_in(path) for path in sorted(tmp_path.glob("replaced_*"))] == [1, 2, 3]


def test_a_folder_that_is_gone_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"cannot be restored from '.*': No such file or directory\. Move them"):
        Replaced.beside(tmp_path / "annotations_cells", NOW).swap()
