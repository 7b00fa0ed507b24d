"""What the model sees of the images: channels, their scaling, the pixel size."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from napari import Viewer
from pydantic import JsonValue
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.parameter_fields import ParameterFields
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours
from napari_seg_trainer.napari_plugin.parts.widgets import in_column
from napari_seg_trainer.napari_plugin.train.channel_inputs import ChannelInputs
from napari_seg_trainer.napari_plugin.train.normalization_preview import NormalizationPreview
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.schema.parameters import parameters_of, plain, problems

if TYPE_CHECKING:
    from napari_seg_trainer.annotations.doctor import Survey

_PIXEL_SIZE = (
    "How large a pixel is for the model, in µm. Images of another pixel size are enlarged or shrunk to it, for the "
    "training and when the model is used."
)
_LOCKED = "Fixed by the pretrained model {!r}, which was trained at this pixel size."


class InputFields(QWidget):
    """Edits channels and pixel size of a job; emits ``changed()``.

    Parameters
    ----------
    viewer : Viewer
        Where the scaling of intensities is shown.
    spec : EngineSpec
        Says how many channels there may be.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, spec: EngineSpec) -> None:
        super().__init__()
        self._survey: Survey | None = None
        self._card: ModelCard | None = None
        self.channels = ChannelInputs(spec)
        self.preview = NormalizationPreview(viewer, self.channels.normalization_of)
        self.channels.changed.connect(self.changed)
        self.channels.changed.connect(self.preview.follow)
        self._reason = wrap(QLabel())
        known = parameters_of(TrainingJob)["pixel_size"]
        parameter = replace(known, title="Pixel size (µm)", description=_PIXEL_SIZE)
        self._pixel_size = ParameterFields([parameter], self.changed.emit)
        in_column(self, self.channels, self._reason, self.preview, self._pixel_size.form.native)
        self.show_reasons({})

    def job_fields(self) -> dict[str, JsonValue]:
        """Return the job's pixel size, if one was typed; also what is wrong."""
        return dict(self._pixel_size.given)

    def set_value(self, job: TrainingJob) -> None:
        """Show a job's channels and pixel size."""
        self.channels.set_value(job.channels)
        self._pixel_size.load({} if job.pixel_size is None else {"pixel_size": job.pixel_size})

    def offer(self, survey: "Survey | None") -> None:
        """Offer what is known of the images."""
        self._survey = survey
        self.channels.offer(() if survey is None else survey.channels)
        self._hint()

    def set_engine(self, spec: EngineSpec) -> None:
        """Obey another engine's limits."""
        self.channels.set_engine(spec)

    def start_from(self, card: ModelCard | None, *, adopt: bool) -> None:
        """Lock what a pretrained model fixes; if `adopt`, take it over, or without a model go back to the data's."""
        self._card = card
        if adopt:
            self._pixel_size.load({})
        self.channels.start_from(card, adopt=adopt)
        known = card is not None and card.pixel_size is not None
        self._pixel_size.lock(["pixel_size"] if known else [], _LOCKED.format(card.name) if card else "")
        self._hint()

    def problems(self) -> dict[str, str]:
        """Return what no job can have, by the field's name."""
        wrong = problems(TrainingJob, self._pixel_size.given).get("pixel_size")
        return {"pixel_size": wrong} if wrong else {}

    def reasons(self) -> dict[str, str]:
        """Return what is wrong, as far as the images are known, by the field's name."""
        channels = self.channels.reason()
        return ({"channels": channels} if channels else {}) | self.problems()

    def show_reasons(self, reasons: Mapping[str, str]) -> None:
        """Show under each field what is wrong with it."""
        channels = reasons.get("channels", "")
        self._reason.setText(coloured(channels, colours().error))
        self._reason.setVisible(bool(channels))
        self._pixel_size.form.show_reasons(reasons)

    def summary(self) -> str:
        """Return the names of the channels."""
        return self.channels.summary()

    def _hint(self) -> None:
        hint = "from the images, if known"
        if self._card is not None and self._card.pixel_size is not None:
            hint = f"{plain(self._card.pixel_size)} from the model"
        elif self._survey is not None:
            known = self._survey.pixel_size
            hint = "not known: nothing is scaled" if known is None else f"{known:.4g} from the images"
        self._pixel_size.form.field("pixel_size").native.setPlaceholderText(hint)
