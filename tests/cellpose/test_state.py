"""Weights go both ways between this project and Cellpose, and bring nothing else along."""

import os

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.cnn import CellposeNet
from napari_seg_trainer.engines.cellpose.state import load_cnn, read_weights
from napari_seg_trainer.engines.torch.files import save
from napari_seg_trainer.errors import LibraryError


def test_names_and_shapes_are_those_of_cellpose_3(state):
    own = CellposeNet().state_dict()
    assert {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in state.items()}


@pytest.mark.parametrize("new_format", [True, False])
def test_the_network_answers_as_cellpose_3_does(record, state, recorded, tmp_path, new_format):
    torch.save(state, tmp_path / "CP_cells", _use_new_zipfile_serialization=new_format)
    network = load_cnn(tmp_path / "CP_cells").eval()
    with torch.no_grad():
        answer, style = network(torch.from_numpy(record.image()))
    np.testing.assert_allclose(answer, recorded["answer"], atol=1e-4)
    np.testing.assert_allclose(style, recorded["style"], atol=1e-4)
    assert (float(network.diam_mean), float(network.diam_labels)) == (30.0, 21.5)


def test_weights_of_several_gpus_are_understood(state, tmp_path):
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "CP")
    assert load_cnn(tmp_path / "CP").state_dict().keys() == state.keys()


def test_what_is_saved_holds_tensors_only(tmp_path):
    network = CellposeNet()
    save(network.state_dict(), tmp_path / "weights.pth")
    again = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert again.keys() == network.state_dict().keys()
    assert all(value.dtype in (torch.float32, torch.int64) for value in again.values())


def _without(state, _path):
    return {name: value for name, value in state.items() if name != "output.2.bias"}


def _of_another_size(state, _path):
    first = "downsample.down.res_down_0.conv.conv_0.2.weight"
    return state | {first: torch.zeros(32, 1, 3, 3)}


def _for_classes(state, _path):
    return state | {"output.2.weight": torch.zeros(4, 32, 1, 1)}


def _deeper(state, _path):
    return state | {"output.2.bias": torch.zeros(5)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "lacks 1 weights, such as output.2.bias"),
        (_of_another_size, "takes 1 channels"),
        (_for_classes, "answers 4"),
        (_deeper, "of another size"),
    ],
)
def test_another_network_is_refused(state, tmp_path, change, message):
    torch.save(change(state, tmp_path), tmp_path / "CP")
    with pytest.raises(LibraryError, match=message) as caught:
        load_cnn(tmp_path / "CP")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "engine", "message"),
    [
        ("encoder.blocks.0.attn.qkv.weight", "cellpose", r"weights of Cellpose-SAM \(Cellpose 4\), not of Cellpose 1"),
        (
            "downsample.down.res_down_0.conv.conv_0.0.weight",
            "cellpose-sam",
            "weights of Cellpose 1 to 3, not of Cellpose-SAM",
        ),
    ],
)
def test_the_wrong_generation_is_named(tmp_path, weight, engine, message):
    torch.save({weight: torch.zeros(1)}, tmp_path / "CP")
    with pytest.raises(LibraryError, match=message):
        read_weights(tmp_path / "CP", engine)


class _Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_what_a_file_would_run_is_refused_and_not_run(state, tmp_path):
    harmful = {**state, "harmful": _Harmful(tmp_path / "it_ran")}
    torch.save(harmful, tmp_path / "CP")
    (tmp_path / "it_ran").unlink(missing_ok=True)
    with pytest.raises(LibraryError, match="could be harmful"):
        load_cnn(tmp_path / "CP")
    assert not (tmp_path / "it_ran").exists()


def test_a_damaged_file_is_one_line(state, tmp_path):
    torch.save(state, tmp_path / "CP")
    content = (tmp_path / "CP").read_bytes()
    (tmp_path / "CP").write_bytes(content[: len(content) // 2])
    with pytest.raises(LibraryError, match="CP") as caught:
        load_cnn(tmp_path / "CP")
    assert "\n" not in str(caught.value)
