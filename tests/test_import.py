import subprocess
import sys

import pytest

import napari_seg_trainer

FRAMEWORKS = ("tensorflow", "keras", "torch", "stardist", "csbdeep", "cellpose", "napari", "qtpy")
SHOW_LOADED = "import sys\n{code}\nprint(*sorted(name for name in {names!r} if name in sys.modules))"


def loaded(code: str, names: tuple[str, ...]) -> str:
    """Which of these modules a fresh process has imported after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_LOADED.format(code=code, names=names)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("import napari_seg_trainer", (*FRAMEWORKS, "numpy", "pydantic", "matplotlib")) == ""


@pytest.mark.parametrize(
    "code",
    [
        "from napari_seg_trainer.engines.registry import engine_specs; assert 'stardist' in engine_specs()",
        "from napari_seg_trainer import *\nfrom napari_seg_trainer.cli.app import app\n"
        "from typer.testing import CliRunner\nassert CliRunner().invoke(app, ['train', '--help']).exit_code == 0",
    ],
    ids=["engines", "everything public and the command line"],
)
def test_no_framework_is_imported(code):
    assert loaded(code, FRAMEWORKS) == ""


@pytest.mark.parametrize("name", napari_seg_trainer.__all__)
def test_public_names_are_there_and_documented(name):
    assert getattr(napari_seg_trainer, name).__doc__


def test_public_names_are_listed():
    assert set(dir(napari_seg_trainer)) >= {"train", "segment", "evaluate", "load_annotations"}
    assert sorted(napari_seg_trainer.__all__) == napari_seg_trainer.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="trian"):
        _ = napari_seg_trainer.trian
