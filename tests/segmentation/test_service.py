import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError, EngineError, JobError, LibraryError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.priority import NICENESS, NICENESS_VARIABLE, VARIABLES
from napari_seg_trainer.segmentation.files import segment_files
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.segment import Segmenter
from napari_seg_trainer.segmentation.service import CancelledError, SegmentationService
from napari_seg_trainer.segmentation.worker import NowAndThen
from testkit import patience, processes
from testkit.patience import wait_until

LOWEST_PRIORITY = 19

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and /dev/shm")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for the temporary files of this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def service(temporary):
    """A service; what it leaves behind fails the test."""
    threads = set(threading.enumerate())
    with SegmentationService() as service:
        yield service
        used = shared_memory()
    assert set(threading.enumerate()) <= threads
    assert workers() == []
    assert not any(Path("/dev/shm", name).exists() for name in used)
    assert shared_memory() == set()
    assert os.listdir(temporary) == []


@pytest.fixture
def image(annotation_folder):
    """One channel with 16 bright discs, CYX."""
    return next(iter(AnnotationFolder.open(annotation_folder(images=1)))).read().image


def workers(of=None):
    """The prediction processes that a process has started."""
    return [child for child in processes.children(of) if "segmentation.worker" in processes.words(child)]


def shared_memory(of="self"):
    """Names of the shared memory that a process has mapped."""
    maps = Path(f"/proc/{of}/maps")
    return set(re.findall(r"/dev/shm/(psm_\w+)", maps.read_text())) if maps.exists() else set()


@pytest.fixture
def loads(home):
    """Tell the names of the models that were loaded, in order."""
    return lambda: (home / "loads.txt").read_text().split()


@pytest.fixture
def predictions(home):
    """Tell which processes began to predict, in order."""
    file = home / "predictions.txt"
    return lambda: [int(line) for line in file.read_text().split()] if file.exists() else []


# one process that stays


def test_the_second_image_needs_no_loading(wilful_model, service, image, loads):
    model = wilful_model()
    first = service.segment(model, image, SegmentRequest(["dapi"]))
    (worker,) = workers()
    second = service.segment(model, image[:, ::-1], SegmentRequest(["dapi"]))
    assert (first.dtype, first.max()) == (np.int32, 16)
    assert np.array_equal(first > 0, second[::-1] > 0)
    assert first.flags.owndata
    assert (loads(), workers()) == (["wilful"], [worker])
    assert worker.cmdline()[0] == sys.executable


@pytest.mark.skipif(sys.platform == "win32", reason="has classes of priority instead")
def test_a_viewer_goes_first(wilful_model, service, image, monkeypatch):
    monkeypatch.delenv(NICENESS_VARIABLE)
    service.segment(wilful_model(), image, SegmentRequest(["dapi"]))
    (worker,) = workers()
    assert worker.nice() == min(psutil.Process().nice() + NICENESS, LOWEST_PRIORITY)
    assert VARIABLES.items() <= worker.environ().items()


def test_no_model_is_taken_for_another(wilful_model, service, image, loads):
    model = wilful_model("a")
    service.segment(model, image, SegmentRequest(["dapi"]))
    renamed = ModelLibrary().rename("a", "b")
    service.segment(renamed, image, SegmentRequest(["dapi"]))
    (renamed.folder / "weights.txt").write_text("put in its place")
    with pytest.raises(LibraryError, match=r"'weights\.txt' of model 'b' was changed after the model was made"):
        service.segment(renamed, image, SegmentRequest(["dapi"]))
    assert loads() == ["a", "b"]
    with pytest.raises(LibraryError, match=r"a'.* not a model"):
        service.segment(model, image, SegmentRequest(["dapi"]))
    ModelLibrary().delete("b")
    new = wilful_model("b", pixel_size=2.0)
    with pytest.raises(LibraryError, match="'b' was replaced"):
        service.segment(renamed, image, SegmentRequest(["dapi"]))
    service.segment(new, image, SegmentRequest(["dapi"]))
    assert loads() == ["a", "b", "b"]


