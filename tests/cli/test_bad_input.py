"""Wrong input: exit status 1 and one line that names what is wrong, or 2 for wrong usage; and nothing is left behind.

What only the images can tell is found by the training process. Those cases train in this process, which ends with the
same line; a few go through the command.
"""

import importlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_seg_trainer.api import make_job
from napari_seg_trainer.engines import registry
from napari_seg_trainer.errors import EngineError
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run, list_runs
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Failed


def in_library(home):
    """Everything in the library, hidden files too."""
    return sorted(os.listdir(home / "models")) if (home / "models").is_dir() else []


def check_line(text, told):
    """Check that `text` is one line for a user, with the parts of `told` between its dots in it."""
    assert re.search(".*".join(map(re.escape, told.split(" … "))), text), text
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text
    assert text.endswith((".", "?", "!"))


# train: what is known before a process begins


@pytest.fixture
def train(cli, toy, annotation_folder):
    """``train(name="x", epochs=0)`` runs the command with good values for what is not given."""

    def run(**options):
        given = {"data": annotation_folder(), "name": "nuclei", "engine": toy} | options
        words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
        return cli("train", *words)

    return run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": ""}, "empty"),
        ({"name": " "}, "empty"),
        ({"name": "a/b"}, "'a/b' cannot be used: '/' is not allowed"),
        ({"name": "../evil"}, "'../evil' cannot be used"),
        ({"name": ".."}, "'..' cannot be used"),
        ({"name": "con"}, "'con' cannot be used: Windows reserves it"),
        ({"name": "LPT1.v2"}, "'LPT1.v2' cannot be used: Windows reserves it"),
        ({"name": "x" * 300}, "300 characters"),
        ({"epochs": 0}, "epochs … 0"),
        ({"epochs": -5}, "epochs … -5"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"learning_rate": "inf"}, "learning_rate"),
        ({"learning_rate": 1e9}, "learning_rate"),
        ({"epochs": 10**9}, "epochs … 1000000000"),
        ({"batch_size": 10**6}, "batch_size"),
        ({"minutes": 1e300}, "minutes"),
        ({"early_stopping": 10**9}, "early_stopping"),
        ({"seed": 2**32}, "seed"),
        ({"engine": "stardist", "set": "filters=1000000"}, "filters"),
        ({"engine": "cellpose", "set": "diameter=1000000"}, "diameter"),
        ({"pretrained": "x" * 6000}, "pretrained"),
        ({"augmentation": 0.5}, "augmentation"),
        ({"early_stopping": 0}, "early_stopping"),
        ({"pixel_size": 0}, "pixel_size … 0"),
        ({"pixel_size": -0.5}, "pixel_size … -0.5"),
        ({"pixel_size": "inf"}, "pixel_size"),
        ({"validation_split": 1}, "validation_split"),
        ({"seed": -1}, "seed"),
        ({"engine": "stardust"}, "no engine 'stardust'. Installed: cellpose, cellpose-sam, stardist, toy"),
        ({"set": "raise=64"}, "raise"),
        ({"set": "seconds=fast"}, "'fast'"),
        ({"engine": "stardist", "set": "rays=1000000"}, "1000000"),
        ({"channel": ""}, "channel name is empty"),
        ({"channel": "dapi", "normalization": "percentile:99,1"}, "low … 99 … high … 1"),
        ({"channel": "dapi", "normalization": "percentile:0,101"}, "101"),
    ],
    ids=lambda value: ",".join(map(str, value.values()))[:20] if isinstance(value, dict) else "",
)
def test_train_refuses_before_it_begins(home, train, options, told):
    shown = train(**options)
    assert (shown.status, shown.out) == (1, "")
    check_line(shown.error, told)
    assert list_runs() == []
    assert in_library(home) == []


