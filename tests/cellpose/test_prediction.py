"""Labels from a network's answer, as Cellpose finds them; and images of any size and scale."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.flows import flows_of
from napari_seg_trainer.engines.cellpose.prediction import (
    CellposePredictor,
    cheapest_block,
    typical_diameter,
)
from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.engines.protocol import PredictionSettings
from napari_seg_trainer.engines.tiles import TellsTiles
from napari_seg_trainer.engines.torch.computing import PLAIN, Computing, Way
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.testing.discs import disc_image

OWN = CellposeSettings(flow_threshold=0.4, cellprob_threshold=0.0)


class Knowing(torch.nn.Module):
    """Answers with the flows of what is brighter than half; notes the sizes of what it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        from scipy.ndimage import label

        answers = []
        for image in images.numpy():
            labels = label(image[0] > 0.5)[0].astype(np.int32)
            flows = flows_of(labels).astype(np.float32)
            answers.append(np.concatenate([5 * flows, np.where(labels > 0, 5.0, -5.0)[np.newaxis]]))
            self.seen += [typical_diameter(labels)] if labels.max() >= 5 else []
        return torch.from_numpy(np.stack(answers).astype(np.float32)), torch.zeros(len(images), 256)


CPU = Computing(torch.device("cpu"), PLAIN)


def predictor(network=None, computing=CPU, **changes):
    given = {"channels": 2, "block": 224, "largest_block": 224, "diameter": 30.0, "typical": 15.0, "settings": OWN}
    return CellposePredictor(network or Knowing(), computing, **(given | changes))


def ap(true, found, iou=0.5):
    return match(true, found, (iou,))[0].ap


def test_masks_are_those_of_cellpose_3(record, recorded):
    labels = recorded["labels"].astype(np.int32)
    answer = np.moveaxis(record.answer(labels, recorded["flows"].astype(np.float32)), 0, -1)
    masks = predictor().masks(answer, 1.0, CellposeSettings())
    assert masks.max() > 50
    assert ap(recorded["masks"].astype(np.int32), masks, 0.9) >= 0.99


@pytest.mark.parametrize("typical", [15.0, 30.0, 60.0])
def test_an_image_is_shown_at_the_diameter_that_the_network_knows(typical):
    network = Knowing()
    scale = typical / 15
    prepared = disc_image((round(60 * scale), round(80 * scale)), 1, 3, (round(6 * scale), round(9 * scale)))
    labels = predictor(network, typical=typical).predict(prepared.image)
    assert labels.shape == prepared.labels.shape
    assert np.median(network.seen) == pytest.approx(30, rel=0.25)
    assert ap(prepared.labels, labels) > 0.9


@pytest.mark.parametrize("factor", [0.5, 2.5])
def test_objects_of_another_size_are_looked_at_twice(factor):
    network = Knowing()
    side = round(80 * factor)
    prepared = disc_image((side, side), 1, 3, (round(7 * factor), round(8 * factor)))
    labels = predictor(network).predict(prepared.image)
    size = np.median([size for size in network.seen if size > 40] if factor > 1 else network.seen[:1])
    assert size == pytest.approx(30 * factor, rel=0.25)
    assert network.seen[-1] == pytest.approx(30, rel=0.25)
    assert ap(prepared.labels, labels) > 0.9


def test_a_diameter_that_the_user_tells_is_obeyed():
    network = Knowing()
    prepared = disc_image((120, 120), 1, 3, (7, 8))
    predictor(network).predict(prepared.image, CellposeSettings(diameter=10.0))
    assert np.median(network.seen) == pytest.approx(45, rel=0.25)


def test_a_network_for_all_sizes_is_shown_images_as_they_are():
    network = Knowing()
    prepared = disc_image((120, 120), 1, 3, (4, 5))
    predictor(network, diameter=0.0, typical=0.0).predict(prepared.image)
    assert network.seen[0] == pytest.approx(typical_diameter(prepared.labels), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [(CellposeSettings(cellprob_threshold=6.0), True), (CellposeSettings(cellprob_threshold=-1.0), False)],
)
def test_settings_are_obeyed(settings, fewer):
    prepared = disc_image((150, 150), 1, 3)
    found = predictor().predict(prepared.image, settings)
    assert (found.max() == 0) == fewer


def test_other_settings_are_refused():
    with pytest.raises(TypeError, match="PredictionSettings"):
        predictor().predict(np.zeros((1, 20, 20), np.float32), PredictionSettings())


@pytest.mark.parametrize("way", [Way(channels_last=True), Way(bfloat16=True, channels_last=True)])
def test_the_fast_way_finds_the_same(way):
    prepared = disc_image((150, 150), 1, 3)
    network = torch.nn.Conv2d(2, 3, 3, padding=1)
    torch.manual_seed(0)
    computing = Computing(torch.device("cpu"), way)

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = network

        def forward(self, x):
            return self.layer(x), torch.zeros(len(x), 256)

    plain, fast = (
        CellposePredictor(
            Both(), how, channels=2, block=224, largest_block=512, diameter=30.0, typical=30.0, settings=OWN
        )
        for how in (Computing(torch.device("cpu")), computing)
    )
    np.testing.assert_allclose(fast.answer(prepared.image), plain.answer(prepared.image), atol=0.02)


def test_typical_diameter_needs_some_objects():
    labels = np.kron(np.arange(9).reshape(3, 3), np.ones((10, 10), int))
    assert typical_diameter(labels) == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert typical_diameter(labels * (labels < 5)) == 0.0


@pytest.mark.parametrize(
    ("shape", "block"),
    [
        ((100, 100), 224),
        ((200, 200), 224),
        ((300, 300), 320),
        ((364, 364), 384),
        ((364, 200), 240),
        ((5000, 5000), 464),
    ],
)
def test_tiles_are_as_large_as_is_cheap(shape, block):
    """One tile of 384 pixels has a third of the pixels of the nine of 224 that cellpose would take for 364."""
    assert cheapest_block(shape, range(224, 513, 16)) == block
    assert cheapest_block(shape, [256]) == 256


@pytest.mark.parametrize(
    ("changes", "looks"),
    [({"typical": 40.0}, 2), ({"diameter": 0.0, "typical": 0.0}, 1)],
    ids=["two looks", "one look"],
)
def test_a_large_image_tells_how_far_it_is(changes, looks):
    told = []
    large = predictor(block=64, largest_block=64, **changes)
    assert isinstance(large, TellsTiles)
    large.on_tile = lambda done, total: told.append((done, total))
    large.predict(disc_image((200, 200), 1, 3, (13, 17)).image)
    first = [parts for parts in told if parts[1] == told[0][1]]
    batches = first[0][1] // looks
    assert batches > 1
    assert first[:batches] == [(done, looks * batches) for done in range(1, batches + 1)]
    assert told[-1][0] == told[-1][1]
    assert all(done / total <= later / last for (done, total), (later, last) in pairwise(told))
    told.clear()
    large.predict(disc_image((40, 40), 1, 3, (13, 17)).image)
    assert told == []


def test_larger_tiles_give_the_same(state):
    from napari_seg_trainer.engines.cellpose.cnn import CellposeNet

    network = CellposeNet()
    network.load_state_dict(state)
    image = disc_image((300, 280), 1, 3, (12, 16)).image
    small, large = (
        predictor(network, typical=30.0, largest_block=largest).answer(image)[32:-32, 32:-32] for largest in (224, 512)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.99
