"""What Celldetective needs beside a model of ours, and what is made of its own models."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.prepare import normalize
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.library.archive import export_model, import_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from testkit.environments import environment

SHORT = {"epochs": 32, "batch_size": 8, "augmentation": 4.0, "patch_size": 128}
"""A training of a few minutes that finds most nuclei."""


def card(name, engine, **fields):
    channels = (
        ModelChannel(name="nuclei", normalization=Normalization(low=1, high=99.8)),
        ModelChannel(name="cell", normalization=Normalization(mode="values", low=100, high=4000)),
    )
    told = {"channels": channels, "pixel_size": 0.5, "object_diameter": 20.0} | fields
    return ModelCard(name=name, engine=engine, created=datetime.now(UTC), **told)


@pytest.fixture
def library(tmp_path):
    return ModelLibrary(tmp_path / "models")


@pytest.fixture
def stardist(library, make_stardist):
    return library.register(make_stardist("made", n_channel_in=2), card("nuclei", "stardist"))


@pytest.fixture
def cellpose(library, tmp_path, cellpose_weights):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "weights.pth").write_bytes(cellpose_weights())
    (folder / "cellpose.json").write_text('{"cellprob_threshold": -0.5, "flow_threshold": 0.6, "shown_diameter": 17.0}')
    return library.register(folder, card("cells", "cellpose"))


def config(model):
    return json.loads((model.folder / "config_input.json").read_text())


def test_a_stardist_model_has_the_description_that_celldetective_needs(stardist):
    assert config(stardist) == {
        "channels": ["nuclei", "cell"],
        "normalization_percentile": [True, False],
        "normalization_clip": [],
        "normalization_values": [[1.0, 99.8], [100.0, 4000.0]],
        "model_type": "stardist",
        "spatial_calibration": 0.5,
        "cell_size_um": 10.0,
    }
    assert "config_input.json" not in stardist.card.files
    stardist.verify()


def test_without_a_pixel_size_a_pixel_is_one(library, make_stardist):
    clipped = ModelChannel(name="a", normalization=Normalization(clip=True))
    fields = {"pixel_size": None, "channels": (clipped,)}
    model = library.register(make_stardist("made"), card("plain", "stardist", **fields))
    assert (config(model)["spatial_calibration"], config(model)["cell_size_um"]) == (1.0, 20.0)
    assert config(model)["normalization_clip"] == [True]


def test_cellposes_weights_are_called_like_the_folder_as_well(cellpose):
    told = config(cellpose)
    assert told["channels"] == ["nuclei", "cell"]
    assert (told["model_type"], told["diameter"]) == ("cellpose", 17.0)
    assert (told["cellprob_threshold"], told["flow_threshold"]) == (-0.5, 0.6)
    weights = cellpose.folder / "weights.pth"
    assert (cellpose.folder / "cells").read_bytes() == weights.read_bytes()
    assert os.path.samefile(cellpose.folder / "cells", weights)
    # what Celldetective is told is not taken for the model's own
    assert CellposeSettings.of_model(cellpose.folder).diameter is None


def test_a_network_of_two_inputs_gets_an_empty_channel(library, tmp_path, cellpose_weights):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights.pth").write_bytes(cellpose_weights())
    one = card("one", "cellpose", channels=(ModelChannel(name="cyto"),))
    told = config(library.register(tmp_path / "made", one))
    assert (told["channels"], told["normalization_percentile"]) == (["cyto", "None"], [True, True])
    assert len(told["normalization_values"]) == 2


def test_where_there_are_no_links_the_weights_are_copied(cellpose, library, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    model = library.rename("cells", "other")
    assert (model.folder / "other").read_bytes() == (model.folder / "weights.pth").read_bytes()
    assert not os.path.samefile(model.folder / "other", model.folder / "weights.pth")


def test_another_name_is_followed(cellpose, library):
    model = library.rename("cells", "renamed")
    assert {path.name for path in model.folder.iterdir()} == {
        "weights.pth", "renamed", "cellpose.json", "config_input.json", "model_card.json",
    }  # fmt: skip
    model.verify()
    assert model.card.files.keys() == {"weights.pth", "cellpose.json"}


def test_what_is_passed_on_is_the_model_alone_and_is_complete_again_elsewhere(cellpose, tmp_path):
    with zipfile.ZipFile(export_model(cellpose, tmp_path / "a")) as archive:
        assert set(archive.namelist()) == {f"cells/{n}" for n in ("weights.pth", "cellpose.json", "model_card.json")}
    other = ModelLibrary(tmp_path / "other")
    model = import_model(tmp_path / "a.segmodel", other, "mine")
    assert (model.folder / "mine").is_file()
    assert import_model(cellpose.folder, other).card.files == cellpose.card.files
    by_hand = shutil.make_archive(str(tmp_path / "by hand"), "zip", cellpose.folder.parent, "cells")
    assert import_model(Path(by_hand), ModelLibrary(tmp_path / "third")).card.files == cellpose.card.files


def test_a_model_of_celldetective_keeps_its_own_description(library, make_stardist):
    folder = make_stardist("theirs", n_channel_in=1)
    told = {
        "channels": ["dapi"],
        "normalization_percentile": [True],
        "normalization_clip": [False],
        "normalization_values": [[1, 99]],
        "model_type": "stardist",
        "spatial_calibration": 0.3,
        "more": 1,
    }
    (folder / "config_input.json").write_text(json.dumps(told))
    model = library.rename(import_model(folder, library).name, "ours")
    assert config(model) == told
    model.verify()
    # a list of False clips there, and pixels that are 0 are left out
    assert model.card.channels == (
        ModelChannel(name="dapi", normalization=Normalization(low=1, high=99, clip=True, skip_zeros=True)),
    )


def test_an_engine_that_celldetective_does_not_know_gets_nothing(toy_model):
    assert not (toy_model("bright").folder / "config_input.json").exists()


def test_zeros_are_left_out_and_stay_zero():
    image = np.array([[0, 0, 0, 0], [10, 20, 30, 40], [50, 60, 70, 80]], np.uint16)
    (scaled,) = normalize(image[None], [Normalization(low=0, high=100, skip_zeros=True)])
    np.testing.assert_allclose(scaled, np.where(image == 0, 0, (image - 10.0) / 70), rtol=1e-6)
    (clipped,) = normalize(image[None], [Normalization(low=20, high=80, clip=True, skip_zeros=True)])
    low, high = np.percentile(image[image > 0], (20, 80))
    np.testing.assert_allclose(clipped, np.clip((image - low) / (high - low), 0, 1) * (image > 0), rtol=1e-6)
    (by_value,) = normalize(image[None], [Normalization(mode="values", low=-10, high=90, skip_zeros=True)])
    np.testing.assert_allclose(by_value, np.where(image == 0, 0, (image + 10.0) / 100), rtol=1e-6)
    (nothing,) = normalize(np.zeros((1, 3, 3), np.uint8), [Normalization(skip_zeros=True)])
    assert not nothing.any()
    mixed = np.array([[0, np.nan, 1, 2, 3]], np.float32)
    (scaled,) = normalize(mixed[None], [Normalization(low=0, high=100, skip_zeros=True)])
    np.testing.assert_allclose(scaled, [[0, 0, 0, 0.5, 1]])


def test_a_sidecar_always_has_a_calibration_and_a_pixel_is_no_size(tmp_path):
    image, labels = np.ones((1, 8, 9), np.uint16), np.ones((8, 9), np.int32)
    for stem, size in (("known", 0.25), ("unknown", None)):
        AnnotatedImage(image, labels, ("a",), stem, pixel_size=size).write(tmp_path)
    told = {stem: json.loads((tmp_path / f"{stem}.json").read_text()) for stem in ("known", "unknown")}
    assert told["known"]["spatial_calibration"] == 0.25
    assert "spatial_calibration_unit" not in told["known"]
    assert (told["unknown"]["spatial_calibration"], told["unknown"]["spatial_calibration_unit"]) == (1.0, "pixel")
    assert read_sidecar(tmp_path / "unknown.json").pixel_size is None
    assert [pair.read().pixel_size for pair in AnnotationFolder.open(tmp_path).pairs] == [0.25, None]


@pytest.fixture(scope="module")
def with_celldetective(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("celldetective") / "environment", "celldetective[all]==1.6.5")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["stardist", "cellpose"])
def test_celldetective_finds_the_same(engine, home, tmp_path, with_celldetective):
    """Its own functions, in an environment of its own, and the commands of this project, on an image without zeros."""
    command = [sys.executable, "-m", "napari_seg_trainer"]
    options = [word for name, value in SHORT.items() for word in ("--set", f"{name}={value}")]
    subprocess.run(
        [*command, "train", "--builtin", "nuclei_dsb2018", "--name", "made", "--engine", engine, *options], check=True
    )
    model = ModelLibrary().get("made")
    from napari_seg_trainer import segment  # which uses a process of its own
    from napari_seg_trainer.annotations.builtin import builtin_folder

    pair = AnnotationFolder.open(builtin_folder("nuclei_dsb2018")).pairs[0]
    image = np.maximum(pair.read_image().data, 1)
    np.save(tmp_path / "image.npy", image)
    script = Path(__file__).with_name("with_celldetective.py")
    subprocess.run(
        [with_celldetective, script, model.folder, tmp_path / "image.npy", tmp_path / "labels.npy"], check=True
    )
    theirs, ours = np.load(tmp_path / "labels.npy"), segment("made", image)
    assert ours.any()
    # it scales an image for Cellpose once, and here it is looked at again where its objects have another size
    assert ((theirs > 0) == (ours > 0)).mean() > (0.99 if engine == "stardist" else 0.9)
