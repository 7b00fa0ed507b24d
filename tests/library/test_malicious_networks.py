"""StarDist folders of strangers, opened: numbers are read into a network that is built here, and nothing else is."""

import json
import os
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest

pytest.importorskip("stardist")

import h5py

from napari_seg_trainer.engines.registry import load_engine
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.errors import LibraryError

# keras, with NumPy 2
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
UNKNOWN = {"compression_opts": (1,), "allow_unknown_filter": True}
SECRET = np.arange(100, dtype=np.float32)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small StarDist folder, with weights as StarDist saves them."""
    from stardist.models import Config2D, StarDist2D

    folder = tmp_path_factory.mktemp("sound")
    config = Config2D(n_rays=4, grid=(2, 2), unet_n_depth=1, unet_n_filter_base=2, net_conv_after_unet=2)
    model = StarDist2D(config, name=None, basedir=None)
    model.keras_model.save_weights(str(folder / "weights_best.h5"))
    (folder / "config.json").write_text(json.dumps(vars(config)))
    (folder / "thresholds.json").write_text('{"prob": 0.4, "nms": 0.3}')
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = SECRET
    return shutil.copytree(sound, tmp_path / "theirs")


def function(marker):
    """A function as Keras serializes it, which makes the marker where it is called."""
    import keras

    path = str(marker)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is unsafe
        return keras.saving.serialize_keras_object(lambda x: __import__("os").mkdir(path) or x)


def with_config(**changes):
    def spoil(folder, marker):
        path = folder / "config.json"
        made = {name: make(marker) if callable(make) else make for name, make in changes.items()}
        path.write_text(json.dumps(json.loads(path.read_text()) | made))

    return spoil


def with_weights(change):
    def spoil(folder, marker):
        with h5py.File(folder / "weights_best.h5", "r+") as file:
            change(file["dist"]["dist"], folder.parent / "secret.h5")

    return spoil


def instead(make):
    """Put something into the place of the biases of the last layer."""

    def change(group, secret):
        del group["bias"]
        make(group, secret)

    return with_weights(change)


def virtual(group, secret):
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource(secret, "secret", (100,))[:4]
    group.create_virtual_dataset("bias", layout)


def outside(group, secret):
    group.create_dataset("bias", (4,), np.float32, external=[(str(secret), 0, 16)])


def texts(group, _secret):
    group.create_dataset("bias", data=["a", "b", "c", "d"], dtype=h5py.string_dtype())


def huge(group, _secret):
    group.create_dataset("bias", (1 << 40,), np.float32, chunks=(1 << 20,), compression="gzip")


def one_huge_piece(group, _secret):
    """Four numbers, kept in a piece of 4 GiB, which HDF5 unpacks whole."""
    group.create_dataset("bias", (4,), np.float32, maxshape=(None,), chunks=((1 << 30) - 1,), compression="gzip")


def packed_by(number):
    """Numbers that HDF5 looks for a library to unpack with."""

    def make(group, _secret):
        dataset = group.create_dataset("bias", (4,), np.float32, chunks=(4,), compression=number, **UNKNOWN)
        dataset.id.write_direct_chunk((0,), b"packed")

    return make


def endless_numbers(group, _secret):
    group["bias"] = np.full(4, np.nan, np.float32)


def endless(group, _secret):
    group["bias"] = np.zeros(4, np.float32)
    group["again"] = group


def soft(group, _secret):
    group["bias"] = h5py.SoftLink("/prob/prob/bias")


def external(group, secret):
    group["bias"] = h5py.ExternalLink(secret, "secret")


def lost(group, _secret):
    group["bias"] = h5py.SoftLink("/nothing")


def listed_often(folder, _marker):
    """As large as memory, of a small file: each layer that is listed is read."""
    with h5py.File(folder / "weights_best.h5", "r+") as file:
        file.attrs["layer_names"] = [*file.attrs["layer_names"]] * 50


def replaced(content):
    return lambda folder, _marker: (folder / "weights_best.h5").write_bytes(content)


def unpickled(folder, marker):
    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    (folder / "weights_best.h5").write_bytes(pickle.dumps(Touch()))


def piped(name):
    def spoil(folder, _marker):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def whole_model(folder, marker):
    """Put Keras's own file of a model, with a function in it, into the place of the weights."""
    config = {"class_name": "Lambda", "config": {"name": "trap", "function": function(marker)}}
    with zipfile.ZipFile(folder / "weights_best.h5", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [config]}}))
        archive.writestr("model.weights.h5", b"")


