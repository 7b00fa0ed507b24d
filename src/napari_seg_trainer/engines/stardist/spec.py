"""What StarDist is good for and which parameters it has; imports no framework."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat

from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.engines.torch.spec import Device, device_field
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.schema.job import Hyperparameters, Rate, TrainingFacts
from napari_seg_trainer.schema.parameters import plain

RATE, LOWEST_RATE, TUNING_RATE = 1e-3, 1e-4, 3e-4
"""Learning rates: from scratch; from a pretrained model that finds all objects, so that it forgets little; and from a
pretrained model that was not looked at."""
FEW_IMAGES, UNLIKE, MOST_FOUND = 8, 0.25, 0.75
"""How many training images a pretrained model counts for that finds half of their objects, how much of that where they
are unlike those that it was trained on, and from where on more that it finds makes no difference."""
ZeroToOne = Annotated[FiniteFloat, Field(ge=0, le=1)]


class StarDistParameters(Hyperparameters):
    """StarDist's parameters; None means chosen from the data.

    The names in `stardist.models.Config2D` that these stand for: `rays` is ``n_rays``, `depth` is ``unet_n_depth``,
    `patch_size` is ``train_patch_size``, `filters` is ``unet_n_filter_base``.
    """

    rays: Annotated[int, Field(ge=8, le=256)] | None = Field(
        None,
        title="Rays",
        description="Number of polygon vertices (rays) per object. Use more for irregular shapes.",
    )
    grid: Literal[1, 2, 4, 8] | None = Field(
        None,
        title="Grid",
        description="The network predicts at every n-th pixel. Larger is faster and suits large objects.",
    )
    depth: Annotated[int, Field(ge=1, le=6)] | None = Field(
        None, title="Depth", description="Number of U-Net levels. Each level doubles the field of view."
    )
    patch_size: Annotated[int, Field(ge=16, le=4096)] | None = Field(
        None, title="Patch size", description="Side length, in pixels, of the square image patches used for training."
    )
    filters: Annotated[int, Field(gt=0, le=512)] = Field(
        32,
        title="Filters",
        description="Number of filters in the first level. 64 learns more from many images and is slower.",
    )
    learning_rate: Rate | None = Field(
        None,
        title="Learning rate",
        description="Step size of the optimizer. Smaller is slower and more stable. Automatic: "
        f"{RATE:g}; from a pretrained model less, down to {plain(LOWEST_RATE)} if it already finds your objects.",
    )
    keep: ZeroToOne | None = Field(
        None,
        title="Start model share",
        description="Weight of the start model in the result, from 0 to 1: the weights of both are averaged. A higher "
        "value forgets less, a lower value learns more. Automatic: higher the better the start model finds your "
        "objects, and the fewer images there are.",
    )
    inverted: bool | None = Field(
        None,
        title="Inverted start",
        description="Yes, if the start model was trained on bright objects and yours are dark, or the other way round: "
        "it is adapted to images of inverted contrast. Automatic: yes, if it then finds more of your objects.",
    )
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        0.9, title="Patches with objects", description="Fraction of patches that must contain an object, from 0 to 1."
    )

    computes_with: Literal["pytorch", "tensorflow"] = Field(
        "pytorch",
        title="Framework",
        description="Both give the same models. PyTorch supports more GPUs; TensorFlow, which the package stardist "
        "uses, is installed separately.",
    )
    device: Device | None = device_field()

    @property
    def patch_side(self) -> int:
        """Side of the patches, in pixels."""
        return self.patch_size or super().patch_side

    def completed(self, facts: TrainingFacts) -> Self:
        """Return the parameters with what is automatic filled in, but for the shape of a network that is there."""
        from napari_seg_trainer.engines.stardist.design import chosen

        rate = self.learning_rate or rate_by_itself(facts)
        keep = kept_by_itself(facts) if self.keep is None else self.keep
        inverted = facts.pretrained and (facts.inverted if self.inverted is None else self.inverted)
        filled = self.replace(learning_rate=rate, keep=keep, inverted=inverted, **chosen(self, facts))
        return super(StarDistParameters, filled).completed(facts)


def rate_by_itself(facts: TrainingFacts) -> float:
    """Return the learning rate: between the two by how much of the objects a pretrained model finds, on a log scale."""
    if not facts.pretrained:
        return RATE
    if facts.found is None:
        return TUNING_RATE
    return float(f"{RATE * (LOWEST_RATE / RATE) ** facts.found:.2g}")


def kept_by_itself(facts: TrainingFacts) -> float | None:
    """Return how much of a pretrained model stays in what is made of it; None where it was not looked at.

    What it gets right already need not be learned from few images, and would be forgotten with them.
    """
    if not facts.pretrained:
        return 0.0
    if facts.found is None:
        return None
    found = min(facts.found, MOST_FOUND)
    worth = FEW_IMAGES * found / (1 - found) * (UNLIKE if facts.inverted else 1.0)
    return round(worth / (worth + len(facts.shapes)), 2)


class StarDistSettings(PredictionSettings):
    """The thresholds of a prediction; None means those that suited the validation images best.

    In `stardist.models.StarDist2D.predict_instances` they are ``prob_thresh`` and ``nms_thresh``.
    """

    probability: ZeroToOne | None = Field(
        None,
        title="Probability threshold",
        description="Minimum object probability, from 0 to 1. Lower it if objects are missed; raise it if there are "
        "false positives.",
    )
    overlap: ZeroToOne | None = Field(
        None,
        title="Overlap threshold",
        description="Maximum overlap of two objects, from 0 to 1. Lower it if one object is found twice; raise it "
        "if touching objects are missed.",
    )

    @classmethod
    def of_model(cls, folder: Path) -> Self:
        """Return the thresholds in a StarDist model folder."""
        try:
            found = json.loads(read_bytes(folder / "thresholds.json"))
            return cls(probability=found["prob"], overlap=found["nms"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # no such file, or none of StarDist's
            return cls()


_MODELS = "https://github.com/stardist/stardist-models/releases/download/v0.1"
_PRETRAINED = (
    PretrainedModel(
        name="nuclei_fluorescence",
        title="Starter model: fluorescent nuclei (included)",
        url="package:napari_seg_trainer/starters/nuclei_fluorescence.zip",
        checksum=None,
        is_starter=True,
    ),
    PretrainedModel(
        name="nuclei_tissue",
        title="Starter model: nuclei in stained tissue, RGB images (included)",
        url="package:napari_seg_trainer/starters/nuclei_tissue.zip",
        checksum=None,
        is_starter=True,
    ),
    PretrainedModel(
        name="2D_versatile_fluo",
        title="Fluorescent nuclei of many kinds",
        url=f"{_MODELS}/python_2D_versatile_fluo.zip",
        checksum="sha256:4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
        channels=("nuclei",),
    ),
    PretrainedModel(
        name="2D_paper_dsb2018",
        title="Fluorescent nuclei, as in the StarDist paper",
        url=f"{_MODELS}/python_2D_paper_dsb2018.zip",
        checksum="sha256:4c11cf68512341d9e8ce3d1278c64ceb8ac400582739f85fcab079a2e82840d2",
        channels=("nuclei",),
    ),
    PretrainedModel(
        name="2D_versatile_he",
        title="Nuclei in H&E stained tissue (RGB images)",
        url=f"{_MODELS}/python_2D_versatile_he.zip",
        checksum="sha256:f1696ef0631bd7e1c0e5c0d3017e2b4c6a95e284c6aab9c22fc2f08317817b28",
        channels=("red", "green", "blue"),
    ),
)
_CITATIONS = (
    "Schmidt U, Weigert M, Broaddus C, Myers G. Cell Detection with Star-Convex Polygons. MICCAI 2018, 265-273. "
    "doi:10.1007/978-3-030-00934-2_30",
    "Weigert M, Schmidt U, Haase R, Sugawara K, Myers G. Star-convex Polyhedra for 3D Object Detection and "
    "Segmentation in Microscopy. WACV 2020, 3655-3662. doi:10.1109/WACV45572.2020.9093435",
)

SPEC = EngineSpec(
    id="stardist",
    title="StarDist",
    good_for="Round objects such as nuclei, even where they are crowded.",
    parameters=StarDistParameters,
    channels=(1, None),
    location="napari_seg_trainer.engines.stardist.engine:StarDistEngine",
    requires=("stardist", "torch"),
    install='python -m pip install "napari-seg-trainer[stardist]"',
    architecture=("rays", "grid", "depth", "filters"),
    prediction=StarDistSettings,
    pretrained=_PRETRAINED,
    foreign="napari_seg_trainer.engines.stardist.foreign:READER",
    packages=("stardist", "csbdeep", "torch", "tensorflow", "keras"),
    citations=_CITATIONS,
    inverts=True,
    # objects are star-convex polygons (Schmidt et al. 2018)
    any_shape=False,
    suggestion="It is made for round objects, also where they touch, and trains fastest without a GPU.",
    picture="package:napari_seg_trainer/engines/stardist/found.png",
)
