import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("stardist")

from napari_seg_trainer.engines.portable import Portable
from napari_seg_trainer.engines.registry import load_engine
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.errors import EngineError

pytestmark = [
    pytest.mark.filterwarnings("ignore:output path for model already exists:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

WITH_TORCH_ALONE = """
import importlib.util, json, sys
import numpy as np, torch
folder, callable, kwargs, image = sys.argv[1:]
image = torch.from_numpy(np.load(image))
np.save(folder + "/scripted.npy", torch.jit.load(folder + "/network.pt")(image).detach().numpy())
spec = importlib.util.spec_from_file_location("network", folder + "/network.py")
module = importlib.util.module_from_spec(spec)
sys.modules["network"] = module
spec.loader.exec_module(module)
network = getattr(module, callable)(**json.loads(kwargs))
network.load_state_dict(torch.load(folder + "/network.pth", weights_only=True), strict=True)
np.save(folder + "/source.npy", network.eval()(image).detach().numpy())
assert not {"stardist", "napari_seg_trainer", "tensorflow"} & set(sys.modules)
"""


@pytest.fixture
def make_model(tmp_path):
    """Return a maker of a folder with an untrained network, as plain StarDist writes it."""

    def make(**config):
        from stardist.models import Config2D, StarDist2D

        values = {"n_rays": 8, "unet_n_depth": 2, "unet_n_filter_base": 4, "net_conv_after_unet": 8} | config
        model = StarDist2D(Config2D(**values), name="plain", basedir=str(tmp_path))
        model.keras_model.save_weights(str(tmp_path / "plain" / "weights_best.h5"))
        return tmp_path / "plain"

    return make


@pytest.mark.parametrize(("grid", "channels"), [((1, 1), 1), ((2, 4), 2)])
def test_the_written_network_is_stardists(make_model, tmp_path, grid, channels):
    from stardist.models import StarDist2D

    folder = tmp_path / "portable"
    folder.mkdir()
    engine = load_engine(SPEC)
    assert isinstance(engine, Portable)
    network = engine.write_portable(make_model(grid=grid, n_channel_in=channels), folder, channels)
    made = ("network.onnx", "network.pt", "network.pth", "network.py")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*network.files, *made])

    shape = tuple(12 * step for step in network.step)
    image = np.random.default_rng(0).random((channels, *shape), np.float32)
    output, labels = network.run(image)
    assert output.shape == (1, 1 + 8, shape[0] // grid[0], shape[1] // grid[1])
    assert len(network.outputs) == output.shape[1]

    plain = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
    pixels = np.moveaxis(image, 0, -1)
    probability, distances = plain.predict(pixels, axes="YXC")
    np.testing.assert_allclose(output[0, 0], probability, atol=1e-6)
    np.testing.assert_allclose(np.moveaxis(output[0, 1:], 0, -1), np.maximum(distances, 1e-3), atol=1e-5)
    # of an untrained network, some probabilities differ by less than rounding: they are numbered otherwise
    np.testing.assert_array_equal(labels > 0, plain.predict_instances(pixels, axes="YXC")[0] > 0)


def test_pytorch_alone_and_opencv_answer_the_same(make_model, tmp_path):
    import cv2

    folder = tmp_path / "portable"
    folder.mkdir()
    network = load_engine(SPEC).write_portable(make_model(grid=(2, 2)), folder, 1)
    image = np.random.default_rng(0).random((1, 1, 48, 80), np.float32)  # of another size than the example
    expected, _ = network.run(image[0])
    opened = cv2.dnn.readNetFromONNX(str(folder / "network.onnx"))
    opened.setInput(image)
    np.testing.assert_allclose(opened.forward(), expected, atol=1e-5)
    np.save(tmp_path / "image.npy", image)
    architecture = network.weights["pytorch_state_dict"]["architecture"]
    words = [folder, architecture["callable"], json.dumps(architecture["kwargs"]), tmp_path / "image.npy"]
    subprocess.run([sys.executable, "-W", "ignore", "-c", WITH_TORCH_ALONE, *map(str, words)], check=True)
    for name in ("scripted", "source"):
        np.testing.assert_allclose(np.load(folder / f"{name}.npy"), expected, atol=1e-5)


def test_within_the_halo_a_piece_is_answered_like_the_whole(make_model, tmp_path):
    network = load_engine(SPEC).write_portable(make_model(grid=(2, 2)), tmp_path, 1)
    (grid, _), (step, _), (halo, _) = network.grid, network.step, network.halo
    side = -(-(2 * halo + 4) * grid // step) * step
    image = np.random.default_rng(0).random((1, side + 4 * step, side + 4 * step), np.float32)
    whole, _ = network.run(image)
    piece, _ = network.run(image[:, step : step + side, 3 * step : 3 * step + side])
    inside = slice(halo, -halo)
    y, x = (slice(first * step // grid + halo, (first * step + side) // grid - halo) for first in (1, 3))
    np.testing.assert_allclose(piece[:, :, inside, inside], whole[:, :, y, x], atol=1e-5)
    assert np.abs(piece - whole[:, :, : piece.shape[2], : piece.shape[3]]).max() > 1e-3


def test_classes_of_objects_are_refused(make_model, tmp_path):
    with pytest.raises(EngineError, match="object classes"):
        load_engine(SPEC).write_portable(make_model(n_classes=2), tmp_path, 1)
