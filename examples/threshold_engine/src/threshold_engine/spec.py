"""What the engine is good for and which parameters it has; imports nothing heavy."""

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.schema.job import Hyperparameters


class ThresholdParameters(Hyperparameters):
    """The common parameters, with other defaults where they suit better, and two of its own."""

    epochs: PositiveInt = Field(20, title="Epochs", description="Number of passes over the training images.")
    learning_rate: PositiveFloat = Field(
        0.01,
        title="Learning rate",
        description="Step size of the threshold. Smaller is slower and more stable.",
    )
    sigma: NonNegativeFloat = Field(
        1.0, title="Smoothing", description="How many pixels the image is blurred over, against noise."
    )
    softness: PositiveFloat = Field(
        0.1, title="Softness", description="How far from the threshold a pixel still counts as uncertain."
    )


SPEC = EngineSpec(
    id="threshold",
    title="Threshold",
    good_for="Bright objects that do not touch.",
    parameters=ThresholdParameters,
    channels=(1, None),
    location="threshold_engine.engine:ThresholdEngine",
    pretrained=(
        PretrainedModel(
            name="half",
            title="What is brighter than half",
            url="package:threshold_engine/half.json",
            checksum=None,
            channels=("channel 0",),
        ),
    ),
    foreign="threshold_engine.foreign:READER",
    packages=("threshold-engine", "scipy"),
    citations=(
        "Cox DR. The regression analysis of binary sequences. Journal of the Royal Statistical Society B 20 (1958). "
        "doi:10.1111/j.2517-6161.1958.tb00292.x",
    ),
)
