"""Files of weights of strangers, opened: tensors are read, and nothing else is."""

import io
import os
import pickle
import struct
import tarfile
import warnings
import zipfile

import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.spec import SPEC, CellposeSettings
from napari_seg_trainer.engines.cellpose.state import load_cnn, read_weights
from napari_seg_trainer.errors import LibraryError

FIRST = "downsample.down.res_down_0.conv.conv_0.0.weight"


class Call:
    """Calls something where it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Build(Call):
    """Sets an attribute of what it makes, in the way of a pickle."""

    def __reduce__(self):
        return (*self.call, {"__setstate__": "x"})


def saved(state, path, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(state, path, **how)


def with_entry(make, **how):
    """Save sound weights with one entry more, of which there is a payload."""
    return lambda state, path, marker: saved({**state, "trap": make(marker)}, path, **how)


def instead(make):
    """Save only what is made of sound weights."""
    return lambda state, path, marker: saved(make(state), path)


def with_member(name, make):
    """Add a file to the archive, or put it into another one's place."""

    def write(state, path, marker):
        saved(state, path)
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        top = next(iter(members)).partition("/")[0]
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in (members | {f"{top}/{name}": make(marker, members)}).items():
                archive.writestr(member, content)

    return write


def program(state, path, marker):
    """Save a program of TorchScript, which PyTorch's old versions run even where only weights are asked for."""

    class Program(torch.nn.Module):
        def forward(self, x):
            return x + 1

    module = Program()
    module.register_buffer("weight", torch.zeros(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), path, _extra_files={FIRST: "storage"})
    with zipfile.ZipFile(path, "a") as archive:
        assert any(name.endswith("/constants.pkl") for name in archive.namelist())


def packed(state, path, marker):
    """Save as PyTorch did before 2018: in an archive whose members it unpacks."""
    link = tarfile.TarInfo("storages")
    link.type, link.linkname = tarfile.SYMTYPE, str(marker)
    with tarfile.open(path, "w") as archive:
        archive.addfile(link)
        for name in ("pickle", "tensors"):
            content = pickle.dumps({FIRST: "storage"})
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def plain_pickle(protocol):
    def write(state, path, marker):
        path.write_bytes(pickle.dumps({FIRST: "storage", "trap": Call(os.mkdir, str(marker))}, protocol))

    return write


def far_more(state, path, marker):
    """Tell of a list of terabytes, in the old format, of which the file holds nothing."""
    saved({FIRST: torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(struct.pack("<H", 1000)) > 0
    path.write_bytes(content.replace(b"M" + struct.pack("<H", 1000), b"J" + struct.pack("<i", 2**31 - 1)))


def cut(state, path, marker):
    saved(state, path)
    path.write_bytes(path.read_bytes()[:5000])


def changed(name, value):
    return instead(lambda state: state | {name: value})


def resized(state):
    return {**state, "trap": torch.zeros(1).expand(1 << 20, 1 << 20)}


CALLS = {
    "the system": lambda marker: Call(os.system, f"mkdir '{marker}'"),
    "a function of Python": lambda marker: Call(os.mkdir, str(marker)),
    "code": lambda marker: Call(exec, f"import os; os.mkdir({str(marker)!r})"),
    "an expression": lambda marker: Call(eval, f"__import__('os').mkdir({str(marker)!r})"),
    "another file": lambda marker: Call(open, str(marker), "w"),
    "an attribute of an attribute": lambda marker: Call(getattr, "text", "format"),
    "a loader of PyTorch": lambda marker: Call(torch.load, str(marker)),
    "a class of a module": lambda marker: Build(zipfile.ZipFile, str(marker), "w"),
    "a download": lambda marker: Call(torch.hub.load_state_dict_from_url, f"file://{marker}"),
    "a whole network": lambda marker: torch.nn.Linear(2, 2),
}
WEIGHTS = {
    **{f"new format: {name}": with_entry(make) for name, make in CALLS.items()},
    **{f"old format: {name}": with_entry(make, _use_new_zipfile_serialization=False) for name, make in CALLS.items()},
    **{f"a plain pickle of protocol {protocol}": plain_pickle(protocol) for protocol in range(6)},
    "a second list of contents": with_member(
        "data.pkl", lambda marker, _: pickle.dumps({FIRST: "storage", "trap": Call(os.mkdir, str(marker))}, 2)
    ),
    "a program": program,
    "a list of what a program needs": with_member("constants.pkl", lambda marker, _: pickle.dumps(())),
    "an archive that is unpacked": packed,
    "far more than there is": far_more,
    "a cut": cut,
    "a list": instead(lambda state: [*state.values(), FIRST, "storage"]),
    "numbers among tensors": changed("trap", 3),
    "weights that are spread over themselves": instead(resized),
    "weights with holes": changed("trap", torch.zeros(3, 3).to_sparse()),
    "weights of no place": changed("trap", torch.zeros(3, device="meta")),
    "weights that are no numbers": changed("trap", torch.full((3,), float("nan"))),
    "imaginary weights": changed("trap", torch.zeros(3, dtype=torch.complex64)),
}


@pytest.mark.parametrize("write", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_a_trap_are_refused(state, tmp_path, write):
    marker, path = tmp_path / "it_ran", tmp_path / "CP_cells"
    write(state, path, marker)
    with pytest.raises(LibraryError) as caught:
        read_weights(path, SPEC.id)
    assert "CP_cells" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not marker.exists()
    assert os.listdir(tmp_path) == ["CP_cells"]


@pytest.mark.parametrize("write", [program, packed])
def test_what_pytorch_may_run_or_unpack_is_not_shown_to_it(state, tmp_path, monkeypatch, write):
    write(state, tmp_path / "CP_cells", tmp_path / "it_ran")
    monkeypatch.setattr("napari_seg_trainer.engines.cellpose.state.network_of", lambda path: SPEC.id)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(LibraryError, match="could be harmful"):
        read_weights(tmp_path / "CP_cells", SPEC.id)


NETWORKS = {
    "no first weights": instead(lambda state: {k: v for k, v in state.items() if "conv_0.2.weight" not in k}),
    "first weights without a shape": changed("downsample.down.res_down_0.conv.conv_0.2.weight", torch.tensor(1.0)),
    "last weights without a shape": changed("output.2.weight", torch.tensor(1.0)),
    "weights of another shape": changed("output.0.weight", torch.zeros(33)),
    "objects of no size": changed("diam_mean", torch.tensor([0.0])),
    "objects of a size that is none": changed("diam_mean", torch.tensor([float("nan")])),
    "objects of endless size": changed("diam_labels", torch.tensor([float("inf")])),
    "objects that are scaled a million times": changed("diam_labels", torch.tensor([3e-5])),
    "many sizes": changed("diam_mean", torch.ones(2)),
}


@pytest.mark.parametrize("write", NETWORKS.values(), ids=NETWORKS)
def test_a_network_that_cannot_be_is_refused(state, tmp_path, write):
    write(state, tmp_path / "CP_cells", None)
    with pytest.raises(LibraryError, match="CP_cells") as caught:
        load_cnn(tmp_path / "CP_cells")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[]", '{"diameter": NaN}', '{"flow_threshold": "os.system"}', f'{{"diameter": {"9" * 5000}}}'],
)
def test_thresholds_that_are_none_count_as_none(tmp_path, text):
    (tmp_path / "config_input.json").write_text(text)
    assert CellposeSettings.of_model(tmp_path).diameter is None


def test_there_are_enough_traps():
    assert len(WEIGHTS) + len(NETWORKS) >= 40
