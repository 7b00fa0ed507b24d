"""One step and its pieces: the loss, memory that does not suffice, the running mean, what is saved."""

import numpy as np
import pytest

pytest.importorskip("cellpose")

import torch

from napari_seg_trainer.engines.cellpose.losses import batch_of, losses
from napari_seg_trainer.engines.torch.computing import Computing
from napari_seg_trainer.engines.torch.training import Batch, Trainer

CPU = Computing(torch.device("cpu"))


class Context:
    def __init__(self):
        self.messages = []

    def log(self, message, level="info"):
        self.messages.append((level, message))


class Small(torch.nn.Module):
    """One convolution; has memory for `room` samples at once, and notes how many it got."""

    def __init__(self, room=99, error=None):
        super().__init__()
        torch.manual_seed(1)
        self.layer = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.room, self.error, self.sizes = room, error or MemoryError(), []

    def forward(self, images):
        if len(images) > self.room:
            raise self.error
        self.sizes.append(len(images))
        return self.layer(images), None


def batch(samples=4, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.random((samples, 4, 16, 16)).astype(np.float32)
    target[:, 0], target[:, 3] = target[:, 0] > 0.5, target[:, 3] > 0.2
    return Batch(torch.from_numpy(rng.random((samples, 2, 16, 16)).astype(np.float32)), torch.from_numpy(target))


def trainer(network=None, context=None, **options):
    network = network or Small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    return Trainer(network, losses, optimizer, CPU, context or Context(), **options)


def test_the_loss_is_that_of_cellpose():
    """Half the squared error of 5 times the flows, and the binary cross entropy, where all pixels count."""
    one = batch()
    answer = torch.randn(4, 3, 16, 16)
    target = one.target.clone()
    target[:, 3] = 1
    _, flow, probability = losses(answer, target).values()
    expected = 0.5 * torch.nn.functional.mse_loss(answer[:, :2], 5 * target[:, 1:3])
    assert float(flow) == pytest.approx(float(expected), rel=1e-5)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(answer[:, 2], target[:, 0])
    assert float(probability) == pytest.approx(float(entropy), rel=1e-5)


def test_pixels_that_do_not_count_change_nothing():
    one = batch()
    answer = torch.randn(4, 3, 16, 16)
    before = [float(loss) for loss in losses(answer, one.target).values()]
    ignored = one.target[:, 3:] == 0
    changed = torch.where(ignored, torch.full_like(answer, 9.0), answer)
    assert [float(loss) for loss in losses(changed, one.target).values()] == pytest.approx(before)
    assert all(float(loss) == 0 for loss in losses(answer, torch.zeros_like(one.target)).values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_batch_that_is_too_large_is_halved_and_learns_the_same(error):
    context, network = Context(), Small(room=2, error=error)
    short, enough = trainer(network, context), trainer()
    data = batch(samples=8)
    # counting pixels differ between samples, so that parts weigh alike only where all count
    data.target[:, 3] = 1
    for _ in range(3):
        found, expected = short.train_step(data, 0.1), enough.train_step(data, 0.1)
        assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(short.network.state_dict(), enough.network.state_dict())
    assert network.sizes == [2] * 12
    assert [level for level, _ in context.messages] == ["warning"] * 2
    assert context.messages[0][1].startswith("The memory does not hold 8 samples at once: from now on 4 at a time")
    assert "from now on 2" in context.messages[1][1]


def test_a_single_sample_that_is_too_large_is_an_error():
    with pytest.raises(MemoryError):
        trainer(Small(room=0)).train_step(batch(2), 0.1)


def test_other_errors_are_not_swallowed():
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer(Small(room=0, error=RuntimeError("shapes differ"))).train_step(batch(2), 0.1)


def test_validation_looks_at_the_mean_and_leaves_the_weights():
    one = trainer()
    for seed in range(5):
        one.train_step(batch(seed=seed), 0.5)
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    found = one.validate([batch(4, 7), batch(2, 8)])
    torch.testing.assert_close(one.network.state_dict(), before)
    assert found.keys() == {"val_loss", "val_flow_loss", "val_probability_loss"}
    bare = trainer(mean_decay=0.0)
    bare.network.load_state_dict(before)
    assert bare.validate([batch(4, 7), batch(2, 8)])["val_loss"] != pytest.approx(found["val_loss"], rel=1e-6)
    parts = [one.validate([data])["val_loss"] for data in (batch(4, 7), batch(2, 8))]
    assert found["val_loss"] == pytest.approx(np.average(parts, weights=[4, 2]))


@pytest.mark.parametrize("decay", [0.99, 0.0])
def test_a_saved_training_goes_on_alike(tmp_path, decay):
    one = trainer(mean_decay=decay)
    for seed in range(3):
        one.train_step(batch(seed=seed), 0.1)
    one.save(tmp_path)
    again = trainer(Small(), mean_decay=decay)
    again.restore(tmp_path)
    for seed in range(3, 6):
        assert again.train_step(batch(seed=seed), 0.1) == one.train_step(batch(seed=seed), 0.1)
    assert again.validate([batch()]) == one.validate([batch()])


def test_samples_of_a_batch_are_put_together(annotated):
    from napari_seg_trainer.engines.cellpose.samples import SamplePlan, draw_sample

    plan = SamplePlan(64, 2, 30.0, 15.0, 0.5, 0.9)
    samples = [draw_sample(annotated(), plan, np.random.default_rng(seed)) for seed in range(3)]
    one = batch_of(samples)
    assert (one.image.shape, one.target.shape, len(one)) == ((3, 2, 64, 64), (3, 4, 64, 64), 3)
    np.testing.assert_array_equal(one.target[1], samples[1].target)
    assert [len(part) for part in one.split(2)] == [2, 1]
