import json
import os
import pickle
import zipfile

import pytest

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.foreign import model_name_from, read_foreign
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelChannel
from napari_seg_trainer.schema.names import check_model_name

CELLDETECTIVE = {
    "channels": ["brightfield_channel", "live_nuclei_channel"],
    "normalization_percentile": [True, False],
    "normalization_clip": [False, True],
    "normalization_values": [[0.5, 99.5], [100, 4000]],
    "model_type": "stardist",
    "spatial_calibration": 0.31,
    "cell_size_um": 12.4,
    "something_of_a_later_version": {"a": 1},
}


@pytest.fixture
def make_celldetective(make_stardist):
    def make(name="cd", **changes):
        folder = make_stardist(name, n_channel_in=changes.pop("n_channel_in", 2))
        (folder / "config_input.json").write_text(json.dumps(CELLDETECTIVE | changes))
        return folder

    return make


def test_a_stardist_folder(make_stardist):
    card = read_foreign(make_stardist("my model!", n_channel_in=3))
    assert (card.name, card.engine, card.pixel_size, card.epochs) == ("my-model-", "stardist", None, 400)
    assert [channel.name for channel in card.channels] == ["channel 0", "channel 1", "channel 2"]
    assert card.channels[0].normalization == Normalization(mode="percentile", low=1, high=99.8, clip=False)
    assert card.hyperparameters == {
        "epochs": 400,
        "batch_size": 8,
        "learning_rate": 0.0003,
        "rays": 32,
        "grid": 2,
        "depth": 3,
        "filters": 32,
        "patch_size": 256,
        "foreground": 0.9,
    }


def test_hyperparameters_are_those_of_the_engine(make_stardist):
    from napari_seg_trainer.engines.registry import parse_parameters
    from napari_seg_trainer.engines.stardist.spec import SPEC

    card = read_foreign(make_stardist())
    assert parse_parameters(SPEC, dict(card.hyperparameters)).rays == 32


def test_a_sparse_stardist_folder(make_stardist):
    folder = make_stardist(thresholds=False, weights=False)
    (folder / "config.json").write_text('{"n_rays": 64, "grid": [1, 2]}')
    (folder / "weights_last.hdf5").write_bytes(b"")
    assert read_foreign(folder).hyperparameters == {"rays": 64}


def test_nothing_is_written(make_stardist):
    folder = make_stardist()
    before = sorted(folder.iterdir())
    read_foreign(folder)
    assert sorted(folder.iterdir()) == before


def test_a_celldetective_stardist_folder(make_celldetective):
    card = read_foreign(make_celldetective())
    assert card.channels == (
        ModelChannel(
            name="brightfield_channel", normalization=Normalization(low=0.5, high=99.5, clip=True, skip_zeros=True)
        ),
        ModelChannel(
            name="live_nuclei_channel",
            normalization=Normalization(mode="values", low=100, high=4000, clip=True, skip_zeros=True),
        ),
    )
    assert (card.engine, card.pixel_size, card.object_diameter) == ("stardist", 0.31, pytest.approx(40))
    assert card.hyperparameters["rays"] == 32


@pytest.mark.parametrize("absent", [None, "None", "--"])
def test_a_celldetective_cellpose_folder(tmp_path, absent, cellpose_weights):
    folder = tmp_path / "cp_blood"
    folder.mkdir()
    (folder / "cp_blood").write_bytes(cellpose_weights())
    config = CELLDETECTIVE | {
        "model_type": "cellpose",
        "channels": ["cyto", absent],
        "cell_size_um": None,
        "diameter": 27.5,
        "flow_threshold": 0.4,
        "cellprob_threshold": 0.0,
    }
    (folder / "config_input.json").write_text(json.dumps(config))
    card = read_foreign(folder)
    assert (card.name, card.engine, card.object_diameter) == ("cp_blood", "cellpose", 27.5)
    assert [channel.name for channel in card.channels] == ["cyto"]
    assert card.hyperparameters == {"diameter": 27.5, "flow_threshold": 0.4, "cellprob_threshold": 0.0}


