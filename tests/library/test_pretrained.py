import hashlib
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.engines.registry import engine_spec
from napari_seg_trainer.errors import DownloadError, LibraryError
from napari_seg_trainer.library import pretrained
from napari_seg_trainer.library.pretrained import CHECKSUMS_FILE, fetch, known_checksum, resolve_pretrained

STARDIST, CELLPOSE = engine_spec("stardist"), engine_spec("cellpose")


def visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


@pytest.fixture
def builtin(server, stardist_zip, monkeypatch, tmp_path):
    """Serve a built-in model from this machine, in place of the internet."""
    server.content = stardist_zip
    model = PretrainedModel(
        name="2D_test",
        title="A test",
        url=f"{server.url}/2D_test.zip",
        checksum=f"sha256:{hashlib.sha256(stardist_zip).hexdigest()}",
        channels=("DNA",),
    )
    monkeypatch.setattr(pretrained, "builtin_models", lambda: {model.name: (STARDIST, model)})
    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(tmp_path / "home"))
    return model


def test_addresses_and_checksums_are_those_of_stardist():
    spec = importlib.util.find_spec("stardist")
    if spec is None or spec.origin is None:
        pytest.skip("stardist is not installed")
    registered = (Path(spec.origin).parent / "models" / "__init__.py").read_text()
    for model in (model for model in STARDIST.pretrained if not model.is_starter):
        line = next(line for line in registered.splitlines() if f"'{model.name}', " in line)
        assert f"'{model.url}'" in line
        assert f"'{model.checksum.removeprefix('sha256:')}'" in line


def test_a_builtin_model_is_fetched_once(builtin, server, library, tmp_path):
    seen = []
    model = resolve_pretrained("2D_test", "stardist", library, progress=lambda done, total: seen.append((done, total)))
    assert model.folder == tmp_path / "home" / "downloads" / "2D_test"
    assert sorted(os.listdir(model.folder)) == ["config.json", "weights_best.h5"]
    assert visible(model.folder.parent) == ["2D_test"]
    assert (model.name, [channel.name for channel in model.card.channels]) == ("2D_test", ["DNA"])
    assert seen[-1] == (len(server.content), len(server.content))
    assert resolve_pretrained("2D_test", "stardist", library) == model
    assert len(server.requests) == 1


def test_a_builtin_model_of_another_engine_is_not_fetched(builtin, server, library):
    with pytest.raises(LibraryError, match="for the engine 'stardist', but this job is for 'cellpose'"):
        resolve_pretrained("2D_test", "cellpose", library)
    assert server.requests == []


def test_an_unexpected_archive_is_refused(builtin, server, tmp_path):
    server.content += b"!"
    with pytest.raises(DownloadError, match="not the expected file"):
        fetch(builtin, STARDIST, tmp_path / "downloads")
    assert visible(tmp_path / "downloads") == []


def test_a_damaged_download_tells_how_to_fetch_it_anew(builtin, library):
    (resolve_pretrained("2D_test", "stardist", library).folder / "weights_best.h5").unlink()
    with pytest.raises(LibraryError, match="downloaded again"):
        resolve_pretrained("2D_test", "stardist", library)


def test_a_name_in_the_library_comes_first(builtin, server, library, make_card, make_finished):
    own = library.register(make_finished(), make_card("2D_test"))
    assert resolve_pretrained("2D_test", "stardist", library) == own
    assert server.requests == []


def test_a_folder_of_ours_keeps_its_card(library, make_card, make_finished):
    own = library.register(make_finished(), make_card(pixel_size=0.5))
    assert resolve_pretrained(str(own.folder), "stardist", library) == own


def test_a_folder_of_stardist_gets_a_card(library, make_stardist):
    folder = make_stardist("theirs")
    model = resolve_pretrained(str(folder), "stardist", library)
    assert (model.folder, model.name, model.card.engine) == (folder, "theirs", "stardist")


def test_a_model_of_another_engine_is_refused(library, make_card, make_finished):
    library.register(make_finished(), make_card(engine="cellpose-cnn"))
    with pytest.raises(LibraryError, match="for the engine 'cellpose-cnn', but this job is for 'stardist'"):
        resolve_pretrained("nuclei", "stardist", library)