@pytest.mark.parametrize("name", ["bright", "BRIGHT"])
def test_a_name_that_exists(home, train, toy_model, name):
    toy_model("bright")
    shown = train(name=name)
    assert shown.status == 1
    check_line(shown.error, f"'{name}' is already in the library")
    assert in_library(home) == ["bright"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        (b"", "is not a training job"),
        (b"{", "is not a training job"),
        (b"[]", "is not a training job"),
        (b"null", "is not a training job"),
        (b"\xff\xfe", "is not a training job"),
        (b'{"name": "n", "engine": "toy"}', "has no data"),
        (b'{"name": "n", "engine": "toy", "data": ["a\\u0000b"]}', "is not a folder name: it contains a zero byte"),
        (b'{"name": "n", "engine": "toy", "data": ["a"], "pretrained": "a\\u0000b"}', "is not a model name"),
        (b'{"name": "n", "engine": "toy", "data": [' + b",".join(1001 * [b'"a"']) + b"]}", "data"),
        (
            b'{"name": "n", "engine": "toy", "data": ["a"], "channels": ['
            + b",".join(b'{"name": "%d"}' % i for i in range(101))
            + b"]}",
            "channels",
        ),
        (b" " * (1 << 20) + b"{}", "cannot be read: It has 1048578 bytes, and 1048576 are the limit"),
        (b'{"name": "n", "data": ["a"]}', "engine"),
        (b'{"name": "n", "engine": "toy", "data": ["a"], "epoch": 5}', "epoch"),
        (b'{"name": "a/b", "engine": "toy", "data": ["a"]}', "'/' is not allowed"),
        (b'{"name": "n", "engine": "stardust", "data": ["a"]}', "no engine 'stardust'"),
        (b'{"name": "n", "engine": "toy", "data": ["a"], "hyperparameters": {"epochs": "many"}}', "'many'"),
        (b'{"name": "n", "engine": "toy", "data": "a"}', "data"),
    ],
)
def test_a_job_file_that_is_none(home, toy, cli, tmp_path, content, told):
    path = tmp_path / "job.json"
    if content is not None:
        path.write_bytes(content)
    shown = cli("train", path)
    assert shown.status == 1
    check_line(shown.error, told)
    assert list_runs() == []


def test_a_folder_as_job_file(home, cli, tmp_path):
    check_line(cli("train", tmp_path).error, "cannot be read")


