"""Cellpose models as packages for other programs, and what those programs answer."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from napari_seg_trainer.annotations.prepare import normalize
from napari_seg_trainer.engines.cellpose.cnn import FlowsOnly
from napari_seg_trainer.engines.cellpose.engine import CellposeEngine
from napari_seg_trainer.engines.cellpose.sam import load_sam
from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.engines.torch import portable
from napari_seg_trainer.errors import EngineError, LibraryError
from napari_seg_trainer.library.archive import import_model
from napari_seg_trainer.library.bioimageio.export import export_bioimageio
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from napari_seg_trainer.testing.discs import disc_image
from testkit.environments import environment
from testkit.faults import full
from testkit.zoo import judged, unpack

SETTINGS = '{"cellprob_threshold": -0.5, "flow_threshold": 0.0, "shown_diameter": 30.0}'
WITH_TORCH_ALONE = """
import sys
import numpy as np, torch
network, image, output = sys.argv[1:]
np.save(output, torch.jit.load(network)(torch.from_numpy(np.load(image))).numpy())
assert not {"cellpose", "napari_seg_trainer", "torchvision"} & set(sys.modules)
"""
WITH_ITS_SOURCE = """
import importlib.util, sys
import numpy as np, torch
folder, callable, image, output = sys.argv[1:]
spec = importlib.util.spec_from_file_location("network", folder + "/network.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = getattr(module, callable)()
network.load_state_dict(torch.load(folder + "/weights.pth", weights_only=True), strict=True)
with torch.no_grad():
    np.save(output, network.eval()(torch.from_numpy(np.load(image))).numpy())
assert not {"cellpose", "napari_seg_trainer", "torchvision"} & set(sys.modules)
"""


def register(folder, weights, channels, engine="cellpose", **fields):
    """Put a model with these weights into a library."""
    made = folder / "made"
    made.mkdir()
    torch.save(weights, made / "weights.pth")
    (made / "cellpose.json").write_text(SETTINGS)
    names = tuple(ModelChannel(name=name, normalization=Normalization(clip=True)) for name in channels)
    told = {"channels": names, "created": datetime.now(UTC), "pixel_size": 0.5, "object_diameter": 14.0} | fields
    return ModelLibrary(folder / "models").register(made, ModelCard(name="cells", engine=engine, **told))


@pytest.fixture(scope="module")
def model(state, tmp_path_factory):
    typical = {"diam_mean": torch.tensor([30.0]), "diam_labels": torch.tensor([15.0])}
    return register(tmp_path_factory.mktemp("portable"), state | typical, ["actin"])


@pytest.fixture(scope="module")
def package(model):
    image = 1000 * disc_image((160, 150), len(model.card.channels), 3).image + 100
    path = model.folder.parents[1] / "cells.zip"
    return export_bioimageio(model, path, authors=["Ada Lovelace"], image=image)


@pytest.fixture(scope="module")
def unpacked(package):
    return unpack(package)


@pytest.fixture(scope="module")
def described(unpacked):
    return yaml.safe_load((unpacked / "rdf.yaml").read_text(encoding="utf-8"))


def normalized(raw):
    """The test image as the description says it is to be normalized, once more in other words."""
    low, high = np.percentile(raw, (1, 99.8), axis=(2, 3), keepdims=True)
    return np.clip((raw - low) / (high - low), 0, 1).astype(np.float32)


def computed(code, *words):
    """What a script writes that runs in a process of its own."""
    output = Path(words[-1])
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(output)


def with_opencv(network, image):
    opened = cv2.dnn.readNetFromONNX(str(network))
    opened.setInput(image)
    return opened.forward()


def test_the_zoos_own_judge_finds_the_package_valid(package, tmp_path):
    assert judged(package, tmp_path) == ("valid-format", [])


def test_pytorch_alone_and_opencv_answer_the_same(unpacked, described, tmp_path):
    image = normalized(np.load(unpacked / "test_input.npy"))
    np.save(tmp_path / "image.npy", image)
    expected = np.load(unpacked / "test_output.npy")
    assert expected.shape == (1, 3, 256, 256)
    assert np.ptp(expected) > 0.1
    name = described["weights"]["pytorch_state_dict"]["architecture"]["callable"]
    words = tmp_path / "image.npy", tmp_path / "output.npy"
    for answer in (
        computed(WITH_TORCH_ALONE, unpacked / "network.pt", *words),
        computed(WITH_ITS_SOURCE, unpacked, name, *words),
        with_opencv(unpacked / "network.onnx", image),
    ):
        np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_a_model_of_two_channels_takes_two(state, tmp_path):
    torch.save(state, tmp_path / "weights.pth")
    folder = tmp_path / "portable"
    folder.mkdir()
    network = CellposeEngine().write_portable(tmp_path, folder, 2)
    image = np.random.default_rng(0).random((2, 64, 96), np.float32)
    np.testing.assert_allclose(
        with_opencv(folder / "network.onnx", image[np.newaxis]), network.run(image)[0], atol=1e-4
    )


@pytest.mark.parametrize("shape", [(1, 72, 72), (2, 80, 136)])
def test_they_take_images_of_other_sizes(unpacked, described, shape):
    (axes,) = (entry["axes"] for entry in described["inputs"])
    channels, sizes = len(axes[1]["channel_names"]), [axis["size"] for axis in axes[2:]]
    assert all((length - size["min"]) % size["step"] == 0 for length, size in zip(shape[1:], sizes, strict=True))
    image = np.random.default_rng(0).random((shape[0], channels, *shape[1:]), np.float32)
    network = FlowsOnly().eval().requires_grad_(False)
    network.load_state_dict(torch.load(unpacked / "weights.pth", weights_only=True))
    expected = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(with_opencv(unpacked / "network.onnx", image), expected, atol=1e-4)


def test_torchscript_takes_images_of_other_sizes(unpacked, tmp_path):
    image = np.random.default_rng(0).random((2, 1, 80, 136), np.float32)
    np.save(tmp_path / "image.npy", image)
    answer = computed(WITH_TORCH_ALONE, unpacked / "network.pt", tmp_path / "image.npy", tmp_path / "output.npy")
    np.testing.assert_allclose(answer, with_opencv(unpacked / "network.onnx", image), atol=1e-4)


def test_what_it_computes_is_what_the_model_finds(model, unpacked):
    """The test output is the answer of the model itself to the same pixels, at the scale that the network is shown."""
    image = normalized(np.load(unpacked / "test_input.npy"))[0]
    answer = CellposeEngine().load(model.folder).answer(image)
    inside = slice(32, -32)  # a tile's border is answered a little otherwise
    expected = np.load(unpacked / "test_output.npy")[0].transpose(1, 2, 0)
    np.testing.assert_allclose(answer[inside, inside], expected[inside, inside], atol=0.05)


def test_the_scale_is_the_networks(model, described, unpacked):
    """Objects of 15 pixels are shown at 30; so images are to have half the model's pixel size."""
    (axes,) = (entry["axes"] for entry in described["inputs"])
    assert [axis["scale"] for axis in axes[2:]] == [0.25, 0.25]
    text = (unpacked / "README.md").read_text(encoding="utf-8")
    assert "Images must have 0.25 µm per pixel" in text
    assert "typically 30 pixels across" in text
    assert "diameter=30.0, normalize=False, cellprob_threshold=-0.5, flow_threshold=0.0" in text
    raw = np.load(unpacked / "test_input.npy")
    assert raw.shape == (1, len(model.card.channels), 256, 256)  # of 160 × 150 pixels, enlarged twice
    assert described["config"]["cellpose"] == {"diameter": 30.0, "cellprob_threshold": -0.5, "flow_threshold": 0.0}


def test_every_file_has_its_hash(described, unpacked):
    architecture = described["weights"]["pytorch_state_dict"]["architecture"]
    assert hashlib.sha256((unpacked / architecture["source"]).read_bytes()).hexdigest() == architecture["sha256"]
    for entry in described["weights"].values():
        assert hashlib.sha256((unpacked / entry["source"]).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.slow
def test_the_package_is_imported_as_the_same_model(home, model, package):
    again = import_model(package)
    again.verify()
    assert (again.card.channels, again.card.pixel_size, again.card.object_diameter) == (
        *(model.card.channels, model.card.pixel_size),
        model.card.object_diameter,
    )
    assert not [path.name for path in again.folder.iterdir() if path.name.startswith("network")]
    image = disc_image((96, 96), len(model.card.channels), 2).image
    engine = CellposeEngine()
    np.testing.assert_array_equal(*(engine.load(folder).predict(image) for folder in (model.folder, again.folder)))


def test_without_onnx_the_export_says_what_to_install(model, monkeypatch, tmp_path):
    monkeypatch.setattr(portable, "find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=r"package onnx is missing.*python -m pip install onnx"):
        export_bioimageio(model, tmp_path / "cells.zip")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_leaves_one_line_and_no_package(model, monkeypatch, tmp_path):
    monkeypatch.setattr(portable.torch.jit, "save", lambda *_args: full())
    with pytest.raises(LibraryError, match="no space left on the disk"):
        export_bioimageio(model, tmp_path / "cells.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_zoos_own_test_and_plain_cellpose_agree(unpacked, package, model, tmp_path):
    """Each of the package's networks is run by the zoo's own program, and the README's lines by cellpose 3."""
    python = environment(
        tmp_path / "environment",
        # the specification that this version of it needs takes no later pydantic
        *("bioimageio.core==0.11.0", "pydantic<2.13", "onnxruntime", "cellpose<4", "torchvision"),
    )
    tested = subprocess.run(
        [python.with_name("bioimageio"), "test", package], capture_output=True, text=True, check=False
    )
    for name in ("pytorch_state_dict", "torchscript", "onnx"):
        assert f"weights.{name}" in tested.stdout
    assert tested.returncode == 0, tested.stdout
    assert "❌" not in tested.stdout
    code = (unpacked / "README.md").read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    raw = np.load(unpacked / "test_input.npy")[0]
    np.save(tmp_path / "image.npy", raw.transpose(1, 2, 0))
    script = (
        f"import numpy as np\nimage = np.load({str(tmp_path / 'image.npy')!r})\n{code}\nnp.save('labels.npy', labels)"
    )
    subprocess.run([python, "-c", script], cwd=unpacked.parent, check=True)
    predictor = CellposeEngine().load(model.folder)
    image = normalize(raw, [channel.normalization for channel in model.card.channels])
    ours = predictor.masks(predictor.answer(image), 1.0, CellposeSettings())
    assert ours.any()
    theirs = np.load(unpacked.parent / "labels.npy")
    assert ((theirs > 0) == (ours > 0)).mean() > 0.99


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cellpose_sam_answers_the_same_elsewhere(tmp_path):
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    model = register(tmp_path, CPSAM(dtype=torch.float32).state_dict(), ["actin"], "cellpose-sam")
    package = export_bioimageio(model, tmp_path / "cells.zip", authors=["Ada Lovelace"])
    assert judged(package, tmp_path / "cache") == ("valid-format", [])
    folder = unpack(package)
    image = normalized(np.load(folder / "test_input.npy"))
    np.save(tmp_path / "image.npy", image)
    expected = np.load(folder / "test_output.npy")
    words = folder / "network.pt", tmp_path / "image.npy", tmp_path / "output.npy"
    np.testing.assert_allclose(computed(WITH_TORCH_ALONE, *words), expected, atol=1e-3)
    np.testing.assert_allclose(with_opencv(folder / "network.onnx", image), expected, atol=1e-3)
    with torch.no_grad():  # as cellpose itself has it, nothing folded
        answer = load_sam(model.folder).eval()(torch.from_numpy(image))[0].numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-3)
