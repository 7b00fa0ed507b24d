import numpy as np
import pytest

from napari_seg_trainer.evaluation.scores import ImageScore, Scores, pool, score_image, score_key

THRESHOLDS = (0.3, 0.5, 0.7)


@pytest.fixture
def pairs(rng):
    pairs = []
    for i in range(6):
        truth = np.kron(rng.permutation(36).reshape(6, 6), np.ones((8, 8), int))
        pairs.append((truth, np.roll(truth, (i % 3, i % 2), (0, 1))))
    return [*pairs, (np.zeros((5, 5), int), np.zeros((5, 5), int))]


def scored(pairs):
    return Scores.of(score_image(f"image {i}", *pair, THRESHOLDS) for i, pair in enumerate(pairs))


@pytest.mark.xdist_group("stardist's scores")  # which it compiles first
@pytest.mark.parametrize("by_image", [False, True])
def test_scores_are_those_of_stardist(pairs, by_image):
    matching_dataset = pytest.importorskip("stardist.matching").matching_dataset
    theirs = matching_dataset(*zip(*pairs, strict=True), THRESHOLDS, by_image=by_image, show_progress=False)
    scores = scored(pairs)
    ours = scores.mean if by_image else scores.pooled
    for threshold, their in zip(THRESHOLDS, theirs, strict=True):
        for measure, name in (("ap", "accuracy"), ("f1", "f1"), ("precision", "precision"), ("recall", "recall")):
            assert ours[score_key(measure, threshold)] == pytest.approx(getattr(their, name))
        assert ours[score_key("pq", threshold)] == pytest.approx(their.panoptic_quality, abs=1e-6)


@pytest.mark.parametrize(
    ("measure", "threshold", "key"),
    [("ap", 0.5, "ap50"), ("f1", 0.5, "f1_50"), ("precision", 0.55, "precision55"), ("pq", 0.9, "pq90")],
)
def test_score_names(measure, threshold, key):
    assert score_key(measure, threshold) == key


def test_scores_survive_json(pairs):
    scores = scored(pairs)
    assert Scores.model_validate_json(scores.model_dump_json()) == scores


def test_rows_end_with_the_scores_of_all(pairs):
    rows = scored(pairs).rows()
    assert [row["image"] for row in rows] == [*(f"image {i}" for i in range(len(pairs))), "pooled", "mean"]


def test_no_images_have_no_scores():
    scores = Scores.of([])
    assert (scores.pooled, scores.mean, scores.rows(), pool(scores.images)) == ({}, {}, [], ())


def test_images_scored_at_different_thresholds_are_not_pooled():
    labels = np.ones((3, 3), int)
    images = [ImageScore(image="a", matchings=score_image("a", labels, labels, t).matchings) for t in ((0.5,), (0.7,))]
    with pytest.raises(ValueError, match="cannot be pooled"):
        Scores.of(images)
