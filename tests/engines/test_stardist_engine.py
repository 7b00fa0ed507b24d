import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("stardist")
pytest.importorskip("torch")

import torch

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.patches import PatchPlan, draw_patch
from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.engines.protocol import TrainingData, TrainingTask
from napari_seg_trainer.engines.registry import load_engine, parse_parameters
from napari_seg_trainer.engines.stardist import design
from napari_seg_trainer.engines.stardist.design import describe, farthest_pixel
from napari_seg_trainer.engines.stardist.losses import batch_of, expect_distances, losses
from napari_seg_trainer.engines.stardist.spec import SPEC
from napari_seg_trainer.engines.stardist.state import open_epoch, open_network
from napari_seg_trainer.engines.stardist.targets import make_batch
from napari_seg_trainer.engines.stardist.unet import Shape, StarDistNet
from napari_seg_trainer.engines.tiles import TellsTiles
from napari_seg_trainer.errors import EngineError, JobError, LibraryError
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.library.pretrained import fetch
from napari_seg_trainer.schema.job import Hyperparameters
from napari_seg_trainer.testing.discs import disc_image
from napari_seg_trainer.testing.engine_suite import EngineSuite
from napari_seg_trainer.testing.recording import RecordingContext

pytestmark = [
    # csbdeep says so of every folder that is there before the model is
    pytest.mark.filterwarnings("ignore:output path for model already exists:UserWarning"),
    # keras, with NumPy 2
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SMALL = {
    "epochs": 14,
    "batch_size": 2,
    "augmentation": 4,
    "learning_rate": 0.004,
    "rays": 16,
    "grid": 2,
    "depth": 2,
    "filters": 8,
    "patch_size": 64,
}


def plain(folder):
    from stardist.models import StarDist2D

    return StarDist2D(None, name=folder.name, basedir=str(folder.parent))


def untrained(folder, **config):
    """Write a model folder as plain StarDist does."""
    from stardist.models import Config2D, StarDist2D

    values = {"n_rays": 16, "grid": (2, 2), "unet_n_depth": 2, "unet_n_filter_base": 8, "n_channel_in": 1} | config
    model = StarDist2D(Config2D(**values), name=folder.name, basedir=str(folder.parent))
    model.keras_model.save_weights(str(folder / "weights_best.h5"))
    return folder


def train(task, data, folder, **wanted):
    context = RecordingContext(folder, **wanted)
    load_engine(SPEC).train(task, data, context)
    return context


def task(pretrained=None, channels=1, **parameters):
    return TrainingTask(channels, parse_parameters(SPEC, SMALL | {"epochs": 1} | parameters), 0, pretrained)


class TestStarDist(EngineSuite):
    """Computed with PyTorch."""

    spec = SPEC
    parameters = SMALL
    seed_tolerance = resume_tolerance = 1e-4

    @pytest.mark.parametrize("shape", [(67, 101), (64, 64)])
    def test_plain_stardist_opens_the_model(self, learned, predictor, shape):
        image = disc_image(shape, 1, 300).image
        labels, _ = plain(learned.model).predict_instances(np.moveaxis(image, 0, -1), axes="YXC")
        assert labels.max() > 0
        np.testing.assert_array_equal(predictor.predict(image), labels)

    def test_the_export_keeps_thresholds_and_tells_its_stages(self, learned):
        chosen = json.loads((learned.model / "thresholds.json").read_text(encoding="utf-8"))
        assert 0 < chosen["prob"] < 1
        assert set(learned.context.stages) == {"optimising thresholds"}

    def test_large_images_go_through_in_tiles(self, predictor, monkeypatch):
        image = disc_image((150, 210), 1, 301).image
        whole = predictor.predict(image)
        monkeypatch.setattr("napari_seg_trainer.engines.stardist.prediction.TILE", 64)
        told = []
        monkeypatch.setattr(predictor, "on_tile", lambda *parts: told.append(parts))
        assert isinstance(predictor, TellsTiles)
        tiled = predictor.predict(image)
        assert told == [(done, 12) for done in range(1, 13)]
        (matching,) = match(whole, tiled, (0.99,))
        assert (matching.ap, matching.true_positive) == (1.0, whole.max())

    @pytest.mark.parametrize("offset", [None, 70_000], ids=["no objects", "large label numbers"])
    def test_any_validation_image_can_be_exported_with(self, learned, tmp_path, offset):
        prepared = disc_image((64, 64), 1, 302)
        labels = np.where(prepared.labels > 0, prepared.labels + (offset or 0), 0).astype(np.int32)
        image = prepared.image if offset else np.full_like(prepared.image, 0.1)
        validation = [PreparedImage("a", image, labels * (offset is not None))]
        data = TrainingData([], validation, np.array([12.0]), np.array([12.0]))
        checkpoint = learned.context.epoch_folder(max(learned.context.metrics))
        load_engine(SPEC).export(checkpoint, data, tmp_path, learned.context)
        assert load_engine(SPEC).load(tmp_path).predict(disc_image((64, 64), 1, 303).image).max() > 0


class TestStarDistWithTensorFlow(TestStarDist):
    """The same, computed with TensorFlow by stardist itself."""

    parameters = SMALL | {"computes_with": "tensorflow"}

    # each of these begins a training of its own, which takes seconds in which TensorFlow prepares itself

    @pytest.mark.slow
    def test_it_stops_after_the_epoch_when_told_to(self, halted):
        super().test_it_stops_after_the_epoch_when_told_to(halted)

    @pytest.mark.slow
    def test_it_stops_at_once_when_told_to(self, tmp_path):
        super().test_it_stops_at_once_when_told_to(tmp_path)

    @pytest.mark.slow
    def test_it_goes_on_from_a_checkpoint(self, learned, halted, tmp_path):
        super().test_it_goes_on_from_a_checkpoint(learned, halted, tmp_path)

    @pytest.mark.slow
    def test_it_takes_one_channel_more(self, tmp_path):
        super().test_it_takes_one_channel_more(tmp_path)

    def test_what_tensorflow_began_goes_on_with_it(self, learned, tmp_path):
        """Jobs of before do not say with what they are computed; the epochs' folders do."""
        checkpoint = learned.context.epoch_folder(2)
        data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
        context = train(task(epochs=3), data, tmp_path, checkpoint=checkpoint, first_epoch=3)
        assert (context.epoch_folder(3) / "means.npz").is_file()
        assert len(context.metrics) == 1


WAYS = ["pytorch", pytest.param("tensorflow", marks=pytest.mark.slow)]
"""TensorFlow takes ten seconds each time, and its own suite is above."""


@pytest.mark.parametrize("way", WAYS)
def test_a_training_goes_on_with_the_network_that_it_began_with(way, tmp_path, monkeypatch):
    """Other versions have networks of other kinds."""
    data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
    with monkeypatch.context() as patch:
        patch.setitem(design._CONFIG, "unet_batch_norm", False)
        begun = train(task(computes_with=way), data, tmp_path / "begun")
    given = task(computes_with=way, epochs=2)
    gone_on = train(given, data, tmp_path / "gone on", checkpoint=begun.epoch_folder(1), first_epoch=2)
    told = [json.loads((each / "config.json").read_text()) for each in (begun.epoch_folder(1), gone_on.epoch_folder(2))]
    assert [config["unet_batch_norm"] for config in told] == [False, False]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A model as plain StarDist writes it, that has learned nothing yet."""
    return untrained(tmp_path_factory.mktemp("pretrained"))


@pytest.mark.parametrize("way", WAYS)
def test_of_a_pretrained_model_as_much_stays_as_is_wanted(way, pretrained, tmp_path):
    def weights(network):
        return [value for value in network.state_dict().values() if value.ndim]

    data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
    old, new = weights(open_network(pretrained).network), {}
    for keep in (0.0, 0.25):
        context = train(task(pretrained, computes_with=way, keep=keep), data, tmp_path / f"tuned {keep}")
        new[keep] = weights(open_epoch(context.epoch_folder(1)))
    assert any(not np.allclose(a, b) for a, b in zip(new[0.0], old, strict=True))
    for trained, mixed, before in zip(new[0.0], new[0.25], old, strict=True):
        np.testing.assert_allclose(mixed, 0.75 * trained + 0.25 * before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_training_that_keeps_some_of_its_start_goes_on_alike(way, pretrained, tmp_path):
    data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
    given = task(pretrained, computes_with=way, keep=0.5, epochs=2)
    whole = train(given, data, tmp_path / "whole")
    gone_on = train(given, data, tmp_path / "gone on", checkpoint=whole.epoch_folder(1), first_epoch=2)
    assert gone_on.losses(2) == pytest.approx(whole.losses(2), rel=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_a_training_from_the_negative_of_a_model_begins_where_that_ends(way, tmp_path):
    """With the negatives of the same images, all that differs is what the network sees beyond the border."""
    starter = fetch(SPEC.pretrained[0], SPEC, tmp_path / "starters")
    annotated = AnnotationFolder.open(builtin_folder("nuclei_dsb2018")).pairs[0].read()
    pixels = annotated.image.astype(np.float32)
    low, high = np.percentile(pixels, (1, 99.8))
    bright = PreparedImage("bright", (pixels - low) / (high - low), annotated.labels)
    dark = replace(bright, name="dark", image=1 - bright.image)
    parameters = parse_parameters(SPEC, {"epochs": 1, "batch_size": 2, "learning_rate": 1e-12, "patch_size": 256})

    def loss(image, inverted, computes_with="pytorch"):
        data = TrainingData([image], [image], np.array([20.0]), np.array([20.0]))
        own = parameters.replace(inverted=inverted, computes_with=computes_with)
        folder = tmp_path / f"{image.name} {inverted} {computes_with}"
        return train(TrainingTask(1, own, 0, starter.folder), data, folder).losses(1)[1]

    as_it_was = loss(bright, False)
    assert loss(dark, True, way) < 1.2 * as_it_was
    assert loss(dark, False) > 2 * as_it_was


def test_an_epoch_of_a_network_of_any_size_takes_no_memory(tmp_path):
    """A run folder may be a stranger's."""
    data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
    checkpoint = train(task(), data, tmp_path / "checkpoints").epoch_folder(1)
    with_config(unet_n_filter_base=1024, unet_n_depth=8, unet_expansion=4)(checkpoint)
    (tmp_path / "model").mkdir()
    with pytest.raises(LibraryError, match="StarDist cannot open the model in"):
        load_engine(SPEC).export(checkpoint, data, tmp_path / "model", RecordingContext(tmp_path))


@pytest.mark.parametrize("way", ["pytorch", "tensorflow"])
@pytest.mark.parametrize("goes_on", [False, True], ids=["is kept", "goes on"])
def test_what_an_epoch_would_have_run_is_not_run(goes_on, way, tmp_path):
    """Keras takes some values for a function to import and call."""
    data = TrainingData(*[[disc_image((64, 64), 1, 1)]] * 2, np.array([12.0]), np.array([12.0]))
    checkpoint = train(task(computes_with=way), data, tmp_path / "begun").epoch_folder(1)
    trap = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    with_config(unet_activation=trap)(checkpoint)
    (tmp_path / "model").mkdir()
    with pytest.raises(LibraryError, match="unet_activation"):
        if goes_on:
            train(task(computes_with=way, epochs=2), data, tmp_path / "on", checkpoint=checkpoint, first_epoch=2)
        else:
            load_engine(SPEC).export(checkpoint, data, tmp_path / "model", RecordingContext(tmp_path))


def test_without_tensorflow_a_choice_of_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("napari_seg_trainer.engines.stardist.engine.find_spec", lambda _name: None)
    nothing = TrainingData([], [], np.array([]), np.array([]))
    with pytest.raises(EngineError, match=r"is to be computed with TensorFlow, which is not installed\. Run: "):
        train(task(computes_with="tensorflow"), nothing, tmp_path / "checkpoints")
    (tmp_path / "means.npz").touch()
    with pytest.raises(EngineError, match=r"was begun with TensorFlow, which is not installed\. Run: "):
        train(task(), nothing, tmp_path / "checkpoints", checkpoint=tmp_path)


def test_tensorflow_chooses_the_device_itself(tmp_path):
    with pytest.raises(JobError, match="Do not set 'device'"):
        train(
            task(computes_with="tensorflow", device="cpu"), TrainingData([], [], np.array([]), np.array([])), tmp_path
        )


@pytest.mark.parametrize(
    ("config", "wanted", "message"),
    [
        ({}, {"rays": 32}, "has rays 16, not 32"),
        ({}, {"channels": 2}, "takes 1 channel"),
        ({"n_classes": 2}, {}, "classes"),
    ],
)
def test_a_pretrained_model_that_does_not_fit_is_refused(tmp_path, config, wanted, message):
    (tmp_path / "start").mkdir()
    model = untrained(tmp_path / "start", **config)
    channels = wanted.get("channels", 1)
    images = [disc_image((64, 64), channels, seed) for seed in range(2)]
    data = TrainingData(images, images, np.array([12.0]), np.array([12.0]))
    with pytest.raises(JobError, match=message) as caught:
        train(task(model, **wanted), data, tmp_path / "checkpoints")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("sound"))


