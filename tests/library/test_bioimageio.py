import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.archive import import_model
from napari_seg_trainer.library.bioimageio.description import Package, describe_package, example_side, preprocessing
from napari_seg_trainer.library.bioimageio.example import drawn_image, middle
from napari_seg_trainer.library.bioimageio.process import export_bioimageio_in_process, user_name
from napari_seg_trainer.library.bioimageio.readme import readme
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from testkit.zoo import judged, unpack

# in a process of its own, which imports TensorFlow
COMPUTE = """
import os, sys
import cv2, numpy as np, yaml
from stardist.models import StarDist2D
package, original, readme = sys.argv[1:]
folder = os.path.dirname(package)
raw = np.load(os.path.join(package, "test_input.npy"))
kwargs = yaml.safe_load(open(os.path.join(package, "rdf.yaml")))["inputs"][0]["preprocessing"][0]["kwargs"]
percentiles = kwargs["min_percentile"], kwargs["max_percentile"]
low, high = np.percentile(raw, percentiles, axis=(2, 3), keepdims=True)
normalized = ((raw - low) / (high - low + kwargs["eps"])).astype(np.float32)
network = cv2.dnn.readNetFromONNX(os.path.join(package, "network.onnx"))
network.setInput(normalized)
output = network.forward()
found = {"image": raw[0].transpose(1, 2, 0)}
os.chdir(folder)
exec(readme, found)
model = StarDist2D(None, name=os.path.basename(original), basedir=os.path.dirname(original))
labels, _ = model.predict_instances(normalized[0].transpose(1, 2, 0), axes="YXC")
np.savez(os.path.join(folder, "computed.npz"), output=output, by_readme=found["labels"], by_original=labels)
"""


