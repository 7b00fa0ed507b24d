"""The suite finds what is wrong with an engine."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from threshold_engine.engine import Threshold, ThresholdEngine
from threshold_engine.spec import SPEC

from napari_seg_trainer.testing.engine_suite import EngineSuite


class Around:
    """A context that tells the engine other things than it is told."""

    def __init__(self, context, **others):
        self._context = context
        self._others = others

    def __getattr__(self, name):
        return self._others[name] if name in self._others else getattr(self._context, name)


class Deaf(ThresholdEngine):
    def train(self, task, data, context):
        def end_step(*words):
            context.end_step(*words)
            return True

        super().train(task, data, Around(context, end_step=end_step))


class Stubborn(ThresholdEngine):
    def train(self, task, data, context):
        def end_epoch(*words):
            context.end_epoch(*words)
            return True

        super().train(task, data, Around(context, end_epoch=end_epoch))


class Forgetful(ThresholdEngine):
    def train(self, task, data, context):
        super().train(task, data, Around(context, checkpoint=None))


class Beginner(ThresholdEngine):
    def train(self, task, data, context):
        super().train(replace(task, pretrained=None), data, context)


class Gambler(ThresholdEngine):
    def train(self, task, data, context):
        super().train(replace(task, seed=int(np.random.default_rng().integers(1 << 30))), data, context)


class Lazy(ThresholdEngine):
    def train(self, task, data, context):
        super().train(task, data, Around(context, learning_rate=lambda epoch: 0.0))


class Littering(ThresholdEngine):
    def train(self, task, data, context):
        with open("training.log", "w", encoding="utf-8") as file:
            file.write("hello")
        super().train(task, data, context)


class Repeating(ThresholdEngine):
    def train(self, task, data, context):
        context.start(task.parameters, steps_per_epoch=1, device="CPU")
        super().train(task, data, context)


class Imprecise(ThresholdEngine):
    def load(self, folder):
        class Floats(Threshold):
            def predict(self, image, settings=None):
                return super().predict(image).astype(np.float32)

        return Floats(**vars(super().load(folder)))


class Spoiling(ThresholdEngine):
    def load(self, folder):
        class InPlace(Threshold):
            def predict(self, image, settings=None):
                image -= image.mean()
                return super().predict(image)

        return InPlace(**vars(super().load(folder)))


def suite_of(engine):
    class Suite(EngineSuite):
        spec = replace(SPEC, location=f"{__name__}:{engine.__name__}")
        parameters: ClassVar = {"epochs": 10, "batch_size": 4}

    return Suite


ORDER = "test_the_context_is_told_everything_in_order"
CASES = [
    (Deaf, "test_it_stops_at_once_when_told_to"),
    (Stubborn, "test_it_stops_after_the_epoch_when_told_to"),
    (Forgetful, "test_it_goes_on_from_a_checkpoint"),
    (Beginner, "test_it_starts_from_a_model"),
    (Gambler, "test_the_same_seed_gives_the_same_losses"),
    (Lazy, "test_it_learns"),
    (Littering, "test_it_writes_into_the_given_folders_only"),
    (Repeating, ORDER),
    (Imprecise, "test_it_predicts_any_size"),
    (Spoiling, "test_it_predicts_the_same_again"),
]


def run(suite, name, folder):
    """Run one of the suite's tests as pytest would."""
    test = getattr(suite(), name)
    wanted = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    learned = suite.train(folder / "learned_folder")
    given = {"learned": lambda: learned, "tmp_path": lambda: folder, "shape": lambda: (17, 9)}
    given["halted"] = lambda: suite.train(folder / "halted_folder", last_epoch=2, export=False)
    given["predictor"] = lambda: suite.load(learned)
    test(**{name: given[name]() for name in wanted})


@pytest.mark.parametrize(("engine", "name"), CASES, ids=[engine.__name__ for engine, _ in CASES])
def test_what_is_wrong_is_found(tmp_path, engine, name):
    run(suite_of(ThresholdEngine), name, tmp_path / "sound")
    with pytest.raises((AssertionError, ValueError)):
        run(suite_of(engine), name, tmp_path / "broken")