def cut_off(folder):
    weights = folder / "weights_best.h5"
    weights.write_bytes(weights.read_bytes()[:3000])


def with_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        cut_off,
        with_config(n_rays=32),
        with_config(unet_n_depth=3),
        lambda folder: (folder / "weights_best.h5").unlink(),
        lambda folder: (folder / "weights_best.h5").write_bytes(b""),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"),
        lambda folder: (folder / "config.json").write_text("[]", encoding="utf-8"),
        lambda folder: (folder / "thresholds.json").write_text("[]", encoding="utf-8"),
    ],
    ids=[
        "gone",
        "cut off",
        "other rays",
        "other depth",
        "no weights",
        "empty",
        "no config",
        "json",
        "list",
        "thresholds",
    ],
)
def test_a_broken_model_is_one_line(sound, tmp_path, spoil):
    model = shutil.copytree(sound, tmp_path / "broken")
    spoil(model)
    with pytest.raises(LibraryError, match="broken") as caught:
        load_engine(SPEC).load(model)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def trainer():
    from stardist.models import Config2D, StarDist2D

    from napari_seg_trainer.engines.stardist.tensorflow.network import Trainer

    return Trainer(StarDist2D(Config2D(**describe(1, parse_parameters(SPEC, SMALL))), name=None, basedir=None))


