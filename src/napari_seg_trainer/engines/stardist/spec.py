"""What StarDist is good for and which parameters it has; imports no framework."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt

from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.schema.job import Hyperparameters

ZeroToOne = Annotated[FiniteFloat, Field(ge=0, le=1)]


class StarDistParameters(Hyperparameters):
    """StarDist's parameters; None means chosen from the data.

    The names in `stardist.models.Config2D` that these stand for: `rays` is ``n_rays``, `depth` is ``unet_n_depth``,
    `patch_size` is ``train_patch_size``, `filters` is ``unet_n_filter_base``.
    """

    rays: Annotated[int, Field(ge=8, le=256)] | None = Field(
        None, title="Rays", description="Corners of the polygon that outlines an object. More for knobbly shapes."
    )
    grid: Literal[1, 2, 4, 8] | None = Field(
        None, title="Grid", description="The network answers at every n-th pixel. Larger is faster, for large objects."
    )
    depth: Annotated[int, Field(ge=1, le=6)] | None = Field(
        None, title="Depth", description="Levels of the network. Each one doubles how far it sees."
    )
    patch_size: Annotated[int, Field(ge=16, le=4096)] | None = Field(
        None, title="Patch size", description="Side, in pixels, of the squares that the network is trained on."
    )
    filters: PositiveInt = Field(
        32, title="Filters", description="Width of the network. 64 learns more from many images and is slower."
    )
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        0.9, title="Patches with objects", description="How often a patch must hold an object, from 0 to 1."
    )


class StarDistSettings(PredictionSettings):
    """The thresholds of a prediction; None means those that suited the validation images best.

    In `stardist.models.StarDist2D.predict_instances` they are ``prob_thresh`` and ``nms_thresh``.
    """

    probability: ZeroToOne | None = Field(
        None,
        title="Probability threshold",
        description="How sure the model must be that there is an object, from 0 to 1. Lower it when objects are "
        "missed; raise it when there are labels where nothing is.",
    )
    overlap: ZeroToOne | None = Field(
        None,
        title="Overlap threshold",
        description="How much two objects may overlap, from 0 to 1. Lower it when one object is found twice; raise it "
        "when touching objects are missed.",
    )

    @classmethod
    def of_model(cls, folder: Path) -> Self:
        """Return the thresholds in a StarDist model folder."""
        try:
            found = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
            return cls(probability=found["prob"], overlap=found["nms"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no such file, or none of StarDist's
            return cls()


SPEC = EngineSpec(
    id="stardist",
    title="StarDist",
    good_for="Roundish objects such as nuclei, also crowded ones.",
    parameters=StarDistParameters,
    channels=(1, None),
    location="napari_seg_trainer.engines.stardist.engine:StarDistEngine",
    requires=("stardist", "tensorflow"),
    install='python -m pip install "napari-seg-trainer[stardist]"',
    architecture=("rays", "grid", "depth", "filters"),
    prediction=StarDistSettings,
)
