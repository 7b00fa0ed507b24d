import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_seg_trainer.evaluation.matching import match, match_pairs

THRESHOLDS = (0.05, 0.3, 0.5, 0.7, 0.9, 1.0)
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=7)
ELEMENTS = st.integers(0, 4)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.int32, shape, elements=ELEMENTS)] * 2))
IGNORING = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.int32, shape, elements=st.integers(-1, 4)), arrays(np.int32, shape, elements=ELEMENTS)
    )
)


def objects(labels):
    return [int(label) for label in np.unique(labels) if label > 0]


def iou(truth, prediction, label, other):
    true, predicted = truth == label, prediction == other
    return (true & predicted).sum() / (true | predicted).sum()


def naive(truth, prediction, threshold):
    """Return how many pairs match at most, and the largest sum of their IoU, by trying whatever is possible."""
    options = {
        label: [
            (other, value)
            for other in objects(prediction)
            if (value := iou(truth, prediction, label, other)) >= threshold and value > 0
        ]
        for label in objects(truth)
    }

    def best(labels, taken):
        if not labels:
            return 0, 0.0
        first, rest = labels[0], labels[1:]
        results = [best(rest, taken)]
        for other, value in options[first]:
            if other not in taken:
                count, total = best(rest, taken | {other})
                results.append((count + 1, total + value))
        return max(results)

    return best(list(options), frozenset())


@given(PAIRS)
def test_counts_are_those_of_trying_everything(pair):
    for matching in match(*pair, THRESHOLDS):
        count, total = naive(*pair, matching.iou_threshold)
        assert matching.true_positive == count
        assert matching.iou_sum <= total + 1e-9
        # below, StarDist's choice among as many pairs, which this one is to agree with, looks at all other pairs too
        assert matching.iou_sum >= total - 1e-9 or matching.iou_threshold < 0.5


@given(IGNORING)
def test_counts_add_up(pair):
    truth, prediction = pair
    for matching in match(truth, prediction, THRESHOLDS):
        assert matching.true_objects == len(objects(truth))
        assert matching.predicted_objects <= len(objects(prediction))
        if truth.size and truth.min() >= 0:
            assert matching.predicted_objects == len(objects(prediction))
        assert min(matching.true_positive, matching.false_positive, matching.false_negative) >= 0


@given(IGNORING)
def test_scores_lie_between_0_and_1(pair):
    for matching in match(*pair, THRESHOLDS):
        for score in (matching.precision, matching.recall, matching.f1, matching.ap, matching.pq):
            assert 0 <= score <= 1 + 1e-12
        assert matching.ap <= min(matching.precision, matching.recall) <= 1
        assert matching.ap <= matching.f1 + 1e-12


@given(IGNORING)
def test_a_higher_threshold_never_finds_more(pair):
    found = match(*pair, THRESHOLDS)
    for lower, higher in itertools.pairwise(found):
        assert higher.true_positive <= lower.true_positive
        assert higher.ap <= lower.ap + 1e-12


@given(PAIRS)
def test_truth_and_prediction_change_places(pair):
    truth, prediction = pair
    for there, back in zip(match(truth, prediction, THRESHOLDS), match(prediction, truth, THRESHOLDS), strict=True):
        assert (there.true_positive, there.false_positive, there.false_negative) == (
            back.true_positive,
            back.false_negative,
            back.false_positive,
        )
        np.testing.assert_allclose(there.iou_sum, back.iou_sum)


@given(PAIRS, st.permutations(range(1, 5)), st.integers(0, 1000))
def test_the_numbers_of_labels_decide_nothing(pair, order, offset):
    truth, prediction = pair
    renumbered = np.array([0, *order])[prediction] + offset * (prediction > 0)
    for before, after in zip(match(truth, prediction, THRESHOLDS), match(truth, renumbered, THRESHOLDS), strict=True):
        assert before.true_positive == after.true_positive
        np.testing.assert_allclose(before.iou_sum, after.iou_sum)


@given(PAIRS, st.permutations(range(1, 5)))
def test_a_perfect_prediction_has_the_best_scores(pair, order):
    truth, _ = pair
    for matching in match(truth, np.array([0, *order])[truth], THRESHOLDS):
        assert (matching.false_positive, matching.false_negative) == (0, 0)
        assert matching.ap == matching.pq == (1.0 if objects(truth) else 0.0)


@given(PAIRS)
def test_matched_pairs_are_as_many_as_counted_and_one_to_one(pair):
    for threshold in THRESHOLDS:
        pairs = match_pairs(*pair, threshold)
        assert len(pairs) == match(*pair, (threshold,))[0].true_positive
        assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
        assert all(iou(*pair, *labels) >= threshold for labels in pairs)


@given(PAIRS, st.integers(1, 3))
def test_larger_pixels_change_nothing(pair, factor):
    larger = [labels.repeat(factor, axis=0).repeat(factor, axis=1) for labels in pair]
    assert match(*pair, THRESHOLDS) == match(*larger, THRESHOLDS)
