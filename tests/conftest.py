"""What several test folders share.

`home`, `annotation_folder` and `cli` are made anew for each test. `toy` installs an engine that trains in a second, in
this process and in those that it starts. `stardist_training` is one real training, done once, to be looked at only.
"""

import io
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

os.environ.setdefault("NAPARI_CONFIG", "")  # the viewers of the tests neither read nor change the user's settings
# what napari compiles the first time that a shape or a label is drawn takes half a minute
os.environ.setdefault("NAPARI_TRIANGULATION_BACKEND", "pure_python")
os.environ.setdefault("NAPARI_COLORMAP_BACKEND", "pure_python")
# a training that lets others go first is waited for by a test, behind all other tests
os.environ.setdefault("NAPARI_SEG_TRAINER_NICENESS", "0")

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.cli import main
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.run import Run, list_runs
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel
from napari_seg_trainer.testing.engine_suite import EngineSuite
from testkit import drawing, processes
from testkit.warm_python import WarmPython

MakeFolder = Callable[..., Path]
GRACE = 60.0
"""Seconds for a process to end that has been told to, or is about to."""
MEASURED = {"runs", "segmentation"}
"""Folders of tests that are about what happens in other processes."""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def discs(rng: np.random.Generator, shape: tuple[int, int] = (96, 96)) -> np.ndarray:
    """Labels of discs of 12 to 18 pixels across, jittered on a grid of 24."""
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    centres = [(y, x) for y in range(12, shape[0], 24) for x in range(12, shape[1], 24)]
    for number, centre in enumerate(centres, start=1):
        y, x = centre + rng.integers(-2, 3, 2)
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= rng.integers(6, 10) ** 2] = number
    return labels


def annotated(stem: str, rng: np.random.Generator, channels: Sequence[str], shape=(96, 96), **fields) -> AnnotatedImage:
    """Bright discs in the first channel; each further channel is dim noise."""
    labels = discs(rng, shape)
    planes = [rng.normal(100, 5, shape) for _ in channels]
    planes[0] = planes[0] + 400 * (labels > 0)
    return AnnotatedImage(np.stack(planes).astype(np.uint16), labels, tuple(channels), stem, **fields)


def write_folder(
    folder: Path, images: int = 4, *, channels=("dapi",), shape=(96, 96), seed: int = 0, prefix="cell", **fields
) -> Path:
    rng = np.random.default_rng(seed)
    for i in range(images):
        annotated(f"{prefix}_{i:02}", rng, channels, shape, **({"pixel_size": 0.5} | fields)).write(folder)
    return folder


