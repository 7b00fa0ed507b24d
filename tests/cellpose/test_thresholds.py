"""The search for thresholds."""

import numpy as np
import pytest

pytest.importorskip("cellpose")

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.cellpose.spec import CellposeSettings
from napari_seg_trainer.engines.cellpose.thresholds import optimize_thresholds

OWN = CellposeSettings(cellprob_threshold=0.0, flow_threshold=0.4)


class Predictor:
    """Finds the more of the objects the nearer its settings are to those that suit it."""

    def __init__(self, **suits):
        self.suits = suits
        self.looks = self.tries = 0

    def look(self, image, _settings):
        self.looks += 1
        return image, 1.0

    def masks(self, image, _factor, settings):
        self.tries += 1
        distance = sum(abs(getattr(settings, name) - value) for name, value in self.suits.items())
        labels = image[0].astype(np.int32)
        return labels * (labels <= labels.max() * (1 - distance / 4))


def images(count, objects=60):
    labels = np.kron(np.arange(objects).reshape(3, -1), np.ones((8, 8), int)).astype(np.int32)
    return [PreparedImage(str(i), labels[np.newaxis].astype(np.float32), labels) for i in range(count)]


@pytest.mark.parametrize(
    "suits",
    [
        {"cellprob_threshold": 0.0, "flow_threshold": 0.4},
        {"cellprob_threshold": -1.0, "flow_threshold": 0.4},
        {"cellprob_threshold": 0.5, "flow_threshold": 0.8},
    ],
)
def test_what_suits_best_is_found(suits):
    predictor, told = Predictor(**suits), []
    found = optimize_thresholds(predictor, images(4), 1 << 20, lambda done, total: told.append((done, total)))
    assert found == CellposeSettings(**suits)
    assert predictor.looks == 4  # the network, which takes its time, looks once
    assert told == [(i, 11) for i in range(12)]


def partly(fill):
    """Images of which the lower half shows as many objects again, of which none is drawn."""
    return [
        PreparedImage(
            one.name,
            np.concatenate([one.image, np.where(one.image > 0, one.image + 60, 0)], axis=1),
            np.concatenate([one.labels, np.full_like(one.labels, fill)]),
        )
        for one in images(4)
    ]


class Eager(Predictor):
    """Finds all there is with a lower threshold, and else two of three drawn objects."""

    def masks(self, image, _factor, settings):
        labels = image[0].astype(np.int32)
        return labels if settings.cellprob_threshold < 0 else labels * ((labels < 60) & (labels % 3 > 0))


def test_what_is_found_where_nobody_has_drawn_does_not_count():
    assert optimize_thresholds(Eager(), partly(0), 1 << 20, lambda *_: None) == OWN  # it would be false
    assert optimize_thresholds(Eager(), partly(-1), 1 << 20, lambda *_: None).cellprob_threshold == -1.0


def test_few_objects_tell_nothing():
    predictor = Predictor(cellprob_threshold=-1.0)
    assert optimize_thresholds(predictor, images(1, 12), 1 << 20, lambda *_: None) == OWN
    assert predictor.tries == 0
