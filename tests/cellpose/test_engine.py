"""Both Cellpose networks as engines: what every engine must do, and what is their own."""

import json
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.annotations.prepare import PreparedImages
from napari_seg_trainer.engines.cellpose import sam
from napari_seg_trainer.engines.cellpose.engine import CellposeEngine, CellposeSamEngine, _settle_memory
from napari_seg_trainer.engines.cellpose.spec import (
    LEAST_DIAMETER,
    SAM_SPEC,
    SPEC,
    CellposeParameters,
    CellposeSettings,
)
from napari_seg_trainer.engines.protocol import TrainingData, TrainingTask
from napari_seg_trainer.engines.registry import parse_parameters
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.errors import DataError, JobError, LibraryError
from napari_seg_trainer.schema.job import TrainingFacts
from napari_seg_trainer.testing.discs import disc_image
from napari_seg_trainer.testing.engine_suite import EngineSuite
from napari_seg_trainer.testing.recording import RecordingContext
from napari_seg_trainer.testing.training import train_on_discs

SMALL = {"epochs": 2, "batch_size": 2, "patch_size": 64, "augmentation": 1.0, "device": "cpu"}
SHAPES = ((64, 64), (64, 80), (72, 64))


class TestCellpose(EngineSuite):
    spec = SPEC
    parameters: ClassVar = {"epochs": 12, "batch_size": 3, "patch_size": 64, "augmentation": 2.0, "device": "cpu"}
    least_ap50 = 0.7


@pytest.fixture
def context(tmp_path, home):
    return RecordingContext(tmp_path / "checkpoints")


def data(tmp_path, images):
    written = PreparedImages.write(tmp_path / "images", images, lambda _: None)
    return TrainingData(written, written, np.array([10.0]), np.array([10.0]))


def task(spec=SPEC, pretrained=None, **changes):
    return TrainingTask(1, parse_parameters(spec, SMALL | changes), 0, pretrained)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train_on_discs(SPEC, task(), SHAPES, folder)


def _mean_of_medians(images):
    """The objects' size, as Cellpose tells it."""
    return np.mean([np.median(np.sqrt(np.bincount(image.labels.ravel())[1:] * 4 / np.pi)) for image in images])


def test_the_weights_are_all_that_cellpose_3_needs(trained, state):
    weights = torch.load(trained.model / "weights.pth", weights_only=True)
    assert {name: value.shape for name, value in weights.items()} == {name: v.shape for name, v in state.items()}
    assert float(weights["diam_mean"]) == LEAST_DIAMETER  # the discs are smaller
    assert float(weights["diam_labels"]) == pytest.approx(_mean_of_medians(trained.data.training), rel=1e-3)
    assert CellposeSettings.of_model(trained.model) == CellposeSettings(cellprob_threshold=0.0, flow_threshold=0.4)


def test_the_object_size_of_the_training_is_kept_when_it_goes_on(trained, tmp_path):
    """A model that starts from another knows the size of its own objects."""
    again = train_on_discs(SPEC, task(pretrained=trained.model), ((64, 64), (96, 64)), tmp_path)
    weights = torch.load(again.model / "weights.pth", weights_only=True)
    assert float(weights["diam_mean"]) == LEAST_DIAMETER
    assert float(weights["diam_labels"]) == pytest.approx(_mean_of_medians(again.data.training), rel=1e-3)


def facts(diameter=20.0, images=24, pretrained=False):
    return TrainingFacts(images * [(256, 256)], np.full(9, diameter), np.full(9, diameter), pretrained)


@pytest.mark.parametrize(("diameter", "shown"), [(8.0, 17.0), (21.04, 21.0), (200.0, 30.0)])
def test_objects_are_shown_as_large_as_they_are_within_limits(diameter, shown):
    assert CellposeParameters().completed(facts(diameter)).diameter == shown
    assert CellposeParameters(diameter=12).completed(facts(diameter)).diameter == 12
    assert CellposeParameters().completed(facts(diameter, pretrained=True)).diameter is None