os_function = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
TRAPS = {
    "a function for an activation": (with_config(unet_activation=function), "unet_activation"),
    "a function for the last activation": (with_config(unet_last_activation=function), "unet_last_activation"),
    "a function of Python": (with_config(unet_activation=os_function), "unet_activation"),
    "another backbone": (with_config(backbone="../../evil"), "backbone"),
    "a size of the input": (with_config(n_channel_in=1 << 30), "n_channel_in"),
    "a far larger network": (with_config(unet_n_filter_base=1024, unet_n_depth=8), "far larger network"),
    "a network without end": (with_config(unet_n_depth=1 << 30), "unet_n_depth"),
    "layers that are listed often": (listed_often, "some of its weights twice"),
    "another network": (with_config(n_rays=8), "[Ss]hape"),
    "a grid that is never reached": (with_config(grid=[3, 3]), "power of 2"),
    "a link to another file": (instead(external), "'bias' is a link"),
    "a link to another place": (instead(soft), "'bias' is a link"),
    "a link to nothing": (instead(lost), "'bias' is a link"),
    "numbers that another file has": (instead(virtual), "'bias' lie in another file"),
    "numbers of another file's bytes": (instead(outside), "'bias' lie in another file"),
    "texts": (instead(texts), "'bias' holds no numbers"),
    "terabytes": (instead(huge), "is the limit"),
    "gigabytes in a piece": (instead(one_huge_piece), "is the limit"),
    "a filter of somebody's": (instead(packed_by(32099)), r"uses a compression \(filter 32099\) that is not supported"),
    "a filter that is known": (instead(packed_by(32001)), r"uses a compression \(filter 32001\)"),
    "numbers that are none": (instead(endless_numbers), "not finite numbers"),
    "a pipe for weights": (piped("weights_best.h5"), "theirs"),
    "a pipe for a configuration": (piped("config.json"), "theirs"),
    "a pipe for thresholds": (piped("thresholds.json"), "theirs"),
    "a group that holds itself": (instead(endless), "more than 10,000 entries"),
    "weights of another shape": (
        instead(lambda group, _: group.create_dataset("bias", data=np.zeros(5, "f4"))),
        "[Ss]hape",
    ),
    "no weights": (instead(lambda *_: None), "theirs"),
    "weights that are a pickle": (unpickled, "theirs"),
    "weights that are a model of Keras": (whole_model, "theirs"),
    "weights that are text": (replaced(b"import os"), "theirs"),
    "deep thresholds": (lambda f, _: (f / "thresholds.json").write_text("[" * 100_000), "nested too deeply"),
    "a deep configuration": (lambda f, _: (f / "config.json").write_text("[" * 100_000), "nested too deeply"),
    "a long configuration": (lambda f, _: (f / "config.json").write_text(" " * (2 << 20)), "larger than 1 MiB"),
}


@pytest.mark.parametrize(("spoil", "words"), TRAPS.values(), ids=TRAPS)
def test_a_network_that_is_a_trap_is_refused(folder, tmp_path, spoil, words):
    marker = tmp_path / "it_ran"
    spoil(folder, marker)
    with pytest.raises(LibraryError, match=words) as caught:
        load_engine(SPEC).load(folder)
    assert "theirs" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not marker.exists()


def test_a_function_beside_the_weights_is_not_looked_at(folder, sound, tmp_path):
    """As Keras saved whole models once: with their layers, of which one may be a function."""
    marker = tmp_path / "it_ran"
    layer = {"class_name": "Lambda", "config": {"name": "trap", "function": function(marker)}}
    with h5py.File(folder / "weights_best.h5", "r+") as file:
        inner = file.create_group("model_weights")
        for name, value in file.attrs.items():
            inner.attrs[name] = value
        for name in [name for name in file if name != "model_weights"]:
            file.move(name, f"model_weights/{name}")
        for name in list(file.attrs):
            del file.attrs[name]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
        file.attrs["training_config"] = json.dumps({"loss": function(marker)})
    opened, plain = (load_engine(SPEC).load(place) for place in (folder, sound))
    assert not marker.exists()
    assert opened.thresholds == {"prob": 0.4, "nms": 0.3}
    pairs = zip(opened.network.state_dict().values(), plain.network.state_dict().values(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_there_are_enough_traps():
    assert len(TRAPS) >= 20
