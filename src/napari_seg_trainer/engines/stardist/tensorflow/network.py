"""StarDist's network in TensorFlow: one training step, the loss, and its state on disk."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from stardist.models import StarDist2D

from napari_seg_trainer.engines.stardist.design import farthest_pixel
from napari_seg_trainer.engines.stardist.files import CONFIG, KERAS_MEANS, LEARNED_MEANS, load_arrays
from napari_seg_trainer.engines.stardist.targets import BACKGROUND_WEIGHT, DISTANCE_WEIGHT, EPSILON, Batch

BATCH_MEMORY = 0.9
"""How much batch normalization keeps of its own running means at each step: less than Keras' 0.99, as the running mean
of a training keeps these numbers, too."""


def use_device(seed: int) -> str:
    """Seed TensorFlow, let it take GPU memory as needed, and return the name of what will compute."""
    tf.keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    # growth can only be set before a GPU is first used; a second call in one process finds it set
    with suppress(RuntimeError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def set_tile_overlap(model: StarDist2D) -> None:
    """Tell StarDist how far its network sees, which it else probes by running it, without end for some weights."""
    reach = farthest_pixel(model.config.unet_n_depth, max(model.config.grid))
    model._tile_overlap = [(reach, reach)] * 2  # noqa: SLF001 - the place where StarDist keeps the answer


class Trainer:
    """The network, its optimizer and the running mean of its weights.

    The loss is StarDist's: binary cross entropy of the probability, plus 0.2 times the mean absolute error of the
    distances weighted with the probability, plus a small pull to 0 in the background. It is written without the
    gather over valid pixels and without the extra metrics, which cost time and change nothing.

    Validation and the model use an exponential mean of the weights, which is steadier than the weights themselves
    (Polyak averaging).

    Parameters
    ----------
    model : StarDist2D
    mean_decay : float
        How much of the mean is kept at each step, once enough steps are done.
    """

    def __init__(self, model: StarDist2D, mean_decay: float = 0.99) -> None:
        self.model = model
        self.network = model.keras_model
        for layer in self.network.layers:
            if isinstance(layer, tf.keras.layers.BatchNormalization):
                layer.momentum = BATCH_MEMORY
        self.optimizer = tf.keras.optimizers.Adam(1e-3)
        self.optimizer.build(self.network.trainable_variables)
        self._weights = [variable.value for variable in self.network.weights]
        self._means = [tf.Variable(weight, trainable=False) for weight in self._weights]
        self._mean_decay = mean_decay
        self._keep, self._start = 0.0, self._means
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._train = tf.function(self._train_step, reduce_retracing=True)
        self._test = tf.function(self._test_step, reduce_retracing=True)

    def train_step(self, batch: Batch, learning_rate: float) -> dict[str, float]:
        """Do one step and return the batch's losses."""
        self.optimizer.learning_rate.assign(learning_rate)
        return _named(self._train(batch.image, batch.probability, batch.distances))

    def validate(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Return the mean losses of the averaged weights, each weighted with its batch's size."""
        with self.averaged():
            losses = [self._test(batch.image, batch.probability, batch.distances) for batch in batches]
        sizes = [len(batch.image) for batch in batches]
        return {f"val_{name}": value for name, value in _named(np.average(losses, axis=0, weights=sizes)).items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the running means as the network's weights."""
        learning = [tf.identity(weight) for weight in self._weights]
        self._assign(self._shown())
        try:
            yield
        finally:
            self._assign(learning)

    def keep(self, part: float) -> None:
        """Have a part of the weights, as they are now, stay in those that predict."""
        self._keep, self._start = part, [tf.identity(weight) for weight in self._weights]

    def set_weights(self, weights: Iterable[NDArray[Any]]) -> None:
        """Start from these weights, in Keras' order and axes."""
        for variable, mean, value in zip(self._weights, self._means, weights, strict=True):
            variable.assign(value)
            mean.assign(value)

    def expect_distances(self, batches: Sequence[Batch]) -> None:
        """Begin at the mean distance of these batches, so that no steps go into finding the scale of pixels."""
        weights = [np.maximum(batch.probability, 0.0) for batch in batches]
        total = sum(float(weight.sum()) for weight in weights)
        if total == 0:
            return
        sums = [
            float((batch.distances.mean(-1) * weight).sum()) for batch, weight in zip(batches, weights, strict=True)
        ]
        layer = self.network.get_layer("dist")
        kernel, bias = layer.get_weights()
        mean = sum(sums) / total
        layer.set_weights([kernel * mean, np.full_like(bias, mean)])
        self.set_weights(self.network.get_weights())

    def _train_step(self, image: Any, probability: Any, distances: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = self._losses(image, probability, distances, training=True)
        gradients = tape.gradient(losses[0], self.network.trainable_variables)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        self._steps.assign_add(1)
        step = tf.cast(self._steps, tf.float32)
        decay = tf.minimum(self._mean_decay, (1.0 + step) / (10.0 + step))
        for mean, weight in zip(self._means, self._weights, strict=True):
            mean.assign(decay * mean + (1.0 - decay) * weight)
        return losses

    def _test_step(self, image: Any, probability: Any, distances: Any) -> Any:
        return self._losses(image, probability, distances, training=False)

    def _losses(self, image: Any, probability: Any, distances: Any, *, training: bool) -> Any:
        said, reached = self.network(image, training=training)
        counts = tf.cast(probability >= 0, tf.float32)
        wanted = tf.maximum(probability, 0.0)
        said = tf.clip_by_value(said[..., 0], EPSILON, 1.0 - EPSILON)
        entropy = -(wanted * tf.math.log(said) + (1.0 - wanted) * tf.math.log(1.0 - said))
        probability_loss = tf.reduce_sum(counts * entropy) / tf.maximum(tf.reduce_sum(counts), 1.0)
        error = tf.reduce_mean(tf.abs(distances - reached), axis=-1)
        background = tf.reduce_mean((counts - wanted) * tf.reduce_mean(tf.abs(reached), axis=-1))
        distance_loss = tf.reduce_mean(wanted * error) / (tf.reduce_mean(wanted) + EPSILON)
        loss = probability_loss + DISTANCE_WEIGHT * (distance_loss + BACKGROUND_WEIGHT * background)
        return loss, probability_loss, distance_loss

    def _shown(self) -> list[Any]:
        """Return the weights that predict."""
        if not self._keep:
            return list(self._means)
        return [mean + self._keep * (start - mean) for mean, start in zip(self._means, self._start, strict=True)]

    def _assign(self, values: Iterable[Any]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.assign(value)

    def save(self, folder: Path) -> None:
        """Write the configuration, weights, their means, and the optimizer's state."""
        text = json.dumps(vars(self.model.config))
        (folder / CONFIG).write_text(text, encoding="utf-8")
        _save_arrays(folder / "weights.npz", self._weights)
        _save_arrays(folder / KERAS_MEANS, self._shown())
        if self._keep:
            _save_arrays(folder / LEARNED_MEANS, self._means)
        _save_arrays(folder / "optimizer.npz", [*self.optimizer.variables, self._steps])

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote."""
        for name, variables in (
            ("weights.npz", self._weights),
            (LEARNED_MEANS if self._keep else KERAS_MEANS, self._means),
            ("optimizer.npz", [*self.optimizer.variables, self._steps]),
        ):
            for variable, value in zip(variables, load_arrays(folder / name), strict=True):
                variable.assign(value)


def _named(losses: Any) -> dict[str, float]:
    total, probability, distance = (float(loss) for loss in losses)
    return {"loss": total, "probability_loss": probability, "distance_loss": distance}


def _save_arrays(path: Path, variables: Any) -> None:
    arrays: dict[str, Any] = {f"{i:04d}": np.asarray(variable) for i, variable in enumerate(variables)}
    np.savez(path, **arrays)