@pytest.mark.parametrize(
    ("optimizer", "pretrained", "rate"),
    [("AdamW", False, 0.001), ("AdamW", True, 0.0003), ("SGD", False, 0.01), ("SGD", True, 0.01)],
)
def test_the_learning_rate_suits_the_optimizer(optimizer, pretrained, rate):
    completed = CellposeParameters(optimizer=optimizer).completed(facts(pretrained=pretrained))
    assert (completed.learning_rate, completed.patch_size) == (rate, 128)
    assert completed.completed(facts()).replace(diameter=completed.diameter) == completed


@pytest.mark.parametrize(("images", "epochs"), [(3, 500), (6, 268), (12, 134), (24, 100)])
def test_a_network_that_takes_longer_for_a_pixel_is_shown_fewer(images, epochs):
    assert CellposeParameters().completed(facts(images=images)).epochs == epochs


def test_a_network_keeps_the_size_of_objects_that_it_was_made_for(trained, tmp_path, context):
    with pytest.raises(JobError, match=r"shown objects of 17 pixels across, not 25\. Leave 'Training diameter' empty"):
        CellposeEngine().train(task(pretrained=trained.model, diameter=25), trained.data, context)
    same = CellposeEngine()
    same.train(task(pretrained=trained.model, diameter=17, epochs=1), trained.data, context)
    assert context.parameters.diameter == LEAST_DIAMETER


def test_a_training_that_goes_on_shows_objects_as_it_began(trained, tmp_path):
    """Whatever would be chosen now, as by another version."""
    begun = RecordingContext(tmp_path / "begun")
    CellposeEngine().train(task(diameter=25, epochs=1), trained.data, begun)
    again = RecordingContext(tmp_path / "again", checkpoint=begun.epoch_folder(1), first_epoch=2)
    CellposeEngine().train(task(epochs=2), trained.data, again)
    assert again.parameters.diameter == 25
    weights = torch.load(again.epoch_folder(2) / "means.pth", weights_only=True)
    assert float(weights["diam_mean"]) == 25


def test_images_with_few_objects_can_be_left_out(tmp_path, context):
    images = [disc_image((64, 64), 1, 1), disc_image((64, 64), 1, 2), disc_image((16, 16), 1, 3, (3, 3))]
    counts = [image.labels.max() for image in images]
    assert counts[2] < 3 < min(counts[:2])
    CellposeEngine().train(task(min_objects=3), data(tmp_path, images), context)
    assert context.messages == ["1 of 3 training images have fewer than 3 objects and are left out."]
    assert context.steps_per_epoch == 1


def test_too_many_objects_asked_for_is_an_error(tmp_path, context):
    with pytest.raises(DataError, match="No training image has 999 objects; the most that one has is") as caught:
        CellposeEngine().train(task(min_objects=999), data(tmp_path, [disc_image((64, 64), 1, 1)]), context)
    assert "\n" not in str(caught.value)


def test_objects_of_wildly_different_size_are_warned_of(tmp_path, context):
    images = [disc_image((64, 64), 1, 1, (3, 3)), disc_image((128, 128), 1, 2, (20, 22))]
    CellposeEngine().train(task(), data(tmp_path, images), context)
    (message,) = context.messages
    assert message.startswith("Objects differ much in size between images: 1")


def test_a_model_of_the_wrong_generation_is_named(tmp_path, context):
    torch.save({"encoder.blocks.0.attn.qkv.weight": torch.zeros(1)}, tmp_path / "cpsam")
    with pytest.raises(LibraryError, match=r"weights of Cellpose-SAM \(Cellpose 4\), not of Cellpose 1 to 3"):
        CellposeEngine().train(
            task(pretrained=tmp_path / "cpsam"), data(tmp_path, [disc_image((64, 64), 1, 1)]), context
        )


def test_a_device_that_is_not_there(tmp_path, context):
    wanted = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(JobError, match=f"no device '{wanted}' here"):
        CellposeEngine().train(task(device=wanted), data(tmp_path, [disc_image((64, 64), 1, 1)]), context)


