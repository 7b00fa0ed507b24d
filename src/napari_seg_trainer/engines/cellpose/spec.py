"""What the two Cellpose networks are good for and which parameters they have; imports no framework."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError

from napari_seg_trainer.engines.pretrained import PretrainedModel
from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.engines.torch.spec import Device, device_field
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.schema.job import MOST, Hyperparameters, PositiveFloat, Rate, TrainingFacts
from napari_seg_trainer.schema.parameters import plain

CNN_DIAMETER, LEAST_DIAMETER = 30.0, 17.0
"""Pixels across of the objects that the residual U-Net is shown, at most and at least: those for which Cellpose's own
models of cells and of nuclei were made. Images are scaled accordingly."""
PATCH = 128
RATES = {"AdamW": (1e-3, 3e-4), "SGD": (1e-2, 1e-2)}
"""Learning rates from scratch, and from a pretrained model."""
PART_OF_PIXELS = 0.35
"""A pixel takes four times as long as with StarDist, which looks at a grid; and the flows are learned from fewer."""
SAM_BLOCK = 256
"""Side in pixels of what Cellpose-SAM sees; fixed by its position embedding."""
SETTINGS_FILE = "cellpose.json"
SHOWN = "shown_diameter"
"""Key in that file for how many pixels across the objects are that the network is shown."""
FLOW_THRESHOLD, CELL_THRESHOLD = 0.4, 0.0


class _Parameters(Hyperparameters):
    """What both networks have in common."""

    weight_decay: Annotated[FiniteFloat, Field(ge=0, le=10)] = Field(
        1e-5, title="Weight decay", description="Penalty on large weights. A larger value reduces overfitting."
    )
    scale_range: Annotated[float, Field(ge=0, lt=2)] = Field(
        0.5,
        title="Random scaling",
        description="0.5 means: each sample is randomly scaled by up to ±25 %. 0 disables scaling.",
    )
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        0.9, title="Samples with objects", description="Fraction of samples that must contain an object, from 0 to 1."
    )
    min_objects: Annotated[int, Field(ge=0, le=MOST)] = Field(
        0,
        title="Minimum objects",
        description="Images with fewer objects are not used for training. 0 uses all images, even empty ones.",
    )
    device: Device | None = device_field()


class CellposeParameters(_Parameters):
    """Parameters of the residual U-Net of Cellpose 1 to 3; None means chosen by itself."""

    learning_rate: Rate | None = Field(
        None,
        title="Learning rate",
        description="Step size of the optimizer. Smaller is slower and more stable. Automatic: "
        f"{RATES['AdamW'][0]:g}; {plain(RATES['AdamW'][1])} from a pretrained model; {RATES['SGD'][0]:g} with SGD.",
    )
    patch_size: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] | None = Field(
        None, title="Patch size", description="Side length, in pixels, of the square image patches used for training."
    )
    diameter: Annotated[FiniteFloat, Field(ge=8, le=200)] | None = Field(
        None,
        title="Training diameter",
        description="Images are rescaled so that objects have this diameter (pixels) in the network's input. "
        f"Smaller is faster. Automatic: as in your images, within {LEAST_DIAMETER:g} to {CNN_DIAMETER:g}.",
    )
    optimizer: Literal["AdamW", "SGD"] = Field(
        "AdamW",
        title="Optimizer",
        description="AdamW as in Cellpose 3, or SGD as in Cellpose 1 and 2, which needs a higher learning rate.",
    )

    @property
    def patch_side(self) -> int:
        """Side of the samples, in pixels."""
        return self.patch_size or PATCH

    @property
    def part_of_pixels(self) -> float:
        """Which part of the usual number of pixels it is shown in all."""
        return PART_OF_PIXELS

    def completed(self, facts: TrainingFacts) -> Self:
        """Return the parameters with what is automatic filled in; a pretrained network keeps its diameter."""
        rate = self.learning_rate or RATES[self.optimizer][facts.pretrained]
        diameter = self.diameter
        if diameter is None and not facts.pretrained:
            typical = float(np.median(facts.diameters)) if facts.diameters.size else CNN_DIAMETER
            diameter = round(min(CNN_DIAMETER, max(LEAST_DIAMETER, typical)), 1)
        filled = self.replace(learning_rate=rate, patch_size=self.patch_side, diameter=diameter)
        return super(CellposeParameters, filled).completed(facts)


class CellposeSamParameters(_Parameters):
    """Parameters of Cellpose-SAM; None means chosen by itself."""

    batch_size: Annotated[int, Field(gt=0, le=4096)] = Field(
        1, title="Batch size", description="Number of samples per training step. Smaller needs less memory."
    )
    learning_rate: Rate = Field(
        1e-5,
        title="Learning rate",
        description="Step size of the optimizer. Smaller is slower and more stable.",
    )
    weight_decay: Annotated[FiniteFloat, Field(ge=0, le=10)] = Field(
        0.1, title="Weight decay", description="Penalty on large weights. A larger value reduces overfitting."
    )
    scale_range: Annotated[float, Field(ge=0, lt=2)] = Field(
        1.0,
        title="Random scaling",
        description="1 means: each sample is randomly scaled by up to ±50 %. 0 disables scaling.",
    )
    save_memory: bool | None = Field(
        None,
        title="Save memory",
        description="Computes parts of the network twice to use less memory: a third slower.",
    )

    @property
    def patch_side(self) -> int:
        """Side of the samples, in pixels."""
        return SAM_BLOCK


class CellposeSettings(PredictionSettings):
    """What can be changed about a prediction; None means the model's own value.

    In `cellpose.models.CellposeModel.eval` they have the same names.
    """

    cellprob_threshold: Annotated[FiniteFloat, Field(ge=-10, le=10)] | None = Field(
        None,
        title="Object threshold",
        description="Lower it (for example to -1) if objects are missed or too small; raise it if there are false "
        "positives.",
    )
    flow_threshold: Annotated[FiniteFloat, Field(ge=0, le=10)] | None = Field(
        None,
        title="Shape threshold",
        description="Raise it if objects are missed; lower it if there are badly shaped objects. 0 accepts all shapes.",
    )
    diameter: PositiveFloat | None = Field(
        None,
        title="Diameter of objects",
        description="In pixels at the model's pixel size. Automatic: estimated from the training data and the image.",
    )

    @classmethod
    def of_model(cls, folder: Path) -> Self:
        """Return the thresholds of the model in `folder`, as this project or Celldetective wrote them."""
        found: dict[str, Any] = {"cellprob_threshold": CELL_THRESHOLD, "flow_threshold": FLOW_THRESHOLD}
        # a model of ours has both; what its Celldetective file says is for Celldetective
        for name in (SETTINGS_FILE, "config_input.json"):
            try:
                said = json.loads(read_bytes(folder / name))
                found |= {key: said[key] for key in cls.model_fields if said.get(key) is not None}
                break
            # no such file, or none of these programs'
            except (OSError, ValueError, TypeError, AttributeError, RecursionError):
                continue
        try:
            return cls.model_validate(found)
        except ValidationError:
            return cls()


def _of_cellpose(name: str, title: str, file: str, sha256: str | None = None) -> PretrainedModel:
    """Describe weights of Cellpose 1 to 3; the hashes are those that users of the files have recorded."""
    return PretrainedModel(
        name=name,
        title=title,
        url=f"https://www.cellpose.org/models/{file}",
        checksum=f"sha256:{sha256}" if sha256 else None,
        channels=("channel 0",),
    )


_SAM_MODELS = "https://huggingface.co/mouseland/cellpose-sam/resolve/main"
_PRETRAINED = (
    _of_cellpose(
        "cyto3",
        "Whole cells of all kinds, with or without a nuclear channel (Cellpose 3)",
        "cyto3",
        "2dc3087a8abd7da46d1ab0ddd5824639933cc3ff63b382af3fa1939a392db93c",
    ),
    _of_cellpose("cyto2", "Whole cells, with or without a nuclear channel (Cellpose 2)", "cyto2torch_0"),
    _of_cellpose(
        "cyto",
        "Whole cells, with or without a nuclear channel (Cellpose 1)",
        "cytotorch_0",
        "6a852487b98a3ad91e4e86c969cac520aaac13c609288aad8bd01d4cf76370c6",
    ),
    _of_cellpose(
        "nuclei",
        "Nuclei of all kinds",
        "nucleitorch_0",
        "89ca45e4a45048d5010d29621466b1274b91b3dcb9714dce9f9e90a9a8671303",
    ),
    _of_cellpose("livecell", "Cells in phase contrast", "livecell_cp3"),
    _of_cellpose("tissuenet", "Cells in tissue, fluorescence", "tissuenet_cp3"),
    _of_cellpose("bact_phase", "Bacteria in phase contrast", "bact_phase_cp3"),
    _of_cellpose("bact_fluor", "Bacteria in fluorescence", "bact_fluor_cp3"),
    _of_cellpose("deepbacs", "Bacteria", "deepbacs_cp3"),
    _of_cellpose("yeast_PhC", "Yeast in phase contrast", "yeast_PhC_cp3"),
    _of_cellpose("yeast_BF", "Yeast in bright field", "yeast_BF_cp3"),
)
_SAM_PRETRAINED = (
    PretrainedModel(
        name="cpsam_v2",
        title="Cells and nuclei of all kinds and sizes (1.2 GB download)",
        url=f"{_SAM_MODELS}/cpsam_v2",
        checksum="sha256:0f1cc3f7ecdd8a037a57c6c48d9d8921391be4cbce3fa9f13c3e3a2e1253c667",
        channels=("channel 0",),
    ),
    PretrainedModel(
        name="cpsam",
        title="First version of the same model (1.2 GB download)",
        url=f"{_SAM_MODELS}/cpsam",
        checksum="sha256:e1440429eb384f95afe32bcba6510f90d518eaedc917ede549bed6804004abe2",
        channels=("channel 0",),
    ),
)
_CITATIONS = (
    "Stringer C, Wang T, Michaelos M, Pachitariu M. Cellpose: a generalist algorithm for cellular segmentation. "
    "Nature Methods 18, 100-106 (2021). doi:10.1038/s41592-020-01018-x",
    "Pachitariu M, Stringer C. Cellpose 2.0: how to train your own model. Nature Methods 19, 1634-1641 (2022). "
    "doi:10.1038/s41592-022-01663-4",
)
_SAM_CITATIONS = (
    "Pachitariu M, Rariden M, Stringer C. Cellpose-SAM: superhuman generalization for cellular segmentation. "
    "bioRxiv (2025). doi:10.1101/2025.04.28.651001",
)
_FOREIGN = "napari_seg_trainer.engines.cellpose.foreign:READER"
_REQUIRES = ("cellpose", "torch")
_INSTALL = 'python -m pip install "napari-seg-trainer[cellpose]"'

SPEC = EngineSpec(
    id="cellpose",
    title="Cellpose",
    good_for="Objects of any shape, such as whole cells; also from scratch and without a GPU. "
    "A second channel, such as the nuclei, may help.",
    parameters=CellposeParameters,
    channels=(1, 2),
    location="napari_seg_trainer.engines.cellpose.engine:CellposeEngine",
    requires=_REQUIRES,
    install=_INSTALL,
    architecture=("diameter",),
    free_channels=True,
    single_files=True,
    prediction=CellposeSettings,
    pretrained=_PRETRAINED,
    foreign=_FOREIGN,
    packages=_REQUIRES,
    citations=_CITATIONS,
    suggestion="It can outline objects of any shape, also without a GPU.",
    picture="package:napari_seg_trainer/engines/cellpose/found.png",
)

SAM_SPEC = EngineSpec(
    id="cellpose-sam",
    title="Cellpose-SAM",
    good_for="Objects of any shape and size, from few images; needs a large GPU.",
    parameters=CellposeSamParameters,
    channels=(1, 3),
    location="napari_seg_trainer.engines.cellpose.engine:CellposeSamEngine",
    requires=_REQUIRES,
    install=_INSTALL,
    free_channels=True,
    single_files=True,
    prediction=CellposeSettings,
    base="cpsam_v2",
    pretrained=_SAM_PRETRAINED,
    foreign=_FOREIGN,
    packages=_REQUIRES,
    citations=_SAM_CITATIONS,
    few_images=True,
    needs_gpu=True,
    suggestion="It was trained on many kinds of cells and adapts to yours from few images.",
)