def test_the_models_used_last_are_kept(wilful_model, service, image, loads):
    models = [wilful_model(name) for name in "abcd"]
    for i in (0, 1, 2, 0, 3, 0, 1):
        service.segment(models[i], image, SegmentRequest(["dapi"]))
    assert loads() == ["a", "b", "c", "d", "b"]


def test_each_engine_has_a_process(wilful_model, toy_model, service, image):
    for model in (wilful_model(), toy_model()):
        assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16
    assert len(workers()) == 2


def test_labels_are_those_of_a_segmenter(wilful_model, service, image):
    model = wilful_model(channels=("dapi", "gfp"), pixel_size=0.8)
    segmenter = Segmenter(model)
    noise = np.random.default_rng(0).normal(size=image[0].shape)
    with_nan = np.stack([noise, noise, image[0]])
    with_nan[2, :3] = np.nan
    names = ["x", "gfp", "dapi"]
    kinds = [with_nan, with_nan.astype(">f4"), with_nan[:, ::2, ::-3], with_nan > 0.5, with_nan.astype(np.float16)]
    for pixels in [*kinds, np.nan_to_num(with_nan).astype(">u2"), np.nan_to_num(with_nan).astype(np.int64)]:
        options = {"pixel_size": np.float32(0.5), "use": ("2", "x"), "settings": {"brightness": 0.6}}
        wanted = segmenter.segment(pixels, SegmentRequest(names, **options))
        assert np.array_equal(service.segment(model, pixels, SegmentRequest(names, **options)), wanted)
    assert wanted.max() == 16


def test_files_are_segmented_in_the_process(wilful_model, service, annotation_folder, tmp_path, loads):
    folder = annotation_folder(images=3)
    images = [folder / f"cell_{i:02}.tif" for i in range(3)]
    results = segment_files(
        wilful_model(), images, tmp_path / "out", SegmentRequest(settings={"brightness": 0.5}), service=service
    )
    assert [result.objects for result in results] == [16, 16, 16]
    assert loads() == ["wilful"]
    assert len(workers()) == 1


def test_a_large_image_tells_how_far_it_is(wilful_model, service, image):
    told = []
    request = SegmentRequest(settings={"tiles": 3, "seconds": 1.5})
    assert service.segment(wilful_model(), image, request, on_tile=lambda *parts: told.append(parts)).max() == 16
    assert told == [(1, 3), (2, 3), (3, 3)]
    service.segment(wilful_model("next"), image, SegmentRequest(settings={"tiles": 3}))
    assert len(told) == 3


def test_tiles_that_come_fast_are_told_now_and_then():
    told = []
    now_and_then = NowAndThen(lambda **parts: told.append(parts))
    for done in range(1, 1001):
        now_and_then(done, 1000)
    assert told[0] == {"current": 1, "maximum": 1000}
    assert len(told) < 1000


def test_threads_wait_for_each_other(wilful_model, toy_model, service, image, loads):
    models = [wilful_model(), toy_model()] * 6
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda model: service.segment(model, image, SegmentRequest(["dapi"])).max(), models))
    assert found == [16] * 12
    assert (loads(), len(workers())) == (["wilful"], 2)


