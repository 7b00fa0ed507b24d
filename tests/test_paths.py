from pathlib import Path

import pytest

from napari_seg_trainer import paths


def test_the_variable_moves_everything(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    found = [paths.home(), paths.models_folder(), paths.runs_folder(), paths.downloads_folder()]
    assert found == [tmp_path, tmp_path / "models", tmp_path / "runs", tmp_path / "downloads"]


@pytest.mark.parametrize(("given", "expected"), [("~/here", Path.home() / "here"), ("here", Path.cwd() / "here")])
def test_a_home_is_absolute(given, expected, monkeypatch):
    monkeypatch.setenv(paths.HOME_VARIABLE, given)
    assert paths.home() == expected


@pytest.mark.parametrize("unset", ["", None])
def test_without_the_variable_it_is_the_users_data_folder(unset, monkeypatch):
    monkeypatch.delenv(paths.HOME_VARIABLE, raising=False)
    if unset is not None:
        monkeypatch.setenv(paths.HOME_VARIABLE, unset)
    assert paths.home().name == "napari-seg-trainer"
    assert paths.home().is_absolute()
