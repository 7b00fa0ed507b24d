"""What StarDist on Keras 2 (TensorFlow 2.15) writes and answers; run once, in an environment that has it::

python tests/engines/keras2/record.py
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SMALL = {"n_rays": 8, "unet_n_depth": 2, "unet_n_filter_base": 4, "net_conv_after_unet": 8, "grid": (2, 2)}
CONFIGURATIONS = {"plain": SMALL, "classes": SMALL | {"n_classes": 2, "n_channel_in": 3, "unet_batch_norm": True}}


def image(channels):
    """Return noise, axes BYXC."""
    return np.random.default_rng(7).random((1, 32, 48, channels), np.float32)


def main():
    """Write each network, and its answer."""
    from stardist.models import Config2D, StarDist2D

    StarDist2D(Config2D(**SMALL), name=None, basedir=None)  # so that names of layers count on from there
    for name, config in CONFIGURATIONS.items():
        model = StarDist2D(Config2D(**config), name=name, basedir=str(FOLDER))
        rng = np.random.default_rng(1)
        weights = [rng.uniform(0.1, 0.5, weight.shape) for weight in model.keras_model.get_weights()]
        model.keras_model.set_weights([weight if weight.ndim == 1 else weight - 0.3 for weight in weights])
        model.keras_model.save_weights(str(FOLDER / name / "weights_best.h5"))
        probability, distances = model.keras_model(image(model.config.n_channel_in))[:2]
        np.savez_compressed(FOLDER / name / "answer.npz", probability=probability, distances=distances)


if __name__ == "__main__":
    main()