# what can go wrong


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"channels": ["gfp"]}, DataError, "no channel 'dapi'"),
        ({"channels": ["dapi", "gfp"]}, DataError, "2 name(s) are given"),
        ({"image": np.zeros((5, 5))}, DataError, "'a.tif' has 2 axes"),
        ({"image": np.zeros((1, 0, 5))}, DataError, "'a.tif' has no pixels"),
        ({"image": np.zeros((1, 5, 5), complex)}, DataError, "complex128"),
        ({"image": np.broadcast_to(np.uint8(0), (1, 50_000, 50_000))}, DataError, "2.5e+09 pixels"),
        ({"pixel_size": -1}, DataError, "-1 µm"),
        ({"pixel_size": 1e6}, DataError, "1e+06 µm"),
        ({"settings": {"brigthness": 1}}, JobError, "Its settings: brightness, seconds, tiles"),
        ({"settings": {"brightness": "much"}}, JobError, "brightness"),
    ],
)
def test_what_cannot_be_segmented_is_told_without_a_process(wilful_model, service, image, wrong, error, told):
    model = wilful_model(pixel_size=0.5)
    with pytest.raises(error, match=re.escape(told)) as caught:
        asked = {"channels": ["dapi"], "name": "a.tif"} | {key: wrong[key] for key in wrong.keys() - {"image"}}
        service.segment(model, wrong.get("image", image), SegmentRequest(**asked))
    assert "\n" not in str(caught.value)
    assert workers() == []


@pytest.mark.parametrize(
    ("engine", "told"), [("lacking", "wilful_framework, .* python -m pip install wilful-framework"), ("none", "'none'")]
)
def test_a_missing_framework_is_told_without_a_process(wilful_model, service, image, engine, told):
    with pytest.raises(EngineError, match=told):
        service.segment(wilful_model(engine=engine), image, SegmentRequest(["dapi"]))
    assert workers() == []


def test_a_failure_is_one_line_and_the_process_stays(wilful_model, service, image, home):
    model = wilful_model()
    service.segment(model, image, SegmentRequest(["dapi"]))
    before = workers()
    for failure, error, told in [
        ("bad image", DataError, r"^This image is bad. Take another.$"),
        ("memory", DataError, r"^Out of memory. Segment a part of image 'a.tif', or close other programs.$"),
        ("bug", EngineError, r"^Wilful cannot segment image 'a.tif' \(ValueError: first line\). The details are in '"),
    ]:
        with pytest.raises(error, match=told) as caught:
            service.segment(model, image, SegmentRequest(["dapi"], name="a.tif", settings={"failure": failure}))
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)
    assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16
    assert workers() == before
    log = (home / "log.txt").read_text()
    assert (log.count("Traceback"), "second line" in log) == (2, True)


def test_what_an_engine_prints_goes_to_the_log(wilful_model, service, image, home, capfd):
    model = wilful_model()
    for _ in range(2):
        assert service.segment(model, image, SegmentRequest(["dapi"], settings={"says": 'a → {"task": 1'})).max() == 16
    assert capfd.readouterr() == ("", "")
    assert (home / "log.txt").read_text(encoding="utf-8").count('a → {"task": 1') == 6


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_ends_is_told_and_replaced(wilful_model, service, image):
    model = wilful_model()
    for exits, how in [
        ("by itself", "exit status 3"),
        ("killed", "SIGKILL, possibly out of memory"),
        ("segmentation fault", "SIGSEGV"),
    ]:
        with pytest.raises(EngineError) as caught:
            service.segment(model, image, SegmentRequest(["dapi"], settings={"exits": exits}))
        assert f"The prediction process of Wilful ended ({how}). Try again" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert workers() == []
    assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16


def test_a_process_that_ended_meanwhile_is_replaced(wilful_model, service, image, loads):
    model = wilful_model()
    service.segment(model, image, SegmentRequest(["dapi"]))
    (worker,) = workers()
    worker.kill()
    wait_until(lambda: not service._engines["wilful"]._process.is_alive())
    assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16
    assert loads() == ["wilful", "wilful"]


def test_a_process_that_cannot_start_is_told(wilful_model, service, image, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError, match="The prediction process of Wilful cannot be started"):
        service.segment(wilful_model(), image, SegmentRequest(["dapi"]))


@linux
def test_too_little_shared_memory_is_told(wilful_model, service):
    pixels = psutil.disk_usage("/dev/shm").total // np.dtype(np.longdouble).itemsize
    side = int(pixels**0.5) + 1000
    if side**2 > 2**31:
        pytest.skip("there is too much shared memory to ask for more")
    huge = np.broadcast_to(np.longdouble(0), (1, side, side))
    with pytest.raises(DataError, match="MB of shared memory, more than is free"):
        service.segment(wilful_model(), huge, SegmentRequest(["dapi"]))