@pytest.mark.parametrize("text", ["unknown", "", "~nobody-here/model", "a/b"])
def test_an_unknown_name_is_answered_with_what_there_is(library, make_card, make_finished, text):
    library.register(make_finished(), make_card())
    with pytest.raises(
        LibraryError, match=r"library: nuclei\. Built in: nuclei_fluorescence, nuclei_tissue, 2D_versatile_fluo"
    ) as caught:
        resolve_pretrained(text, "stardist", library)
    assert "\n" not in str(caught.value)


def test_another_file_is_no_model(tmp_path, library):
    (tmp_path / "model.zip").write_bytes(b"")
    with pytest.raises(LibraryError, match="is not a file of weights saved by PyTorch"):
        resolve_pretrained(str(tmp_path / "model.zip"), "stardist", library)


@pytest.mark.parametrize("pinned", [True, False])
def test_weights_of_cellpose_are_fetched_once(server, library, monkeypatch, tmp_path, cellpose_weights, pinned):
    server.content = cellpose_weights()
    checksum = f"sha256:{hashlib.sha256(server.content).hexdigest()}" if pinned else None
    model = PretrainedModel(name="cyto0", title="A test", url=f"{server.url}/cyto0", checksum=checksum, channels=("a",))
    monkeypatch.setattr(pretrained, "builtin_models", lambda: {model.name: (CELLPOSE, model)})
    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(tmp_path / "home"))
    found = resolve_pretrained("cyto0", "cellpose", library)
    assert visible(found.folder.parent) == ["cyto0"]
    assert os.listdir(found.folder) == ["weights.pth"]
    assert (found.name, found.card.channels[0].normalization.high) == ("cyto0", 99.0)
    assert resolve_pretrained("cyto0", "cellpose", library) == found
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"<html>not found</html>", "is not a file of weights"), ("fc.weight", "holds no network of Cellpose")],
)
def test_a_download_without_a_known_hash_must_be_such_a_network(
    server, library, monkeypatch, tmp_path, cellpose_weights, content, told
):
    server.content = content if isinstance(content, bytes) else cellpose_weights(content)
    model = PretrainedModel(name="cyto0", title="A test", url=f"{server.url}/cyto0", checksum=None, channels=("a",))
    with pytest.raises(LibraryError, match=told):
        fetch(model, CELLPOSE, tmp_path / "downloads")
    assert visible(tmp_path / "downloads") == []
    assert known_checksum(model.url, tmp_path / "downloads") is None


def test_what_came_the_first_time_is_what_has_to_come_later(server, tmp_path, cellpose_weights, caplog):
    """Where nobody tells a checksum."""
    server.content = cellpose_weights()
    downloads = tmp_path / "downloads"
    model = PretrainedModel(name="cyto0", title="A test", url=f"{server.url}/cyto0", checksum=None, channels=("a",))
    first = fetch(model, CELLPOSE, downloads)
    checksum = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    assert known_checksum(model.url, downloads) == checksum
    assert (
        f"The checksum of the pretrained model 'cyto0' is not published. That of the file from {model.url}"
        in caplog.text
    )
    shutil.rmtree(first.folder)
    caplog.clear()
    assert fetch(model, CELLPOSE, downloads).folder == first.folder
    assert caplog.text == ""
    shutil.rmtree(first.folder)
    server.content = cellpose_weights() + b"x"
    with pytest.raises(DownloadError, match="is not the expected file"):
        fetch(model, CELLPOSE, downloads)
    (downloads / CHECKSUMS_FILE).write_text('{"a": "md5:1"}')  # by somebody else: it counts for nothing
    assert known_checksum(model.url, downloads) is None


def test_weights_of_cellpose_can_be_chosen_as_a_file(tmp_path, library, cellpose_weights):
    path = tmp_path / "CP_20260101"
    path.write_bytes(cellpose_weights())
    assert resolve_pretrained(str(path), "cellpose", library).folder == path
    with pytest.raises(LibraryError, match="for the engine 'cellpose', but this job is for 'cellpose-sam'"):
        resolve_pretrained(str(path), "cellpose-sam", library)


@pytest.mark.parametrize(
    ("place", "told"),
    [("no_such_package/half.json", "is not installed"), ("json/none.zip", "lacks its file .*none.zip")],
)
def test_a_model_that_its_package_lacks_is_one_line(tmp_path, place, told):
    model = PretrainedModel(name="half", title="A test", url=f"package:{place}", checksum=None, channels=("a",))
    with pytest.raises(LibraryError, match=told) as error:
        fetch(model, STARDIST, tmp_path / "downloads")
    assert "\n" not in str(error.value)
