"""The tests that every engine must pass, on images made here.

Somebody who writes an engine derives a class in a test of their own::

    from my_engine.spec import SPEC
    from napari_seg_trainer.testing.engine_suite import EngineSuite


    class TestMyEngine(EngineSuite):
        spec = SPEC
        parameters = {"epochs": 20, "batch_size": 4, "width": 8}

and runs pytest. The parameters should make it learn bright discs in seconds.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import JsonValue

from napari_seg_trainer.engines.checkpoints import LoadsCheckpoints
from napari_seg_trainer.engines.protocol import EngineSpec, Predictor, TrainingTask
from napari_seg_trainer.engines.registry import load_engine, parse_parameters
from napari_seg_trainer.schema.job import Hyperparameters, settled
from napari_seg_trainer.testing.discs import disc_image
from napari_seg_trainer.testing.training import Training, average_precision, contents, expected_calls, train_on_discs

SEED = 7
HALF = 2
"""Epochs of the training that is resumed; it is compared with twice as many."""
ODD_SHAPES = ((1, 1), (17, 9), (67, 101), (130, 33))
FRAMEWORKS = ("jax", "keras", "tensorflow", "torch")
_IMPORTS = """
import importlib, json, sys
import napari_seg_trainer.engines.protocol
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


class EngineSuite:
    """Derive from it, name the class ``Test...`` and set `spec` and `parameters`.

    Attributes
    ----------
    spec : EngineSpec
    parameters : mapping
        The engine's parameters as in a job; small ones. At least 4 epochs, and a batch size for 2 steps an epoch.
    shapes : sequence of (int, int)
        Sizes of the training images, YX, pixels; the first three are those of the validation images too.
    least_ap50 : float
        Average precision at IoU 0.5 that the trained model must reach on the validation images.
    seed_tolerance, resume_tolerance : float
        By how much, relatively, the losses of two equal trainings may differ, and of one that was resumed.
    """

    spec: ClassVar[EngineSpec]
    parameters: ClassVar[Mapping[str, JsonValue]] = {}
    shapes: ClassVar[tuple[tuple[int, int], ...]] = ((96, 96), (80, 112), (40, 56), (112, 72), (96, 96), (64, 96))
    least_ap50: ClassVar[float] = 0.7
    seed_tolerance: ClassVar[float] = 1e-6
    resume_tolerance: ClassVar[float] = 1e-6

    @pytest.fixture(scope="class")
    @classmethod
    def learned(cls, tmp_path_factory: pytest.TempPathFactory) -> Training:
        """Train all epochs, look at an image after each, and export."""
        return cls.train(tmp_path_factory.mktemp("learned"), looks=True)

    @pytest.fixture(scope="class")
    @classmethod
    def halted(cls, tmp_path_factory: pytest.TempPathFactory) -> Training:
        """Begin the same training, and stop it after two epochs."""
        return cls.train(tmp_path_factory.mktemp("halted"), last_epoch=HALF, export=False)

    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls, learned: Training) -> Predictor:
        """Load the trained model."""
        return cls.load(learned)

    @classmethod
    def train(
        cls, folder: Path, *, channels: int | None = None, pretrained: Path | None = None, **wanted: Any
    ) -> Training:
        """Train in `folder` as `train_on_discs` does, with the suite's parameters and one home for all trainings."""
        task = TrainingTask(channels or cls.spec.channels[0], cls.parsed(), SEED, pretrained)
        return train_on_discs(cls.spec, task, cls.shapes, folder, home=folder.parent / cls.__name__, **wanted)

    @classmethod
    def load(cls, training: Training) -> Predictor:
        """Load the model of a training, with a new engine."""
        return load_engine(cls.spec).load(training.model)

    @classmethod
    def parsed(cls) -> Hyperparameters:
        """Return the parameters as the engine's own type."""
        return parse_parameters(cls.spec, cls.parameters)

    @classmethod
    def last_epoch(cls) -> int:
        """Return the number of epochs."""
        return settled(cls.parsed().epochs)

    def test_the_spec_is_complete(self) -> None:
        """People can choose the engine by what the spec says."""
        least, most = self.spec.channels
        assert least >= 1
        assert most is None or most >= least
        assert all((self.spec.id, self.spec.title, self.spec.good_for))
        assert self.spec.install or not self.spec.requires

    def test_the_spec_is_light(self) -> None:
        """Listing engines imports no framework."""
        path = os.pathsep.join(place for place in sys.path if place)
        result = subprocess.run(
            [sys.executable, "-c", _IMPORTS, self.spec.parameters.__module__],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        heavy = {*FRAMEWORKS, *self.spec.requires}
        assert heavy.isdisjoint(json.loads(result.stdout.splitlines()[-1]))

    def test_every_parameter_is_explained(self) -> None:
        """Forms are built from titles and descriptions."""
        fields = self.spec.parameters.model_fields
        assert [name for name, field in fields.items() if not (field.title and field.description)] == []

    def test_parameters_come_through_a_job_file(self) -> None:
        """A job is JSON."""
        parameters = self.parsed()
        assert isinstance(parameters, Hyperparameters)
        assert parse_parameters(self.spec, json.loads(parameters.model_dump_json())) == parameters

    def test_the_context_is_told_everything_in_order(self, learned: Training) -> None:
        """It starts once; then come the steps of each epoch, and the epoch's end."""
        context = learned.context
        epochs = range(1, self.last_epoch() + 1)
        assert context.calls == expected_calls(context.steps_per_epoch, epochs)
        assert context.steps == {context.steps_per_epoch}

    def test_the_start_is_told_what_holds(self, learned: Training) -> None:
        """The completed parameters keep what the user chose."""
        told = learned.context.parameters
        assert isinstance(told, self.spec.parameters)
        given = self.parsed()
        assert {name: getattr(told, name) for name in self.parameters} == {
            name: getattr(given, name) for name in self.parameters
        }
        assert learned.context.device

    def test_losses_are_numbers(self, learned: Training) -> None:
        """Every metric of every epoch is finite."""
        values = [value for metrics in learned.context.metrics.values() for value in metrics.values()]
        assert all(map(math.isfinite, values))

    def test_it_learns(self, learned: Training, predictor: Predictor) -> None:
        """The losses fall, and the model finds the discs of images that it was not trained on."""
        first, last = (learned.context.losses(epoch) for epoch in (1, self.last_epoch()))
        assert last[0] < first[0]
        assert last[1] < first[1]
        assert average_precision(predictor, learned.data) >= self.least_ap50

    def test_it_predicts_while_it_trains(self, learned: Training) -> None:
        """Where the engine offers that; another test finds out whether the training goes on as if nobody had looked."""
        seen = learned.context.seen
        if not seen:
            pytest.skip("the engine is not scored while it trains: it gives `end_epoch` no predictor")
        assert sorted(seen) == list(range(1, self.last_epoch() + 1))
        shape = learned.data.validation[0].labels.shape
        assert {(labels.dtype, labels.shape) for labels in seen.values()} == {(np.dtype(np.int32), shape)}
        assert seen[self.last_epoch()].any()

    def test_it_stops_after_the_epoch_when_told_to(self, halted: Training) -> None:
        """`end_epoch` returned False."""
        assert halted.context.calls == expected_calls(halted.context.steps_per_epoch, range(1, HALF + 1))

    def test_it_stops_at_once_when_told_to(self, tmp_path: Path) -> None:
        """`end_step` returned False: the epoch ends there, validated and saved."""
        context = self.train(tmp_path, last_step=1, export=False).context
        assert context.steps_per_epoch > 1, "choose a smaller batch size"
        assert context.calls == [("start", 0, 0), ("step", 1, 1), ("epoch", 1, 0)]
        assert math.isfinite(context.losses(1)[1])
        assert contents(context.epoch_folder(1))

    def test_the_same_seed_gives_the_same_losses(self, learned: Training, halted: Training) -> None:
        """A job can be repeated."""
        for epoch in range(1, HALF + 1):
            assert halted.context.losses(epoch) == pytest.approx(learned.context.losses(epoch), rel=self.seed_tolerance)

    def test_it_goes_on_from_a_checkpoint(self, learned: Training, halted: Training, tmp_path: Path) -> None:
        """Two epochs and two more are as good as four."""
        checkpoint = halted.context.epoch_folder(HALF)
        before = contents(checkpoint)
        resumed = self.train(
            tmp_path, checkpoint=checkpoint, first_epoch=HALF + 1, last_epoch=2 * HALF, export=False
        ).context
        assert resumed.calls == expected_calls(resumed.steps_per_epoch, range(HALF + 1, 2 * HALF + 1))
        for epoch in range(HALF + 1, 2 * HALF + 1):
            assert resumed.losses(epoch) == pytest.approx(learned.context.losses(epoch), rel=self.resume_tolerance)
        assert contents(checkpoint) == before

    def test_it_starts_from_a_model(self, learned: Training, tmp_path: Path) -> None:
        """The first epoch from a trained model is better than the first one from scratch; the model stays as it is."""
        before = contents(learned.model)
        context = self.train(tmp_path, pretrained=learned.model, last_epoch=1, export=False).context
        assert context.losses(1)[1] < learned.context.losses(1)[1]
        assert contents(learned.model) == before

    def test_it_writes_into_the_given_folders_only(self, learned: Training) -> None:
        """Neither the working folder nor the user's library is its business, and the data is only read."""
        assert learned.written_elsewhere == ()
        assert learned.data_untouched
        assert contents(learned.model)

    @pytest.mark.parametrize("shape", ODD_SHAPES)
    def test_it_predicts_any_size(self, predictor: Predictor, shape: tuple[int, int]) -> None:
        """Labels are int32 and as large as the image; background is 0."""
        image = np.random.default_rng(0).normal(0.1, 0.05, (self.spec.channels[0], *shape)).astype(np.float32)
        labels = predictor.predict(image)
        assert labels.dtype == np.int32
        assert labels.shape == shape
        assert labels.min() >= 0

    def test_it_predicts_the_same_again(self, learned: Training, predictor: Predictor) -> None:
        """So does the model when it is loaded anew; the image stays as it is."""
        image = disc_image((67, 101), self.spec.channels[0], 200).image
        given = image.copy()
        given.setflags(write=False)  # as a file that is mapped into memory
        labels = predictor.predict(given)
        again = self.load(learned)
        np.testing.assert_array_equal(predictor.predict(image), labels)
        np.testing.assert_array_equal(again.predict(image), labels)
        np.testing.assert_array_equal(image, given)

    def test_settings_that_say_nothing_change_nothing(self, predictor: Predictor) -> None:
        """A predictor takes the spec's settings; those without a value mean the model's own."""
        image = disc_image((67, 101), self.spec.channels[0], 200).image
        labels = predictor.predict(image, self.spec.prediction())
        np.testing.assert_array_equal(labels, predictor.predict(image))

    def test_it_predicts_with_the_weights_of_an_epoch(self, learned: Training, predictor: Predictor) -> None:
        """Where the engine offers that: those of the epoch that the model is made of give the model's labels."""
        engine = load_engine(self.spec)
        if not isinstance(engine, LoadsCheckpoints):
            pytest.skip("the engine loads no checkpoints")
        image = disc_image((67, 101), self.spec.channels[0], 200).image
        checkpoint = learned.context.epoch_folder(max(learned.context.metrics))
        labels = engine.load_checkpoint(checkpoint, learned.model).predict(image)
        np.testing.assert_array_equal(labels, predictor.predict(image))

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_it_predicts_an_empty_image(self, predictor: Predictor, value: float) -> None:
        """No engine may fail at a constant image."""
        labels = predictor.predict(np.full((self.spec.channels[0], 64, 64), value, np.float32))
        assert labels.shape == (64, 64)

    def test_it_takes_one_channel_more(self, tmp_path: Path) -> None:
        """Where the spec allows more than the least number of channels."""
        least, most = self.spec.channels
        if most == least:
            pytest.skip("takes no more channels")
        trained = self.train(tmp_path, channels=least + 1, last_epoch=1)
        image = disc_image((67, 101), least + 1, 200).image
        assert self.load(trained).predict(image).shape == (67, 101)