def python(code, *words, **variables):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, words)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(stardist_training, tmp_path_factory):
    """A real StarDist model as a zip file, with a real test image of 300 × 280 pixels."""
    training = stardist_training
    folder = tmp_path_factory.mktemp("bioimageio")
    rows, columns = np.indices((300, 280))
    discs = np.hypot(rows % 24 - 12, columns % 24 - 12) <= 8
    tifffile.imwrite(folder / "image.tif", np.where(discs, 500, 100).astype(np.uint16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(training.home))
        return export_bioimageio_in_process(
            "discs",
            folder / "new" / "discs.zip",
            authors=["Ada Lovelace", "-Zoë"],
            license="CC0-1.0",
            image=folder / "image.tif",
        )


@pytest.fixture(scope="module")
def unpacked(package):
    return unpack(package)


@pytest.fixture(scope="module")
def description(unpacked):
    return yaml.safe_load((unpacked / "rdf.yaml").read_text(encoding="utf-8"))


def files_in(value):
    """Yield each file that a description names, with its hash."""
    if isinstance(value, dict) and "source" in value:
        yield value["source"], value["sha256"]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from files_in(child)


def test_the_zoos_own_judge_finds_the_package_valid(package, tmp_path):
    assert judged(package, tmp_path) == ("valid-format", [])


def test_the_description_tells_what_the_model_knows(description, stardist_training):
    card = stardist_training.model.card
    assert description["name"] == "discs (StarDist)"
    assert [author["name"] for author in description["authors"]] == ["Ada Lovelace", "-Zoë"]
    assert description["license"] == "CC0-1.0"
    assert description["cite"][0]["doi"] == "10.1007/978-3-030-00934-2_30"
    _, channel, _, x = description["inputs"][0]["axes"]
    assert (channel["channel_names"], x["scale"], x["unit"]) == (["dapi"], 0.5, "micrometer")
    assert description["outputs"][0]["axes"][2]["scale"] == 1.0
    assert description["config"]["napari_seg_trainer"]["versions"] == card.versions
    assert description["config"]["bioimageio"]["training"]["training_epochs"] == 14


def test_every_file_is_named_with_its_hash(description, unpacked):
    named = dict(files_in(description))
    assert {path.name for path in unpacked.iterdir()} == {*named, "rdf.yaml"}
    for name, expected in named.items():
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == expected, name


def test_the_test_image_is_the_middle_of_the_given_one(unpacked, package):
    given = tifffile.imread(package.parents[1] / "image.tif")
    raw = np.load(unpacked / "test_input.npy")
    np.testing.assert_array_equal(raw[0, 0], given[22:278, 12:268])
    cover = Image.open(BytesIO((unpacked / "cover.png").read_bytes()))
    assert (cover.size, cover.mode) == ((512, 256), "RGB")
    assert (unpacked / "cover.png").stat().st_size < 500_000
    assert np.unique(np.asarray(cover)[:, 256:].reshape(-1, 3), axis=0).shape[0] > 5  # labels have colours


def test_others_compute_the_same(unpacked, stardist_training):
    code = (unpacked / "README.md").read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    python(COMPUTE, unpacked, stardist_training.model.folder, code)
    with np.load(unpacked.parent / "computed.npz") as computed:
        np.testing.assert_allclose(computed["output"], np.load(unpacked / "test_output.npy"), atol=1e-4, rtol=1e-4)
        assert computed["by_original"].max() > 50
        np.testing.assert_array_equal(computed["by_readme"], computed["by_original"])


def test_stardists_import_finds_what_it_looks_for(description, unpacked):
    stardist = description["config"]["stardist"]
    assert stardist["config"] == json.loads((unpacked / "config.json").read_text())
    assert stardist["thresholds"] == json.loads((unpacked / "thresholds.json").read_text())
    assert stardist["weights"] in {file["source"] for file in description["attachments"]}


def test_the_package_can_be_imported_again(home, package, stardist_training):
    model, card = import_model(package), stardist_training.model.card
    model.verify()
    assert (model.card.channels, model.card.pixel_size) == (card.channels, card.pixel_size)
    assert model.card.data == {}  # the names of the images stay at home


@pytest.fixture
def export(cli, home, toy_model, tmp_path):
    """``export(file="x.zip", model="bright")`` runs the command on a model of an engine that cannot be exported so."""
    toy_model("bright")

    def run(file="x.zip", model="bright", **options):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return cli("export-bioimageio", model, tmp_path / file, *words)

    return run


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"model": "brigth"}, "Did you mean 'bright'?"),
        ({"file": "taken.zip"}, "already exists"),
        ({"file": "folder.zip"}, "is a folder"),
        ({"file": "taken.zip/x.zip"}, "a file of that name, or of a folder above it, is in the way"),
        ({"file": "x.tar"}, "does not end in '.zip'"),
        ({"license": "mine"}, "'mine' is not known here. Choose one of CC-BY-4.0,"),
        ({"author": " "}, "author's name is empty"),
        ({"author": "A/B"}, "'A/B' is not allowed"),
        ({"image": "gone.tif"}, "gone.tif"),
        ({}, "Models of Toy cannot be exported in this format yet"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_exported_is_one_line(export, tmp_path, wrong, told):
    (tmp_path / "taken.zip").write_bytes(b"mine")
    (tmp_path / "folder.zip").mkdir()
    before = sorted(tmp_path.iterdir())
    shown = export(**wrong)
    assert shown.status == 1
    assert told in shown.error
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "taken.zip").read_bytes() == b"mine"


def test_another_process_gives_its_line_back(home, toy_model, tmp_path):
    toy_model("bright")
    with pytest.raises(LibraryError, match=r"^There is no model 'dark' in the library .*\.$"):
        export_bioimageio_in_process("dark", tmp_path / "x.zip")


def make_card(*scalings, **fields):
    channels = tuple(ModelChannel(name=f"channel {i}", normalization=how) for i, how in enumerate(scalings))
    return ModelCard(name="a.b", engine="stardist", created=datetime.now(UTC), channels=channels, **fields)


def values(low, high, clip=False):
    return Normalization(mode="values", low=low, high=high, clip=clip)


@pytest.mark.parametrize(
    ("scalings", "steps"),
    [
        ([Normalization()], ["scale_range", "ensure_dtype"]),
        ([Normalization(clip=True)] * 2, ["scale_range", "clip", "ensure_dtype"]),
        ([values(100, 300), values(0, 50)], ["scale_linear", "ensure_dtype"]),
        ([values(0, 1, clip=True)], ["clip", "ensure_dtype"]),
    ],
)
def test_preprocessing(scalings, steps):
    assert [step["id"] for step in preprocessing(make_card(*scalings))] == steps


