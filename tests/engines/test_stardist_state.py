"""From Keras to PyTorch and back: the same weights, the same answers, and without TensorFlow."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stardist")
pytest.importorskip("torch")

import torch

from napari_seg_trainer.engines.stardist.prediction import StarDistPredictor
from napari_seg_trainer.engines.stardist.state import invert, open_network, write_keras
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.testing.discs import disc_image

pytestmark = [
    pytest.mark.filterwarnings("ignore:output path for model already exists:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SMALL = {"n_rays": 8, "unet_n_filter_base": 8}
CONFIGURATIONS = {
    # the shapes of the built-in models: 2D_versatile_fluo and 2D_paper_dsb2018, and 2D_versatile_he
    "fluo": {"n_rays": 32, "grid": (2, 2)},
    "he": {"n_rays": 32, "grid": (2, 2), "n_channel_in": 3},
    "no grid": SMALL | {"unet_n_depth": 1, "net_conv_after_unet": 0},
    "batch norm": SMALL
    | {"grid": (4, 2), "unet_n_depth": 4, "unet_batch_norm": True, "unet_activation": "elu", "unet_dropout": 0.1},
    "classes": SMALL | {"grid": (2, 2), "n_classes": 3},
    "other kernels": SMALL
    | {"n_classes": 2, "net_conv_after_unet": 0, "unet_n_conv_per_depth": 3, "unet_kernel_size": (5, 5)}
    | {"unet_last_activation": "linear"},
    "other pools": SMALL | {"unet_pool": (4, 2), "unet_activation": "gelu", "unet_expansion": 1},
    "selu": SMALL | {"unet_activation": "selu", "unet_last_activation": "tanh"},
    "softplus": SMALL | {"unet_activation": "softplus", "unet_last_activation": "sigmoid"},
    "silu": SMALL | {"unet_activation": "silu"},
}


def drawn(model):
    """Weights as large as they are in a trained network; variances are positive."""
    rng = np.random.default_rng(0)
    for variable, value in zip(model.keras_model.weights, model.keras_model.get_weights(), strict=True):
        if "variance" in variable.path:
            yield rng.uniform(0.5, 1.5, value.shape)
        else:
            yield rng.normal(0, np.sqrt(2 / np.prod(value.shape[:-1])) if value.ndim > 1 else 0.1, value.shape)


@pytest.fixture(params=CONFIGURATIONS, scope="module")
def plain(request, tmp_path_factory):
    """A network as plain StarDist makes and writes it."""
    from stardist.models import Config2D, StarDist2D

    folder = tmp_path_factory.mktemp("plain")
    model = StarDist2D(Config2D(**CONFIGURATIONS[request.param]), name="model", basedir=str(folder))
    model.keras_model.set_weights(list(drawn(model)))
    model.keras_model.save_weights(str(folder / "model" / "weights_best.h5"))
    return model


def answers(network, image):
    """Probability and distances (BYXC)."""
    with torch.no_grad():
        answer = network(torch.from_numpy(image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return answer[..., :1].sigmoid().numpy(), answer[..., 1:].numpy()


def assert_alike(found, expected):
    """They agree to a ten-thousandth of the largest number."""
    for ours, theirs in zip(found, expected, strict=False):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_the_same_weights_give_the_same_answer(plain):
    network = open_network(plain.logdir).network
    steps = plain._axes_div_by("YX")
    image = np.random.default_rng(1).random((1, 4 * steps[0], 4 * steps[1], plain.config.n_channel_in), np.float32)
    assert_alike(answers(network, image), plain.keras_model.predict(image, verbose=0))


def test_the_negative_of_a_network_answers_to_negatives(plain):
    """Its first layer, that is, and off the border, beyond which both see zeros."""
    network = open_network(plain.logdir).network
    _, first = next(network.weighted())
    image = torch.rand(1, network.shape.n_channel_in, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = first(image)
        invert(network)
        of_negative = first(1 - image)
    torch.testing.assert_close(of_negative[..., 4:-4, 4:-4], answer[..., 4:-4, 4:-4], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(of_negative, answer)


def test_keras_reads_what_is_written(plain, tmp_path):
    write_keras(open_network(plain.logdir).network, tmp_path / "weights.h5")
    before = plain.keras_model.get_weights()
    plain.keras_model.set_weights([np.zeros_like(weight) for weight in before])
    plain.keras_model.load_weights(str(tmp_path / "weights.h5"))
    after = plain.keras_model.get_weights()
    plain.keras_model.set_weights(before)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("settings", [{"prob_thresh": 0.5, "nms_thresh": 0.4}, {"prob_thresh": 0.2, "nms_thresh": 0.1}])
@pytest.mark.parametrize("shape", [(64, 96), (61, 83), (17, 40)])
def test_the_same_objects_are_found(stardist_training, shape, settings):
    from stardist.models import StarDist2D

    folder = stardist_training.model.folder
    model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
    image = disc_image(shape, 1, 5).image
    expected, _ = model.predict_instances(np.moveaxis(image, 0, -1), axes="YXC", **settings)
    opened = open_network(folder)
    thresholds = {"prob": settings["prob_thresh"], "nms": settings["nms_thresh"]}
    found = StarDistPredictor(opened.network, Computing(torch.device("cpu")), thresholds).predict(image)
    np.testing.assert_array_equal(found, expected)
    assert found.any()


WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras"):
    sys.modules[name] = None
import numpy as np
from pathlib import Path
from napari_seg_trainer.engines.stardist.engine import StarDistEngine
folder, image, labels = map(Path, sys.argv[1:])
np.save(labels, StarDistEngine().load(folder).predict(np.load(image)))
assert "torchvision" not in sys.modules
"""


def test_a_model_opens_without_tensorflow(stardist_training, tmp_path):
    folder, image = stardist_training.model.folder, disc_image((64, 96), 1, 5).image
    np.save(tmp_path / "image.npy", image)
    words = [folder, tmp_path / "image.npy", tmp_path / "labels.npy"]
    subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, words)], check=True)
    assert np.load(tmp_path / "labels.npy").max() > 0


@pytest.fixture(scope="module")
def recorded():
    """The script that recorded what Keras 2 wrote and answered, and its folder."""
    path = Path(__file__).parent / "keras2" / "record.py"
    spec = importlib.util.spec_from_file_location("record", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["plain", "classes"])
def test_what_keras_2_wrote_gives_what_it_answered(recorded, name):
    folder = recorded.FOLDER / name
    with np.load(folder / "answer.npz") as answer:
        expected = [answer["probability"], answer["distances"]]
    network = open_network(folder).network
    assert_alike(answers(network, recorded.image(network.shape.n_channel_in)), expected)


def test_layers_are_told_apart_by_their_order(recorded):
    """Keras had made another network in that process, so that the unnamed layers count on from there."""
    import h5py

    with h5py.File(recorded.FOLDER / "plain" / "weights_best.h5") as file:
        names = [name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]]
    assert "conv2d" not in names
    assert any(name.startswith("conv2d_") for name in names)


def test_weights_of_another_network_are_refused(recorded, tmp_path):
    config = json.loads((recorded.FOLDER / "plain" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"unet_n_depth": 3}), encoding="utf-8")
    (tmp_path / "weights_best.h5").write_bytes((recorded.FOLDER / "plain" / "weights_best.h5").read_bytes())
    with pytest.raises(LibraryError, match=r"the weights are of \d+ layers, and config\.json describes \d+"):
        open_network(tmp_path)