def half_ignored():
    labels = disc_image((64, 64), 1, 0).labels.copy()
    labels[:, 32:] = -1
    return labels


@pytest.mark.parametrize(
    "labels",
    [
        np.full((64, 64), 5, np.int32),
        np.full((20, 200), 5, np.int32),
        np.full((64, 64), -1, np.int32),
        np.zeros((64, 64), np.int32),
        half_ignored(),
        disc_image((64, 64), 1, 0).labels * 100_000,
    ],
    ids=["full patch", "long object", "nothing annotated", "no object", "half annotated", "large numbers"],
)
def test_losses_are_numbers_on_odd_labels(trainer, labels):
    prepared = PreparedImage("odd", np.float32(labels > 0)[np.newaxis], labels)
    plan = PatchPlan((64, 64), batch_size=2)
    patches = [draw_patch(prepared, plan, np.random.default_rng(seed)) for seed in range(2)]
    batch = make_batch(patches, rays=16, grid=2)
    trainer.expect_distances([batch])
    found = trainer.train_step(batch, 0.001) | trainer.validate([batch])
    assert all(map(math.isfinite, found.values()))


def test_both_ways_have_the_same_loss(trainer):
    """What Keras and PyTorch compute for the same answer, also where a half does not count."""
    import tensorflow as tf

    labels = half_ignored()
    prepared = PreparedImage("half", np.float32(labels > 0)[np.newaxis], labels)
    patches = [draw_patch(prepared, PatchPlan((64, 64), batch_size=2), np.random.default_rng(seed)) for seed in (0, 1)]
    batch, same = make_batch(patches, rays=16, grid=2), batch_of(patches, rays=16, grid=2)
    rng = np.random.default_rng(0)
    logits, reached = rng.normal(size=(2, 32, 32, 1)), rng.normal(5, 2, (2, 32, 32, 16))
    answer = tf.constant(1 / (1 + np.exp(-logits)), tf.float32), tf.constant(reached, tf.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "network", lambda *_args, **_options: answer)
        keras = [
            float(loss) for loss in trainer._losses(batch.image, batch.probability, batch.distances, training=False)
        ]
    said = torch.from_numpy(np.concatenate([logits, reached], axis=-1).astype(np.float32)).permute(0, 3, 1, 2)
    assert [float(loss) for loss in losses(said, same.target).values()] == pytest.approx(keras, rel=1e-5)