def test_intensities_are_scaled_for_each_channel():
    kwargs = preprocessing(make_card(values(100, 300), values(0, 50)))[0]["kwargs"]
    scaled = np.array([[100, 300], [0, 50]]) * np.array(kwargs["gain"])[:, None] + np.array(kwargs["offset"])[:, None]
    np.testing.assert_allclose(scaled, [[0, 1], [0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    "scalings",
    [
        [Normalization(), Normalization(low=5)],
        [Normalization(), values(0, 1)],
        [values(0, 1), values(0, 1, clip=True)],
        [Normalization(low=0, high=0.5)],
    ],
)
def test_what_the_format_has_no_words_for_is_refused(scalings):
    with pytest.raises(LibraryError, match=r"cannot describe .*channel 0: .* become 0 and 1"):
        preprocessing(make_card(*scalings))


def make_network(**fields):
    """What an engine would say of a network with channels first."""
    known = {
        "weights": {"onnx": {"source": "network.onnx", "opset_version": 17}},
        "files": (),
        "config": {},
        "axes": "BCYX",
        "step": (8, 16),
        "grid": (2, 4),
        "halo": (26, 13),
        "outputs": ("probability",),
        "meaning": "",
        "parameters": 1,
        "tags": (),
        "citations": (),
        "usage": "",
        "run": lambda image: None,
    }
    return PortableNetwork(**known | fields)


class Hashes(dict):
    def __missing__(self, name):
        return "0" * 64


@pytest.mark.parametrize("pixel_size", [None, 0.325, 0.1, 0.108, 0.2067, 1.3])
def test_sizes_come_out_right_with_any_pixel_size(pixel_size):
    """As readers compute them: 112 pixels of 0.325 µm easily become 111."""
    card = make_card(Normalization(), pixel_size=pixel_size)
    described = describe_package(Package(card, SPEC, make_network(), Hashes(), ["me"], "MIT"))
    (inputs,), (outputs,) = described["inputs"], described["outputs"]
    assert [axis["type"] for axis in inputs["axes"]] == ["batch", "channel", "space", "space"]
    for given, said, grid in zip(inputs["axes"][2:], outputs["axes"][2:], (2, 4), strict=True):
        smallest, step = given["size"]["min"], given["size"]["step"]
        assert smallest % step == 0
        assert smallest // grid - 2 * said["halo"] >= 1 > (smallest - step) // grid - 2 * said["halo"]
        for size in range(smallest, 5000, step):
            assert int(size * given.get("scale", 1.0) / said["scale"]) == size // grid
        assert said["halo"] * said["scale"] / given.get("scale", 1.0) == said["halo"] * grid
        assert example_side(make_network()) in range(smallest, 300, step)


def test_names_fit_the_format():
    card = make_card(Normalization()).replace(name="a.b")
    assert describe_package(Package(card, SPEC, make_network(), Hashes(), ["me"], "MIT"))["name"] == "a_b (StarDist)"
    assert user_name().strip()


def test_the_readme_normalizes_by_values():
    text = readme(make_card(values(100, 300, clip=True)), SPEC, make_network(), real_example=False)
    found = {"image": np.array([[[100.0], [200.0], [900.0]]])}
    exec(text.split("```python")[1].split("```")[0], found)
    np.testing.assert_allclose(found["image"].ravel(), [0, 0.5, 1])
    assert "# Validation" in text


def test_the_drawn_image_is_always_the_same_and_in_range():
    card = make_card(values(1000, 3000), Normalization(), object_diameter=30)
    image = drawn_image(card, 256)
    assert (image.shape, image.dtype) == ((2, 256, 256), np.float32)
    np.testing.assert_array_equal(image, drawn_image(card, 256))
    low, high = np.percentile(image[0], (10, 99))
    assert 1000 < low < 1500 < 2000 < high < 3000


def test_a_small_example_image_is_refused():
    with pytest.raises(LibraryError, match=r"100 × 300 pixels .* 256 × 256 are needed"):
        middle(np.zeros((1, 100, 300)), 256)


def test_the_home_of_files_is_not_told(unpacked):
    """Nothing in the texts names a folder of this computer."""
    for path in unpacked.iterdir():
        if path.suffix in {".md", ".yaml", ".json"}:
            assert str(Path.home()) not in path.read_text(encoding="utf-8")
            assert str(unpacked.parents[1]) not in path.read_text(encoding="utf-8")
