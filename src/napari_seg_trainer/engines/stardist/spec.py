"""What StarDist is good for and which parameters it has; imports no framework."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.schema.job import Hyperparameters


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


SPEC = EngineSpec(
    id="stardist",
    title="StarDist",
    good_for="Roundish objects such as nuclei, also crowded ones.",
    parameters=StarDistParameters,
    channels=(1, None),
    location="napari_seg_trainer.engines.stardist.engine:StarDistEngine",
    requires=("stardist", "tensorflow"),
    install='python -m pip install "napari-seg-trainer[stardist]"',
)
