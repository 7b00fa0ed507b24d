"""The models that come along: they are what their cards say, and know no image that is shown as new."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.library.listed import list_starters
from napari_seg_trainer.library.pretrained import fetch, open_model, resolve_pretrained

STARDIST = engine_spec("stardist")
STARTERS = [model for model in STARDIST.pretrained if model.is_starter]
MOST_BYTES = 4_000_000


@pytest.fixture(params=STARTERS, ids=lambda model: model.name)
def starter(request, tmp_path):
    return request.param, fetch(request.param, STARDIST, tmp_path)


def test_it_is_small_and_what_its_card_says(starter):
    given, model = starter
    assert given.file().stat().st_size <= MOST_BYTES
    model.verify()
    assert (model.name, model.card.engine) == (given.name, "stardist")
    assert model.card.files.keys() == {"config.json", "thresholds.json", "weights_best.h5", "LICENSE.txt"}
    assert "CC0" in (model.folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert model.card.training_images > 20
    assert len(model.card.data) == model.card.training_images + model.card.validation_images
    assert model.card.object_diameter is not None
    assert model.card.parent is None  # else each would begin with the one before


def test_it_knows_no_image_that_the_demonstration_shows(starter):
    _, model = starter
    pairs = [
        pair
        for part in ("train", "test")
        for pair in AnnotationFolder.open(builtin_folder("nuclei_dsb2018", part)).pairs
    ]
    shown = {looked.facts.content for looked in look_through(pairs)}
    assert len(shown) == len(pairs) > 0
    assert shown.isdisjoint(model.card.data.values())


def test_it_is_trained_on_the_images_that_the_script_lists():
    path = Path(__file__).parents[2] / "scripts" / "train_starters.py"
    if not path.is_file():
        pytest.skip("the scripts are not here")
    spec = importlib.util.spec_from_file_location("train_starters", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.STARTERS.keys() == {model.name for model in STARTERS}
    known = {Path(name).name for name in open_model("nuclei_tissue").card.data}
    assert known == set(script.TISSUE_IMAGES)
    assert len(known) == 30


def test_another_version_has_a_folder_of_its_own(tmp_path, monkeypatch):
    (given, *_) = STARTERS
    first = fetch(given, STARDIST, tmp_path)
    assert fetch(given, STARDIST, tmp_path) == first
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(given.file()) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.infolist():
            new.writestr(member, old.read(member))
        new.writestr(f"{given.name}/more.txt", "a later version")
    monkeypatch.setattr(type(given), "file", lambda _model: other)
    second = fetch(given, STARDIST, tmp_path)
    assert second.folder != first.folder
    assert first.folder.is_dir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").write_text("x"),
        lambda folder: (folder / "weights_best.h5").unlink(),
        lambda folder: (folder / "model_card.json").unlink(),
        lambda folder: (folder / "model_card.json").write_bytes(b""),
    ],
    ids=["changed", "weights gone", "card gone", "card empty"],
)
def test_a_damaged_copy_is_put_aside_and_unpacked_anew(tmp_path, damage):
    (given, *_) = STARTERS
    damage(fetch(given, STARDIST, tmp_path).folder)
    fetch(given, STARDIST, tmp_path).verify()
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert sorted(name.count(".damaged-") for name in left) == [0, 1]


def test_it_can_be_used_by_its_name(home):
    assert [listed.name for listed in list_starters()] == [model.name for model in STARTERS]
    assert open_model("nuclei_tissue").card.channels[0].name == "red"
    assert resolve_pretrained("nuclei_fluorescence", "stardist").name == "nuclei_fluorescence"


def test_a_model_of_the_library_comes_first(home, toy_model):
    toy_model("nuclei_fluorescence")
    assert open_model("nuclei_fluorescence").card.engine == "toy"


def test_where_stardist_is_not_installed_there_is_none(home, monkeypatch):
    monkeypatch.setattr("napari_seg_trainer.library.pretrained.missing", lambda _spec: ("torch",))
    assert list_starters() == []