def test_a_home_that_cannot_be_made(train, toy, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NAPARI_SEG_TRAINER_HOME", str(tmp_path / "file" / "home"))
    shown = train()
    assert shown.status == 1
    check_line(shown.error, str(tmp_path / "file"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_home_without_permission(home, train):
    home.mkdir(mode=0o500)
    shown = train()
    assert shown.status == 1
    check_line(shown.error, str(home))


def test_an_output_folder_that_cannot_be_written(home, train, tmp_path, monkeypatch, cli, toy):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.job.json").mkdir()
    shown = cli("train", "--name", "n", "--engine", toy, "--data", "a", "--dry-run")
    check_line(shown.error, "'n.job.json' already exists")


# train: what the images tell


def labels(change, name="cell_01_labelled.tif"):
    """Replace one mask by what `change` makes of it."""

    def spoil(folder):
        mask = change(tifffile.imread(folder / name))
        if isinstance(mask, bytes):
            (folder / name).write_bytes(mask)
        else:
            tifffile.imwrite(folder / name, mask)

    return spoil


def image(change):
    return labels(change, "cell_01.tif")


def every_mask(change):
    def spoil(folder):
        for path in folder.glob("*_labelled.tif"):
            labels(change, path.name)(folder)

    return spoil


def remove(*patterns):
    def spoil(folder):
        for pattern in patterns:
            for path in folder.glob(pattern):
                path.unlink()

    return spoil


def replaced_by_a_file(folder):
    remove("*")(folder)
    folder.rmdir()
    folder.write_text("a file")


def missing(folder):
    remove("*")(folder)
    folder.rmdir()


def sidecar(text):
    return lambda folder: (folder / "cell_01.json").write_text(text)


SPOILT = {
    "folder missing": (missing, "does not exist"),
    "folder is a file": (replaced_by_a_file, "is a file"),
    "folder empty": (remove("*"), "is empty"),
    "no pairs": (remove("*_labelled.tif"), "holds no image with its mask"),
    "masks only": (remove("cell_??.tif"), "holds no image with its mask"),
    "one image": (remove("cell_00*", "cell_02*", "cell_03*"), "only one annotated image"),
    "mask of another shape": (labels(lambda mask: mask[:50]), "is 96 × 96 … 'cell_01_labelled.tif' is 50 × 96"),
    "image of another shape": (image(lambda pixels: pixels[..., :64]), "is 96 × 64"),
    "fractions in a mask": (labels(lambda mask: mask + np.float32(0.5)), "cell_01_labelled.tif"),
    "NaN in a mask": (labels(lambda mask: np.full(mask.shape, np.nan, np.float32)), "cell_01_labelled.tif"),
    "negative labels": (labels(lambda mask: mask.astype(np.int16) - 1), "cell_01_labelled.tif"),
    "RGB mask": (labels(lambda mask: np.stack([mask.astype(np.uint8) * 9] * 3, -1)), "cell_01_labelled.tif"),
    "mask of huge numbers": (labels(lambda mask: mask.astype(np.uint32) * 2**28), "cell_01_labelled.tif"),
    "mask of classes": (labels(lambda mask: (mask > 0).astype(np.uint8)), "a single label for 16 separate objects"),
    "corrupt image": (image(lambda _: b"II*\0" + bytes(range(256))), "cell_01.tif"),
    "corrupt mask": (labels(lambda _: b"II*\0" + bytes(range(256))), "cell_01_labelled.tif"),
    "text as image": (image(lambda _: b"not an image"), "cell_01.tif"),
    "image of no bytes": (image(lambda _: b""), "is empty (0 bytes)"),
    "image cut short": (image(lambda pixels: pixels.tobytes()[:100]), "cell_01.tif"),
    "all masks empty": (every_mask(lambda mask: mask * 0), "All 4 masks"),
    "stack of frames": (image(lambda pixels: np.stack([pixels] * 30)), "cell_01.tif"),
    "sidecar is no JSON": (sidecar("{"), "cell_01.json"),
    "sidecar is a list": (sidecar("[]"), "cell_01.json"),
    "sidecar names too many channels": (sidecar('{"channels": ["a", "b"]}'), "cell_01.json"),
    "negative pixel size": (sidecar('{"channels": ["dapi"], "spatial_calibration": -1}'), "cell_01.json"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "told"), SPOILT.values(), ids=SPOILT)
@pytest.mark.filterwarnings("ignore::UserWarning:tifffile")
def test_bad_data_fails_a_training_with_one_line(home, toy, annotation_folder, spoil, told):
    folder = annotation_folder()
    spoil(folder)
    run = Run.create(make_job(name="nuclei", engine=toy, data=(folder,)))
    last = train_run(run)
    assert isinstance(last, Failed)
    check_line(last.message, told)
    assert str(folder) in last.message or told in ("All 4 masks",)
    assert in_library(home) == []
    assert not run.checkpoint_folder.exists()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"channels": [{"name": "rfp"}]}, "no channel 'rfp', only 'dapi'"),
        ({"channels": [{"name": "channel 7", "index": 7}]}, "no channel 7"),
        ({"hyperparameters": {"batch_size": 99}}, "Batch size 99 is larger than the 6 samples"),
        ({"pretrained": "unheard-of"}, "no pretrained model 'unheard-of'"),
        ({"pretrained": ""}, "no pretrained model ''"),
        ({"pretrained": "x" * 500}, "no pretrained model"),
        ({"pretrained": "2D_versatile_fluo"}, "is for the engine 'stardist', but this job is for 'toy'"),
        ({"builtin": ["cats"]}, "no built-in dataset 'cats'"),
        ({"validation_data": ["/nowhere/at/all"]}, "does not exist"),
        ({"pixel_size": 1e-9}, "5e+08-fold"),
        ({"pixel_size": 1e9}, "1e+09 µm"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_impossible_job_fails_with_one_line(home, toy, annotation_folder, fields, told):
    run = Run.create(make_job(**({"name": "nuclei", "engine": toy, "data": (annotation_folder(),)} | fields)))
    last = train_run(run)
    assert isinstance(last, Failed)
    check_line(last.message, told)
    assert in_library(home) == []


def test_an_engine_that_is_not_installed(home, toy, annotation_folder, monkeypatch):
    spec = importlib.import_module("toy_engine").SPEC
    monkeypatch.setattr("toy_engine.SPEC", type(spec)(**vars(spec) | {"requires": ("unheard_of",), "install": "pip!"}))
    last = train_run(Run.create(make_job(name="nuclei", engine=toy, data=(annotation_folder(),))))
    assert isinstance(last, Failed)
    assert last.message == "Toy needs unheard_of, not installed here. Run: pip!"


@pytest.mark.parametrize("spoilt", ["folder missing", "corrupt image"])
@pytest.mark.parametrize("engine", ["stardist"])
def test_the_command_says_the_same_and_fast(home, train, annotation_folder, spoilt, engine):
    spoil, told = SPOILT[spoilt]
    spoil(annotation_folder("spoilt"))
    shown = train(data=annotation_folder("spoilt", 0), engine=engine)
    assert shown.status == 1
    check_line(shown.error, told)
    (run,) = list_runs()
    assert "tensorflow" not in (run.folder / "log.txt").read_text().lower()
    assert in_library(home) == []


def test_the_command_fails_as_json_too(home, cli, toy, annotation_folder):
    words = ["--data", annotation_folder(), "--name", "nuclei", "--engine", toy, "--channel", "rfp", "--json"]
    shown = cli("train", *words)
    assert shown.status == 1
    check_line(shown.error, "no channel 'rfp'")
    assert json.loads(shown.out.splitlines()[-1])["message"] == shown.error


# the other commands


@pytest.mark.parametrize("command_", ["segment", "evaluate"])
@pytest.mark.parametrize("name", ["brigth", "", "..", "a/b", "/nowhere", "x" * 300, "a\0b"])
def test_an_unknown_model(home, toy_model, cli, annotation_folder, tmp_path, command_, name):
    toy_model("bright")
    words = [tmp_path / "a.tif", "--output", tmp_path / "out"] if command_ == "segment" else [annotation_folder()]
    shown = cli(command_, name, *words)
    assert shown.status == 1
    check_line(shown.error, name if name.isprintable() else "model")
    assert not (tmp_path / "out").exists()


def test_the_model_that_was_meant_is_proposed(toy_model, cli):
    toy_model("bright")
    assert "Did you mean 'bright'?" in cli("evaluate", "brigth", "a").error


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "There is no image"),
        (b"", "is empty (0 bytes)"),
        (b"text", "not a TIFF image"),
        (b"II*\0\x08\0\0\0\x01\0", "a.tif"),
        (b"II*\0" + bytes(range(256)), "holds no image"),
    ],
)
def test_an_image_that_cannot_be_segmented(toy_model, cli, tmp_path, content, told):
    toy_model("bright")
    if content is not None:
        (tmp_path / "a.tif").write_bytes(content)
    shown = cli("segment", "bright", tmp_path / "a.tif", "--output", tmp_path / "out")
    assert shown.status == 1
    check_line(shown.error, told)
    assert str(tmp_path / "a.tif") in shown.error
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pixel-size", "0"], "Pixel size 0 µm"),
        (["--pixel-size", "-1"], "Pixel size -1 µm"),
        (["--pixel-size", "nan"], "Pixel size nan µm"),
        (["--pixel-size", "1e9"], "1e+09 µm"),
        (["--channel", "rfp"], "no channel 'rfp'"),
        (["--channel", "3"], "no channel 3"),
        (["--channel", "0", "--channel", "0"], "takes 1 channel(s) (dapi), not 2"),
    ],
)
def test_options_that_do_not_fit_the_image(toy_model, cli, annotation_folder, tmp_path, words, told):
    toy_model("bright", pixel_size=0.5)
    shown = cli("segment", "bright", annotation_folder(images=1) / "cell_00.tif", "-o", tmp_path / "out", *words)
    assert shown.status == 1
    check_line(shown.error, told)


