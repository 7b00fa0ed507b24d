"""From a folder to labels through the commands, as with any engine; and back into another training."""

import subprocess

import numpy as np
import pytest
import tifffile

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.cnn import CHANNELS, CellposeNet
from napari_seg_trainer.engines.cellpose.predictors import BLOCK
from napari_seg_trainer.engines.torch.computing import fastest
from napari_seg_trainer.library.library import ModelLibrary

SETTINGS = {"epochs": 2, "batch_size": 4, "augmentation": 1, "patch_size": 64}


@pytest.fixture
def run(command, home):
    for side in (SETTINGS["patch_size"], BLOCK):  # so that no process measures how it computes fastest
        fastest(torch.device("cpu"), CellposeNet, (2, CHANNELS, side, side))

    def execute(*words):
        done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return execute


def options(**settings):
    return [word for name, value in (SETTINGS | settings).items() for word in ("--set", f"{name}={value}")]


@pytest.mark.xdist_group("contract")  # the longest comes first
def test_a_training_becomes_a_model_that_segments(run, annotation_folder, tmp_path):
    data = annotation_folder("annotations_cells", images=5, channels=("actin", "dapi"), pixel_size=0.5)
    channels = ["--channel", "actin", "--channel", "dapi"]
    status, _, err = run("train", "--engine", "cellpose", "--data", data, "--name", "cells", *channels, *options())
    assert status == 0, err
    model = ModelLibrary().get("cells")
    assert (model.card.engine, [channel.name for channel in model.card.channels]) == ("cellpose", ["actin", "dapi"])
    assert 10 < model.card.object_diameter < 20
    assert model.card.versions["cellpose"].startswith("4.")
    assert {"weights.pth", "cellpose.json", "report.html"} <= set(model.card.files)

    # twice as many pixels: with the pixel size, the model brings the image to its own
    test = annotation_folder("annotations_test", images=2, channels=("actin", "dapi"), pixel_size=0.5, seed=9)
    image = tifffile.imread(next(iter(sorted(test.glob("*0.tif")))))
    tifffile.imwrite(tmp_path / "large.tif", np.kron(image, np.ones((1, 2, 2), image.dtype)))
    words = ["--output", tmp_path / "masks", "--pixel-size", 0.25, "--channel", 0, "--channel", 1]
    status, _, err = run("segment", "cells", tmp_path / "large.tif", *words)
    assert status == 0, err
    (labels,) = (tmp_path / "masks").glob("*.tif")
    assert tifffile.imread(labels).shape == (192, 192)


@pytest.mark.slow
def test_a_training_goes_on_from_a_model_of_the_library(run, annotation_folder):
    data = annotation_folder("annotations_cells", images=5, channels=("actin", "dapi"), pixel_size=0.5)
    channels = ["--channel", "actin", "--channel", "dapi"]
    status, _, err = run("train", "--engine", "cellpose", "--data", data, "--name", "cells", *channels, *options())
    assert status == 0, err
    more = options(epochs=1)
    status, _, err = run(
        "train", "--engine", "cellpose", "--data", data, "--name", "more", "--pretrained", "cells", *more
    )
    assert status == 0, err
    assert ModelLibrary().get("more").card.parent == "cells"


def test_a_second_channel_that_some_images_lack_is_told_with_the_image(run, annotation_folder):
    data = annotation_folder(images=3, channels=("actin", "dapi"))
    annotation_folder(images=1, channels=("actin",), prefix="poor", seed=5)
    channels = ["--channel", "actin", "--channel", "dapi"]
    status, _, err = run("train", "--engine", "cellpose", "--data", data, "--name", "cells", *channels, *options())
    assert status == 1
    assert "'annotations_nuclei/poor_00' has no channel 'dapi', only 'actin'" in err
    assert "Traceback" not in err


def test_weights_of_cellpose_sam_are_refused_by_name(run, annotation_folder, tmp_path, cellpose_weights):
    path = tmp_path / "cpsam"
    path.write_bytes(cellpose_weights("encoder.blocks.0.attn.qkv.weight"))
    words = ["--data", annotation_folder(), "--name", "cells", "--pretrained", path, *options()]
    status, _, err = run("train", "--engine", "cellpose", *words)
    assert status == 1
    assert "is for the engine 'cellpose-sam', but this job is for 'cellpose'" in err
