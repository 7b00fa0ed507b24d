"""Devices, and the fastest way on each, measured once."""

import json
import math

import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.cnn import CellposeNet
from napari_seg_trainer.engines.torch import computing
from napari_seg_trainer.engines.torch.computing import LAST, PLAIN, Computing, Way, choose_device, fastest
from napari_seg_trainer.errors import JobError

CPU = torch.device("cpu")
SHAPE = (1, 2, 64, 64)
MEASURED = computing._measured


@pytest.fixture(autouse=True)
def _is_measured(monkeypatch):
    monkeypatch.setattr(computing, "_measured", MEASURED)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(computing, "_CHECKS", {"cuda": lambda: False, "mps": lambda: False, "cpu": lambda: True})
    assert choose_device() == choose_device("cpu") == CPU
    with pytest.raises(JobError, match=r"no device 'cuda' here\. Choose one of cpu"):
        choose_device("cuda")


def test_a_gpu_comes_first(monkeypatch):
    monkeypatch.setattr(computing, "_CHECKS", {"cuda": lambda: True, "mps": lambda: False, "cpu": lambda: True})
    assert choose_device().type == "cuda"
    assert choose_device("cpu") == CPU


def test_the_fastest_way_is_measured_once(home, monkeypatch):
    times = {LAST: 3.0, PLAIN: 2.9, Way(bfloat16=True, channels_last=True): 1.0}
    asked = []

    def seconds(how, _network, _images):
        asked.append(how.way)
        return times[how.way]

    monkeypatch.setattr(computing, "_seconds", seconds)
    assert fastest(CPU, CellposeNet, SHAPE).way == Way(bfloat16=True, channels_last=True)
    assert asked == [way for way in times for _ in range(4)] + 4 * list(times)  # a glance first, then in turn
    assert fastest(CPU, CellposeNet, SHAPE).way == Way(bfloat16=True, channels_last=True)
    assert len(asked) == 24
    times[Way(bfloat16=True, channels_last=True)] = 2.8  # a gain that may be chance is none
    assert fastest(CPU, CellposeNet, (2, 2, 64, 64)).way == LAST
    file = home / "cache" / "speed.json"
    assert len(json.loads(file.read_text())) == 2
    for content in ("[broken", "[]", "7", "{}"):
        file.write_text(content)
        assert fastest(CPU, CellposeNet, SHAPE).way == LAST


def test_what_a_busy_machine_tells_is_measured_again_but_not_for_ever(home, monkeypatch):
    fast = Way(bfloat16=True, channels_last=True)
    busy = [*[1.0] * 12, *[5.0] * 3, *[1.0, 1.0, 0.5, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0]]
    quiet = [*[1.0] * 12, *[5.0] * 3, *[1.0, 1.0, 2.0] * 3]
    clock = iter([*busy, *busy, *quiet])
    monkeypatch.setattr(computing, "_seconds", lambda *_: next(clock))
    assert fastest(CPU, CellposeNet, SHAPE).way == fastest(CPU, CellposeNet, SHAPE).way == fast
    assert fastest(CPU, CellposeNet, SHAPE).way == LAST
    assert fastest(CPU, CellposeNet, SHAPE).way == LAST  # it is sure by now
    clock = iter(4 * busy)
    for _ in range(5):
        assert fastest(CPU, CellposeNet, (2, 2, 64, 64)).way == fast
    assert len(list(clock)) == len(busy)


def test_a_way_that_is_far_too_slow_is_not_measured_at_length(home, monkeypatch):
    asked = []

    def seconds(how, _network, images):
        asked.append((how.way, images.shape[-1]))
        return 50.0 if how.way.bfloat16 else 1.0

    monkeypatch.setattr(computing, "_seconds", seconds)
    assert fastest(CPU, CellposeNet, (2, 2, 224, 224)).way == LAST
    assert {side for way, side in asked if way.bfloat16} == {64}


def test_a_way_that_the_device_cannot_go_is_passed_over(home, monkeypatch):
    def seconds(how, _network, _images):
        if how.way.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")
        return 1.0

    monkeypatch.setattr(computing, "_seconds", seconds)
    assert fastest(CPU, CellposeNet, SHAPE).way == LAST


@pytest.mark.parametrize("way", [PLAIN, Way(channels_last=True), Way(bfloat16=True, channels_last=True)])
def test_every_way_computes_about_the_same(way):
    torch.manual_seed(0)
    network = CellposeNet().eval()
    images = torch.rand(SHAPE)
    with torch.no_grad():
        expected = network(images)[0]
        how = Computing(CPU, way)
        placed = how.place(network)
        with how.precision():
            answer = placed(how.take(images))[0]
    torch.testing.assert_close(answer.float(), expected, atol=0.05, rtol=0.05)


def test_a_real_measurement_gives_a_way(home, monkeypatch):
    monkeypatch.setattr(computing, "SURE", math.inf)  # however busy this machine is
    assert fastest(CPU, CellposeNet, SHAPE).device == CPU
    assert len(json.loads((home / "cache" / "speed.json").read_text())) == 1


def test_what_goes_on_is_computed_as_it_was_begun(home, tmp_path, monkeypatch):
    """Other measurements, such as of a busy machine, would have it go on with other numbers."""
    monkeypatch.setattr(computing, "_seconds", lambda *_: 1.0)
    begun = Computing(CPU, Way(bfloat16=True, channels_last=True))
    begun.keep(tmp_path)
    assert fastest(CPU, CellposeNet, SHAPE).way == LAST
    assert fastest(CPU, CellposeNet, SHAPE, tmp_path) == begun
    Computing(torch.device("mps"), begun.way).keep(tmp_path)
    assert fastest(CPU, CellposeNet, SHAPE, tmp_path).way == LAST
    (tmp_path / computing.COMPUTING_FILE).write_text("{}")
    assert fastest(CPU, CellposeNet, SHAPE, tmp_path).way == LAST