def test_celldetective_lists_may_be_missing(make_celldetective):
    folder = make_celldetective()
    lean = {name: CELLDETECTIVE[name] for name in ("channels", "model_type")}
    (folder / "config_input.json").write_text(json.dumps(lean))
    assert [channel.normalization for channel in read_foreign(folder).channels] == [Normalization(skip_zeros=True)] * 2


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "[1, 2]", "holds a list"),
        ("config.json", '"text"', "holds a str"),
        ("config.json", "{", "not JSON"),
        ("config.json", "", "not JSON"),
        ("config.json", "\xff\xfe", "not JSON"),
        ("config.json", "[" * 100_000, "not JSON"),
        ("config.json", "{}", "n_rays: Field required"),
        ("config.json", '{"n_rays": "many"}', "n_rays"),
        ("config.json", '{"n_rays": 32, "n_channel_in": 0}', "n_channel_in"),
        ("config.json", '{"n_rays": 96, "n_dim": 3}', "3D"),
        ("thresholds.json", "[0.5, 0.4]", "holds a list"),
        ("thresholds.json", '{"prob": 7}', "prob"),
    ],
)
def test_a_damaged_stardist_folder(make_stardist, file, content, message):
    folder = make_stardist()
    (folder / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(LibraryError, match=message) as caught:
        read_foreign(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": []}, "channels"),
        ({"channels": "nuclei"}, "channels"),
        ({"channels": [1, 2]}, "channels"),
        ({"model_type": "yolo"}, "model_type"),
        ({"normalization_clip": [True]}, "normalization_clip has 1 entries for 2 channels"),
        ({"normalization_values": [[1, 2, 3], [1, 2]]}, "normalization_values"),
        ({"normalization_values": [[99, 1], [1, 2]]}, "must be smaller"),
        ({"normalization_values": [[1, 400], [1, 2]]}, "0 to 100"),
        ({"spatial_calibration": -1}, "spatial_calibration"),
        ({"n_channel_in": 1}, "names 2 channels, but the network takes 1"),
        ({"model_type": "cellpose"}, "holds no weights of Cellpose"),
    ],
)
def test_a_damaged_celldetective_folder(make_celldetective, changes, message):
    with pytest.raises(LibraryError, match=message) as caught:
        read_foreign(make_celldetective(**changes))
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights(make_stardist):
    with pytest.raises(LibraryError, match="no weights"):
        read_foreign(make_stardist(weights=False))


def test_missing_thresholds_are_fine(make_stardist):
    assert read_foreign(make_stardist(thresholds=False)).engine == "stardist"


@pytest.mark.parametrize(("name", "message"), [("empty", "is not a model folder"), ("missing", "is not a folder")])
def test_a_folder_that_is_neither(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match=message):
        read_foreign(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2D_versatile_fluo", "2D_versatile_fluo"),
        ("my nuclei (v2)", "my-nuclei-v2-"),
        ("..hidden.", "hidden"),
        ("-x", "x"),
        ("細胞", "model"),
        ("", "model"),
        ("aux", "model-aux"),
        ("a" * 300, "a" * 100),
    ],
)
def test_names_are_made_valid(text, name):
    assert check_model_name(model_name_from(text)) == name


CNN, SAM = "downsample.down.res_down_0.conv.conv_0.0.weight", "encoder.blocks.0.attn.qkv.weight"


@pytest.mark.parametrize(
    ("weight", "engine"), [(CNN, "cellpose"), (f"module.{CNN}", "cellpose"), (SAM, "cellpose-sam")]
)
@pytest.mark.parametrize("named", ["CP_20260101_120000", "CP_20260101_120000/CP_20260101_120000", "cp/weights.pth"])
def test_cellposes_own_weights_tell_their_network(tmp_path, cellpose_weights, named, weight, engine):
    path = tmp_path / named
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(cellpose_weights(weight))
    card = read_foreign(path if path.parent == tmp_path else path.parent)
    assert card.engine == engine
    assert len(card.channels) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a file of weights saved by PyTorch"),
        (b"\x80\x02}q\x00.", "holds no network of Cellpose"),
        (b"PK\x03\x04 and then nothing", "is not a file of weights saved by PyTorch"),
        ("encoder.cls_token", "DINO network, which cannot be used"),
        ("fc.weight", "holds no network of Cellpose"),
    ],
)
def test_other_files_are_refused(tmp_path, cellpose_weights, content, message):
    path = tmp_path / "weights"
    path.write_bytes(content if isinstance(content, bytes) else cellpose_weights(content))
    with pytest.raises(LibraryError, match=message) as caught:
        read_foreign(path)
    assert "\n" not in str(caught.value)


def test_what_a_file_would_run_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.system, (f"touch '{tmp_path / 'it_ran'}'",)

    path = tmp_path / "harmful"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("harmful/data.pkl", pickle.dumps({CNN: Harmful()}))
    assert read_foreign(path).engine == "cellpose"  # its names say so; whoever loads it refuses it
    assert not (tmp_path / "it_ran").exists()
