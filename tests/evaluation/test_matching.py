import numpy as np
import pytest

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.matching import Matching, match, match_pairs

THRESHOLDS = (0.1, 0.3, 0.5, 0.55, 0.7, 0.9, 1.0)


def discs(rng, shape=(60, 80), count=25, highest=40):
    """Return labels of random discs, some hidden under others, numbered with gaps."""
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for label in rng.choice(np.arange(1, highest + 1), count, replace=False):
        centre, radius = rng.uniform((0, 0), shape), rng.uniform(2, 9)
        labels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = label
    return labels


def changed(rng, labels):
    """Return labels as a middling model would give them: shifted, some lost, some merged, some new."""
    prediction = np.roll(labels, rng.integers(-2, 3, 2), (0, 1))
    found = np.unique(prediction[prediction > 0])
    for label in found:
        fate = rng.random()
        if fate < 0.1:
            prediction[prediction == label] = 0
        elif fate < 0.2:
            prediction[prediction == label] = rng.choice(found)
    return prediction


def cases(rng):
    for _ in range(12):
        truth = discs(rng)
        yield truth, changed(rng, truth)
        yield discs(rng, count=3), discs(rng)
    for highest in (1, 3, 200):  # noise: many pairs that overlap a little, exact halves among them
        for side in (2, 3, 12):
            for _ in range(8):
                yield rng.integers(0, highest + 1, (2, side, side))
    nothing, something = np.zeros((9, 9), np.uint8), np.eye(9, dtype=np.uint8)
    yield from ((nothing, nothing), (nothing, something), (something, nothing), (something, something))


@pytest.mark.xdist_group("stardist's scores")  # which it compiles first
def test_counts_are_those_of_stardist(rng):
    matching = pytest.importorskip("stardist.matching").matching
    for truth, prediction in cases(rng):
        theirs = matching(truth, prediction, THRESHOLDS)
        for ours, their in zip(match(truth, prediction, THRESHOLDS), theirs, strict=True):
            assert (ours.true_positive, ours.false_positive, ours.false_negative) == (their.tp, their.fp, their.fn)
            assert (ours.precision, ours.recall, ours.f1, ours.ap) == pytest.approx(
                (their.precision, their.recall, their.f1, their.accuracy)
            )
            assert ours.pq == pytest.approx(their.panoptic_quality, abs=1e-6)


def test_halves_of_one_object_match_once():
    truth, prediction = np.ones((2, 2), int), np.array([[5, 5], [6, 6]])
    (half,) = match(truth, prediction, (0.5,))
    assert half == Matching(0.5, true_positive=1, false_positive=1, false_negative=0, iou_sum=0.5)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.uint32, np.uint64, np.int32, np.int64])
def test_every_integer_type_counts(dtype):
    labels = np.eye(4).astype(dtype)
    assert match(labels, labels)[0].true_positive == 1


def test_large_label_numbers_need_no_large_table():
    truth = np.zeros((50, 50), np.int64)
    truth[:10, :10], truth[20:30, 20:30] = 2_000_000_000, 1_999_999_999
    assert [matching.true_positive for matching in match(truth, truth)] == [2, 2, 2]


def test_too_large_label_numbers_are_refused():
    huge = np.full((2, 2), 2**40)
    with pytest.raises(DataError, match="too large"):
        match(huge, huge)


def test_prediction_where_the_truth_does_not_count_is_excused():
    truth, prediction = np.zeros((20, 20), int), np.zeros((20, 20), int)
    truth[:, 10:] = -1
    truth[2:6, 2:6] = 1
    prediction[2:6, 2:6] = 1  # found
    prediction[10:14, 8:18] = 2  # mostly where nothing is known
    prediction[16:19, 4:11] = 3  # mostly where it is known that nothing is
    (half,) = match(truth, prediction, (0.5,))
    assert (half.true_positive, half.false_positive, half.false_negative) == (1, 1, 0)


def test_an_object_that_reaches_into_ignored_pixels_is_compared_where_it_counts():
    truth, prediction = np.zeros((10, 20), int), np.zeros((10, 20), int)
    truth[:, 10:] = -1
    truth[2:6, 5:10] = 1
    prediction[2:6, 5:19] = 1
    assert match(truth, prediction, (0.9,))[0].iou_sum == 1


def test_nothing_counts_where_everything_is_ignored():
    (half,) = match(np.full((4, 4), -1), np.ones((4, 4), int), (0.5,))
    assert (half.true_objects, half.predicted_objects) == (0, 0)


def test_empty_images_give_zeros():
    (half,) = match(np.zeros((0, 5), int), np.zeros((0, 5), int), (0.5,))
    assert (half.precision, half.recall, half.f1, half.ap, half.pq) == (0, 0, 0, 0, 0)


def test_matched_pairs_are_named_by_their_labels():
    truth = np.array([[4, 4, 0, 9], [4, 4, 0, 9]])
    prediction = np.array([[7, 7, 7, 2], [7, 7, 0, 0]])
    assert match_pairs(truth, prediction).tolist() == [[4, 7], [9, 2]]


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "2 × 3 and 3 × 2"),
        (np.zeros((2, 2), float), np.zeros((2, 2), int), "truth holds float64"),
        (np.zeros((2, 2), int), np.zeros((2, 2), float), "prediction holds float64"),
        (np.zeros((2, 2), int), np.full((2, 2), -3), "negative label -3"),
    ],
)
def test_what_are_no_labels_is_refused(truth, prediction, message):
    with pytest.raises(DataError, match=message):
        match(truth, prediction)


def test_counts_add_up():
    total = Matching(0.5, 3, 1, 2, 2.5) + Matching(0.5, 1, 0, 4, 0.5)
    assert total == Matching(0.5, 4, 1, 6, 3.0)


def test_counts_at_different_thresholds_do_not_add_up():
    with pytest.raises(ValueError, match=r"0\.5 and 0\.7"):
        Matching(0.5, 1, 1, 1) + Matching(0.7, 1, 1, 1)