@pytest.mark.parametrize("labels", [np.full((64, 64), -1, np.int32), np.zeros((64, 64), np.int32)])
def test_where_nothing_counts_the_loss_is_a_number(labels):
    prepared = PreparedImage("odd", np.zeros((1, 64, 64), np.float32), labels)
    batch = batch_of(
        [draw_patch(prepared, PatchPlan((64, 64), batch_size=1), np.random.default_rng(0))], rays=16, grid=2
    )
    network = StarDistNet(Shape(n_rays=16, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=8))
    expect_distances(network, [batch])
    assert all(math.isfinite(float(loss.detach())) for loss in losses(network(batch.image), batch.target).values())


def test_the_configuration_is_what_stardist_says():
    from stardist.models import Config2D

    told = describe(2, parse_parameters(SPEC, SMALL))
    plain = vars(Config2D(**told))
    assert json.loads(json.dumps(plain)) == told


def test_parameters_of_another_engine_are_a_defect(tmp_path):
    with pytest.raises(TypeError, match="Hyperparameters"):
        train(TrainingTask(1, Hyperparameters(), 0), TrainingData([], [], np.array([]), np.array([])), tmp_path)


@pytest.mark.parametrize(("depth", "grid"), [(1, 1), (2, 1), (2, 2), (1, 4), (3, 2)])
def test_the_network_looks_as_far_as_the_design_says(depth, grid):
    from stardist.models import Config2D, StarDist2D

    config = Config2D(n_rays=3, grid=(grid, grid), unet_n_depth=depth, unet_n_filter_base=1, net_conv_after_unet=1)
    network = StarDist2D(config, name=None, basedir=None).keras_model
    # means of what they see: nothing that changes in the input is lost on the way
    network.set_weights(
        [np.full(w.shape, 1 / np.prod(w.shape[:-1]) if w.ndim > 1 else 0.0) for w in network.get_weights()]
    )
    size, unit = 256, grid * 2**depth
    dark = np.ones((1, size, size, 1), np.float32)
    farthest = 0
    for place in range(size // 2, size // 2 + unit):
        lit = dark.copy()
        lit[0, place, place, 0] = 1e6
        changed = (np.asarray(network([lit])[1]) != np.asarray(network([dark])[1])).any(axis=(0, 2, 3))
        farthest = max(farthest, int(np.abs(np.flatnonzero(changed) * grid - place).max()))
    assert farthest == farthest_pixel(depth, grid)


@pytest.mark.parametrize("starter", [model for model in SPEC.pretrained if model.is_starter], ids=lambda it: it.name)
def test_plain_stardist_finds_the_same_with_a_starter(starter, tmp_path):
    model = fetch(starter, SPEC, tmp_path)
    channels = len(model.card.channels)
    pixels = AnnotationFolder.open(builtin_folder("nuclei_dsb2018", "test")).pairs[0].read().image[0].astype(np.float32)
    low, high = np.percentile(pixels, (1, 99.8))
    image = np.stack([(pixels - low) / (high - low)] * channels)
    labels, _ = plain(model.folder).predict_instances(np.moveaxis(image, 0, -1), axes="YXC")
    np.testing.assert_array_equal(load_engine(SPEC).load(model.folder).predict(image), labels)
    assert channels == 3 or labels.max() > 3