@linux
def test_the_process_keeps_no_image(wilful_model, service, image):
    model = wilful_model()
    service.segment(model, image, SegmentRequest(["dapi"]))
    with pytest.raises(EngineError):
        service.segment(model, image, SegmentRequest(["dapi"], settings={"failure": "bug"}))
    assert shared_memory(workers()[0].pid) == set()


# cancelling and closing


@pytest.fixture
def segmenting(wilful_model, service, image, predictions):
    """Three calls that take long, the first of which is running."""
    model = wilful_model()
    with ThreadPoolExecutor(3) as pool:
        request = SegmentRequest(settings={"seconds": 600})
        calls = [pool.submit(service.segment, model, image, request) for _ in range(3)]
        wait_until(predictions)
        yield calls
        service.close()


def test_cancel_ends_all_calls(wilful_model, service, image, segmenting):
    assert shared_memory() or sys.platform != "linux"
    service.cancel()
    for call in segmenting:
        with pytest.raises(CancelledError, match="was cancelled"):
            call.result(patience.SECONDS)
    assert service.segment(wilful_model("next"), image, SegmentRequest(["dapi"])).max() == 16


def test_cancel_leaves_an_idle_process_alone(wilful_model, service, image, loads):
    model = wilful_model()
    service.cancel()
    service.segment(model, image, SegmentRequest(["dapi"]))
    service.cancel()
    assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16
    assert loads() == ["wilful"]


def test_close_ends_all_calls_and_lets_no_new_one_in(wilful_model, service, image, segmenting):
    service.close()
    assert workers() == []
    for call in segmenting:
        with pytest.raises(CancelledError):
            call.result(patience.SECONDS)
    for name in ("other", "more"):
        with pytest.raises(CancelledError, match="closed"):
            service.segment(wilful_model(name), image, SegmentRequest(["dapi"]))
    service.close()


def test_a_service_that_is_forgotten_leaves_no_process(wilful_model, image):
    service = SegmentationService()
    service.segment(wilful_model(), image, SegmentRequest(["dapi"]))
    (worker,) = workers()
    del service
    assert not worker.is_running()


SCRIPT = """
import sys, time
import numpy as np
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.service import SegmentationService

service = SegmentationService()
service.segment(ModelLibrary().get("wilful"), np.eye(9)[None])
seconds = float(sys.argv[1])
if seconds:
    service.segment(ModelLibrary().get("wilful"), np.eye(9)[None], SegmentRequest(settings={"seconds": seconds}))
elif len(sys.argv) > 2:
    time.sleep(600)
"""


def test_a_script_that_forgets_to_close_ends(wilful_model, predictions):
    wilful_model()
    done = subprocess.run([sys.executable, "-c", SCRIPT, "0"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not any("segmentation.worker" in processes.words_of(worker) for worker in predictions())


@pytest.mark.parametrize(("arguments", "calls"), [(("0", "wait"), 1), (("600",), 2)], ids=["idle", "predicting"])
def test_the_process_ends_with_the_one_that_asks(wilful_model, predictions, temporary, arguments, calls):
    wilful_model()
    script = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments])
    try:
        wait_until(lambda: len(predictions()) == calls)
        assert len(os.listdir(temporary)) == 1
        worker = psutil.Process(predictions()[-1])
    finally:
        script.kill()
        script.wait()
    wait_until(lambda: processes.is_over(worker))
    assert os.listdir(temporary) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.usefixtures("ctrl_c_counts")
def test_an_interrupted_call_leaves_nothing_half_done(wilful_model, service, image, predictions):
    model = wilful_model()

    def interrupt():
        wait_until(predictions)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        service.segment(model, image, SegmentRequest(["dapi"], settings={"seconds": 600}))
    thread.join()
    assert service.segment(model, image, SegmentRequest(["dapi"])).max() == 16