def test_label_files_are_not_overwritten(toy_model, cli, annotation_folder):
    toy_model("bright")
    folder = annotation_folder(images=1)
    shown = cli("segment", "bright", folder / "cell_00.tif", "--output", folder)
    assert shown.status == 1
    check_line(shown.error, "add --overwrite")


def test_a_model_whose_engine_is_not_installed(toy_model, cli, annotation_folder):
    card = toy_model("bright").folder / "model_card.json"
    card.write_text(card.read_text().replace('"toy"', '"stardust"'))
    shown = cli("evaluate", "bright", annotation_folder())
    assert shown.status == 1
    check_line(shown.error, "'stardust'")


@pytest.mark.parametrize("spoilt", ["folder missing", "folder empty", "no pairs", "corrupt image", "RGB mask"])
@pytest.mark.filterwarnings("ignore::UserWarning:tifffile")
def test_folders_that_cannot_be_evaluated(toy_model, cli, annotation_folder, spoilt):
    toy_model("bright")
    spoil, told = SPOILT[spoilt]
    folder = annotation_folder()
    spoil(folder)
    shown = cli("evaluate", "bright", folder)
    assert shown.status == 1
    check_line(shown.error, told)


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.filterwarnings("ignore::UserWarning:tifffile")
def test_the_check_finds_what_would_stop_a_training(home, cli, annotation_folder, spoilt):
    spoil, _ = SPOILT[spoilt]
    folder = annotation_folder()
    spoil(folder)
    shown = cli("check", folder, "--json")
    assert (shown.status, shown.err) == (1, "")
    assert json.loads(shown.out)["findings"][0]["severity"] == "error"