def _group(item: pytest.Item) -> str | None:
    """What a test has in common with others; those run in one process."""
    used = getattr(item, "fixturenames", ())
    if item.path.stem.startswith(("test_stardist", "test_malicious_networks")) or "stardist_training" in used:
        return "tensorflow"
    if issubclass(getattr(item, "cls", None) or object, EngineSuite):
        return str(item.path.stem)
    return next((name for name in ("zygote", "_worker") if name in used), None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Import what PyTorch's optimizers ask for while it does no harm: after TensorFlow, its triton ends the process."""
    if _group(item) == "tensorflow" and "tensorflow" not in sys.modules and find_spec("torch") is not None:
        import torch._dynamo  # noqa: F401


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep in one process what is trained or started once, begin with it, and refuse what would crash.

    TensorFlow crashes in one process with Mesa's OpenGL, and with torchvision.
    """
    for item in items:
        if (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
    alone = ("napari_plugin", "cellpose")
    if len({next((name for name in alone if name in item.path.parts), "") for item in items}) > 1:
        raise pytest.UsageError(
            "Viewers and Cellpose need a process each. Run scripts/run_tests.py, or their folders by themselves."
        )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home of library, runs and downloads; whatever still trains in it is killed in the end."""
    folder = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    yield folder
    for run in list_runs(folder / "runs"):
        process = run.process()
        if process is not None and process.pid != os.getpid() and process.find() is not None:
            if run.outcome() is not None:  # it is about to end, and has its coverage to tell
                processes.wait(process.pid, GRACE)
            processes.kill(process.pid)


@pytest.fixture(autouse=True)
def _measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the coverage of the processes that a test starts where it is they that are tested.

    A process that is measured takes half as long again.
    """
    if not MEASURED & set(request.path.parts):
        for name in processes.COVERAGE:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """Kill what a test has started and left behind, so that it disturbs no other; the test fails for it."""
    before = set(processes.children())
    yield
    left = set(processes.children()) - before
    if not left:
        return
    _, left = psutil.wait_procs(left, timeout=GRACE)
    said = [processes.words(process) for process in left]
    for process in left:
        processes.kill(process.pid)
    assert not said, f"left behind: {said}"


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which has its jobs ignore Ctrl-C, and all they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def annotation_folder(tmp_path: Path) -> MakeFolder:
    """Write annotated images of bright discs, and return their folder.

    ``annotation_folder("name", images=4, channels=("dapi",), shape=(96, 96), seed=0, prefix="cell", pixel_size=0.5)``;
    other fields are those of `AnnotatedImage`.
    """

    def make(name: str = "annotations_nuclei", images: int = 4, **fields) -> Path:
        return write_folder(tmp_path / name, images, **fields)

    return make


@pytest.fixture(scope="session")
def _toy_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("toy_engine")
    shutil.copy(Path(__file__).with_name("toy_engine.py"), site)
    info = site / "toy_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[napari_seg_trainer.engines]\ntoy = toy_engine:SPEC\n")
    return site


@pytest.fixture(scope="session")
def _warm_python(_toy_package: Path) -> Iterator[WarmPython | None]:
    if sys.platform != "linux":
        yield None
        return
    python = WarmPython(_toy_package)
    yield python
    python.close()


@pytest.fixture
def toy(
    _toy_package: Path,
    _warm_python: WarmPython | None,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Install an engine of a third party, in this process and those that it starts, and return its id.

    It finds what is brighter than half of the way from dark to bright; `toy_engine.py` tells its parameters. Where
    tests are not about the processes of trainings and predictions, these are copies of one that is there already.
    """
    if _warm_python is not None and not MEASURED & set(request.path.parts):
        monkeypatch.setattr(subprocess, "Popen", _warm_python.popen)
    monkeypatch.syspath_prepend(_toy_package)
    helpers = Path(__file__).with_name("helpers")
    paths = [str(_toy_package), str(helpers), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("TOY_UNDRAWN", str(os.getpid()))
    return "toy"


@pytest.fixture
def undrawn() -> Iterator[None]:
    """Trainings in this process write their report without drawing its figures."""
    with drawing.left_out():
        yield


@pytest.fixture
def toy_model(home: Path, toy: str, tmp_path: Path) -> Callable[..., LibraryModel]:
    """Put a model of the toy engine into the library, without a training.

    ``toy_model("bright", channels=("dapi",), pixel_size=0.5)``; other fields are those of `ModelCard`.
    """

    def make(name: str = "bright", channels: Sequence[str] = ("dapi",), **fields) -> LibraryModel:
        finished = tmp_path / f"finished-{name}"
        finished.mkdir()
        (finished / "toy.json").write_text('{"epoch": 1}')
        inputs = tuple(ModelChannel(name=channel) for channel in channels)
        card = ModelCard(name=name, engine=toy, created=datetime.now(UTC), channels=inputs, **fields)
        return ModelLibrary().register(finished, card)

    return make


@dataclass(frozen=True)
class Outcome:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a user sees, without its "Error: "."""
        (line,) = self.err.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process: ``cli("models", "--json")``."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["napari-seg-trainer", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        return Outcome(int(leaving.value.code or 0), _ANSI.sub("", said.out), _ANSI.sub("", said.err))

    return run


def command(*words: object) -> list[str]:
    """The installed command, for a process of its own."""
    script = shutil.which("napari-seg-trainer", path=str(Path(sys.executable).parent))
    assert script, "the package is not installed"
    return [script, *map(str, words)]


@pytest.fixture(name="command")
def _command() -> Callable[..., list[str]]:
    """The installed command with its arguments, for `subprocess`: ``command("models", "--json")``."""
    return command


@dataclass(frozen=True)
class StarDistTraining:
    """A real training: where it is, what it learnt from, what the command said."""

    home: Path
    data: Path
    output: str
    run: Run
    model: LibraryModel


@pytest.fixture(scope="session")
def stardist_training(tmp_path_factory: pytest.TempPathFactory) -> StarDistTraining:
    """A StarDist model of bright discs, made once by the real command; tests must leave it as it is.

    Six images of 96 × 96 pixels; one of them holds NaN pixels.
    """
    pytest.importorskip("stardist")
    folder = tmp_path_factory.mktemp("stardist")
    home, data = folder / "home", write_folder(folder / "annotations_discs", 5)
    _add_image_with_nan(data)
    settings = {"epochs": 14, "learning_rate": 0.004, "batch_size": 2, "augmentation": 4}
    settings |= {"filters": 8, "patch_size": 64, "depth": 2, "rays": 16, "grid": 2}
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    done = subprocess.run(
        command("train", "--data", data, "--name", "discs", *options),
        env=processes.unmeasured() | {HOME_VARIABLE: str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(home / "runs")
    return StarDistTraining(home, data, done.stdout, run, ModelLibrary(home / "models").get("discs"))


def _add_image_with_nan(data: Path) -> None:
    whole = annotated("cell_nan", np.random.default_rng(99), ("dapi",))
    image = whole.image.astype(np.float32)
    image[0, 40:44, 40:44] = np.nan
    AnnotatedImage(image, whole.labels, whole.channels, whole.stem, pixel_size=0.5).write(data)


def cellpose_weights(name="downsample.down.res_down_0.conv.conv_0.0.weight") -> bytes:
    """What PyTorch's list of contents is, of a file with one weight of this name; without the weight itself."""
    listed = OrderedDict({name: "torch._utils", "diam_mean": "storage"})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo("weights/data.pkl")  # without the time, which would make another file each time
        archive.writestr(member, pickle.dumps(listed, protocol=2))
    return file.getvalue()


@pytest.fixture(name="cellpose_weights")
def _cellpose_weights() -> Callable[..., bytes]:
    """``cellpose_weights("encoder.blocks.0.attn.qkv.weight")``: as much of a file of weights as is looked at."""
    return cellpose_weights
