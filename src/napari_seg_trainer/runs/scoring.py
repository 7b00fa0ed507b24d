"""Scores on whole validation images in the middle of a training, for a small part of its time."""

import math
import time
from collections.abc import Sequence

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import evenly
from napari_seg_trainer.engines.protocol import Predicting, Predictor
from napari_seg_trainer.evaluation.scores import ImageScore, Scores, mean_ap, score_image
from napari_seg_trainer.evaluation.verdict import course_of, give_interim_verdict, without_numbers
from napari_seg_trainer.runs.baseline import ScoredBaseline
from napari_seg_trainer.runs.model_scores import scored_images
from napari_seg_trainer.runs.previews import PreviewWriter
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Verdict

SHARE = 0.1
"""Of the time of a training, at most so much is for scoring."""
MOST_ROUNDS, FEWEST_ROUNDS = 20, 3
DECIDING_ROUNDS = 10
"""With fewer, the best epoch would too often lie between two rounds."""
_COST = 4.0
"""What a pixel of a whole image costs, objects and scores included, against one that is learned from."""


class Scoring:
    """Decides after which epochs how many validation images are scored, and scores them.

    What is decided follows from numbers of pixels, so that a training with the same seed is the same. Only where the
    first round shows that this would take more than its share of the time, fewer rounds are made, or none.

    Parameters
    ----------
    images : sequence of PreparedImage
        Taken evenly among them.
    baseline : ScoredBaseline, optional
        The baseline.
    previews : PreviewWriter, optional
        Handed what is found in them.
    """

    def __init__(
        self,
        images: Sequence[PreparedImage],
        baseline: ScoredBaseline | None = None,
        previews: PreviewWriter | None = None,
    ) -> None:
        self._images, self._baseline, self._previews = scored_images(images), baseline, previews
        self._count = len(self._images)
        self._epochs, self._every, self._is_measured = 1, 1, False
        self._rounds = 1

    @property
    def is_on(self) -> bool:
        """Whether there are rounds."""
        return bool(self._images)

    @property
    def decides(self) -> bool:
        """Whether the scores choose the best epoch: they do where the time suffices for all images and many epochs."""
        return self.is_on and len(self._images) == self._count and self._rounds >= min(DECIDING_ROUNDS, self._epochs)

    def plan(self, epochs: int, pixels: int) -> None:
        """Decide how many images are scored, and how often, by the `epochs` and the `pixels` seen in each."""
        affordable = SHARE * epochs * pixels / _COST
        while len(self._images) > 1 and self._pixels() * FEWEST_ROUNDS > affordable:
            self._images = evenly(self._images, len(self._images) // 2)
        rounds = max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(affordable / max(1, self._pixels()))))
        self._epochs, self._every = epochs, math.ceil(epochs / rounds)
        self._rounds = math.ceil(epochs / self._every)

    def settle(self, epochs: int, pixels: int | None) -> None:
        """Take into account how many epochs there are after all: as planned, but for the last, without the `pixels`."""
        if pixels is None:
            self._epochs = epochs
        else:
            self.plan(epochs, pixels)

    def is_due(self, epoch: int) -> bool:
        """Return whether to score after this epoch."""
        return self.is_on and (epoch % self._every == 0 or epoch == self._epochs)

    def score(self, predicting: Predicting, seconds: float, epoch: int) -> Scores | None:
        """Score the network as it is now; None where that turns out to take too long.

        Parameters
        ----------
        predicting : callable
        seconds : float
            How long an epoch takes.
        epoch : int
            The one that has ended.
        """
        if self._previews is not None and not self._is_measured:
            self._previews.choose(self._images)
        with predicting() as predictor:
            if not self._is_measured:
                predictor.predict(self._images[0].image)  # the first one may have to get ready
            began = time.monotonic()
            found = [self._score_image(one, predictor, epoch) for one in self._images]
        if not self._is_measured:
            self._measure(time.monotonic() - began, seconds * self._epochs)
        return Scores.of(found) if self.is_on else None

    def _score_image(self, prepared: PreparedImage, predictor: Predictor, epoch: int) -> ImageScore:
        found = predictor.predict(prepared.image)
        if self._previews is not None:
            self._previews.keep(epoch, prepared.name, found)
        return score_image(prepared.name, prepared.labels, found)

    def baseline_on(self, scores: Scores) -> float | None:
        """Return the baseline's AP at IoU 0.5 on the images of these scores; None where it was not scored on all."""
        names = {image.image for image in scores.images}
        known = () if self._baseline is None else self._baseline.scores.images
        same = [image for image in known if image.image in names]
        return Scores.of(same).pooled["ap50"] if same and len(same) == len(names) else None

    def judge(self, scores: Scores, run: Run, epoch: int) -> None:
        """Write a `Verdict` after an epoch with these scores, if there is anything to say that was not said before.

        After the last epoch there is nothing: the verdict on the model follows.
        """
        if epoch == self._epochs:
            return
        name, other = (self._baseline.name, self._baseline.scores) if self._baseline else ("", None)
        events = run.events()
        sentences = give_interim_verdict(scores, course_of(events), name, other)
        before = next((event.sentences for event in reversed(events) if isinstance(event, Verdict)), ())
        if set(without_numbers(sentences)) - set(without_numbers(before)):
            run.append(Verdict(sentences=sentences, epoch=epoch))

    def _measure(self, cost: float, whole: float) -> None:
        """Make no more rounds than their share of the time of the whole training (seconds) allows."""
        self._is_measured = True
        rounds = int(SHARE * whole / max(cost, 1e-6))
        if rounds < FEWEST_ROUNDS:
            self._images = []
        else:
            self._every = max(self._every, math.ceil(self._epochs / rounds))
            self._rounds = math.ceil(self._epochs / self._every)

    def deciding(self, scores: Scores) -> float | None:
        """Return what epochs are compared by, where scores decide: the mean AP at IoU 0.5, 0.7 and 0.9."""
        return mean_ap(scores.pooled) if self.decides else None

    def _pixels(self) -> int:
        return sum(math.prod(one.labels.shape) for one in self._images)