def test_thresholds_of_celldetective_are_the_models_own(tmp_path):
    config = {"diameter": 27.5, "flow_threshold": 0.6, "cellprob_threshold": -1.0, "channels": ["a"]}
    (tmp_path / "config_input.json").write_text(json.dumps(config))
    own = CellposeSettings.of_model(tmp_path)
    assert own == CellposeSettings(diameter=27.5, flow_threshold=0.6, cellprob_threshold=-1.0)
    (tmp_path / "config_input.json").write_text('{"flow_threshold": "much"}')
    assert CellposeSettings.of_model(tmp_path) == CellposeSettings()


# Cellpose-SAM

SAM_SMALL = {"epochs": 1, "batch_size": 1, "augmentation": 1.0, "device": "cpu"}


def test_cellpose_sam_is_not_trained_from_scratch(tmp_path, context):
    sam_task = TrainingTask(1, parse_parameters(SAM_SPEC, SAM_SMALL), 0)
    with pytest.raises(JobError, match="never trained from scratch"):
        CellposeSamEngine().train(sam_task, data(tmp_path, [disc_image((64, 64), 1, 1)]), context)


class _Block:
    class attn:
        num_heads = 16
        qkv = torch.nn.Linear(1024, 8)


class _Like:
    """As large as Cellpose-SAM, to the eye that estimates."""

    class encoder:
        blocks = (_Block,) * 24

    def parameters(self):
        return [torch.empty(305_000_000, device="meta")]


@pytest.mark.parametrize(
    ("free", "asked", "saves", "messages"),
    [
        (100, None, False, []),
        (8, None, True, ["Memory is short"]),
        (2, None, True, ["is short", "needs about"]),
        (100, True, True, []),
        (8, False, False, ["needs about"]),
    ],
)
def test_memory_is_estimated_before_it_is_used(monkeypatch, context, free, asked, saves, messages):
    monkeypatch.setattr(sam, "memory_free", lambda _device: free << 30)
    parameters = parse_parameters(SAM_SPEC, SAM_SMALL | {"save_memory": asked})
    settled = _settle_memory(_Like(), parameters, Computing(torch.device("cpu")), context)
    assert settled.save_memory is saves
    assert len(context.messages) == len(messages)
    for words, said in zip(messages, context.messages, strict=True):
        assert words in said


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_cellpose_sam_takes_real_steps_and_opens_in_plain_cellpose(tmp_path, context):
    from cellpose.models import CellposeModel
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    start = tmp_path / "start" / "weights.pth"
    start.parent.mkdir()
    torch.save(CPSAM(dtype=torch.float32).state_dict(), start)
    images = [disc_image((96, 96), 3, seed) for seed in range(2)]
    parameters = parse_parameters(SAM_SPEC, SAM_SMALL | {"epochs": 2, "learning_rate": 1e-4})
    CellposeSamEngine().train(TrainingTask(3, parameters, 0, start.parent), data(tmp_path, images), context)
    assert context.losses(2)[1] < context.losses(1)[1]
    model = tmp_path / "model"
    model.mkdir()
    CellposeSamEngine().export(context.epoch_folder(2), data(tmp_path, images), model, context)
    before, after = (torch.load(path / "weights.pth", weights_only=True) for path in (start.parent, model))
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert {"out.weight", "encoder.blocks.0.attn.qkv.weight", "encoder.blocks.23.mlp.lin2.weight"} <= set(changed)
    plain = CellposeModel(gpu=False, pretrained_model=str(model / "weights.pth"), use_bfloat16=False)
    image = images[0].image
    masks, flows, _ = plain.eval(np.moveaxis(image, 0, -1), normalize=False)
    answer = CellposeSamEngine().load(model).answer(image)
    np.testing.assert_allclose(answer[..., 2], flows[2], atol=0.1)
    assert masks.shape == (96, 96)