@pytest.mark.parametrize("command_", ["stop", "follow"])
@pytest.mark.parametrize("run", ["unheard-of", "", "../..", "x" * 300])
def test_an_unknown_run(home, cli, command_, run):
    shown = cli(command_, run)
    assert shown.status == 1
    check_line(shown.error, f"no run {run!r}")


# defects of the program


def test_a_defect_is_one_line_and_its_traceback_is_kept(home, cli, monkeypatch, tmp_path):
    def broken(folders, **others):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("napari_seg_trainer.cli.data.surveyed", broken)
    shown = cli("check", tmp_path)
    assert shown.status == 1
    check_line(shown.error, f"RuntimeError: first line. … bug in napari-seg-trainer … {home / 'log.txt'}")
    assert "second line" in (home / "log.txt").read_text()


# wrong usage


@pytest.mark.parametrize(
    "words",
    [
        ["unheard-of"],
        ["train"],
        ["train", "--name", "nuclei"],
        ["train", "--data", "a"],
        ["train", "--name", "nuclei", "--data"],
        ["train", "--name", "nuclei", "--data", "a", "--epohcs", "5"],
        ["train", "--name", "nuclei", "--data", "a", "--epochs", "many"],
        ["train", "--name", "nuclei", "--data", "a", "--set", "rays"],
        ["train", "--name", "nuclei", "--data", "a", "--channel", "x", "--normalization", "percentile"],
        ["train", "--name", "nuclei", "--data", "a", "--channel", "x", "--normalization", "minmax:0,1"],
        ["train", "--name", "nuclei", "--data", "a", "--channel", "x", "--normalization", "values:a,b"],
        ["train", "job.json", "--name", "nuclei", "--data", "a"],
        ["segment"],
        ["segment", "model"],
        ["segment", "model", "a.tif"],
        ["segment", "model", "a.tif", "--output", "out", "--pixel-size", "small"],
        ["evaluate", "model"],
        ["check"],
        ["stop"],
        ["follow"],
        ["models", "extra"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_status_2(home, cli, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = cli(*words)
    assert shown.status == 2
    assert "Error" in shown.err
    assert "Traceback" not in shown.err
    assert not home.exists()


@pytest.mark.skipif(os.name == "nt", reason="has no such pipes")
def test_a_pipe_as_job_file_is_not_waited_for(home, cli, tmp_path):
    os.mkfifo(tmp_path / "job.json")
    check_line(cli("train", tmp_path / "job.json").error, "It is a pipe or a device")


@pytest.fixture
def without_cellpose(monkeypatch):
    """As on a computer where Cellpose is not installed."""
    there = registry._is_installed
    monkeypatch.setattr(registry, "_is_installed", lambda name: name != "cellpose" and there(name))


def test_an_engine_that_lacks_something_is_told_apart(without_cellpose, train):
    check_line(
        train(engine="stardust").error,
        "Installed: stardist, toy. Engines with missing packages: cellpose (cellpose), cellpose-sam (cellpose).",
    )


def test_what_an_engine_lacks_is_said_before_images_are_read(without_cellpose, home, train):
    shown = train(engine="cellpose", data="/nowhere/annotations", channel="0")
    assert shown.status == 1
    assert 'needs cellpose, not installed here. Run: python -m pip install "napari-seg-trainer[' in shown.error
    job = make_job(name="n", engine="cellpose", data=("/nowhere/annotations",))
    with pytest.raises(EngineError, match="not installed here"):
        launch(job)
    assert list_runs() == []


def command(*words, **options):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_seg_trainer", *words], stderr=subprocess.PIPE, text=True, check=False, **options
    )


def test_a_home_of_nobody_is_one_line(tmp_path):
    shown = command("models", cwd=tmp_path, env=os.environ | {HOME_VARIABLE: "~nobody-at-all/models"})
    assert shown.returncode == 1
    check_line(shown.stderr.strip(), f"'~nobody-at-all/models': This user has no home folder. Set {HOME_VARIABLE}")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="does not let go of the current folder")
@pytest.mark.parametrize("words", [("check", "."), ("train", "--data", "x", "--name", "y")])
def test_a_current_folder_that_is_gone_is_one_line(home, tmp_path, words):
    """A shell stands in it while somebody else deletes it."""
    script = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"'
    begin = ["sh", "-c", script, "sh", str(tmp_path / "gone"), sys.executable, "-m", "napari_seg_trainer"]
    shown = subprocess.run([*begin, *words], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    check_line(shown.stderr.strip(), "The current folder no longer exists")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["at the end", "at once"])
@pytest.mark.parametrize("words", [("models", "--json"), ("--help",)])
def test_an_output_that_takes_nothing_is_one_line(home, words, unbuffered):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | unbuffered
    with open("/dev/full", "w") as full:
        shown = command(*words, stdout=full, env=environment)
    assert shown.returncode == 1
    check_line(shown.stderr.strip(), "The output cannot be written: No space left on device")


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise")
def test_who_reads_no_further_is_told_nothing(home):
    begin = [sys.executable, "-m", "napari_seg_trainer", "--help"]
    with subprocess.Popen(begin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_a_terminal_of_few_letters_shows_what_it_can(home, toy_model):
    toy_model("bright", ("größer ✓",))
    shown = command("models", stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii:replace"})
    assert (shown.returncode, shown.stderr) == (0, "")
    strict = command("models", stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (strict.returncode, strict.stderr) == (0, "")
    assert "bright" in strict.stdout
    assert "gr\\xf6\\xdfer" in strict.stdout.replace("\n", "").replace(" ", "")
