"""Which engine suits: what each has found in a sample image, and a few questions."""

from collections.abc import Iterable, Mapping
from importlib.resources import files

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, narrow, push_button

QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "shape": ("Shape", ("round or oval", "long, branched or irregular")),
    "images": ("Images to annotate", ("fewer than 20", "20 or more")),
    "gpu": ("GPU", ("no, or not sure", "yes, with 8 GB or more")),
}
"""What is asked: a name in the form, and the answers; the first is that of most users."""
WIDE, FEW, GPU = QUESTIONS["shape"][1][1], QUESTIONS["images"][1][0], QUESTIONS["gpu"][1][1]
_PICTURE_WIDTH = 200


def propose(specs: Iterable[EngineSpec], shape: str, images: str, gpu: str) -> EngineSpec | None:
    """Return the engine that suits these answers; None if none does.

    For round objects, one that is made for them; else one for any shape: where there is a GPU and few images are to be
    annotated, one that needs few.
    """

    def suits(spec: EngineSpec) -> bool:
        return (spec.any_shape or shape != WIDE) and (gpu == GPU or not spec.needs_gpu)

    def rank(spec: EngineSpec) -> tuple[bool, bool, bool]:
        needs_few = spec.few_images and images == FEW and gpu == GPU
        return spec.any_shape and shape != WIDE, not needs_few, spec.needs_gpu

    return min(filter(suits, specs), key=rank, default=None)


class WhichEngine(QWidget):
    """Shows what engines are good for, and proposes one; emits ``chosen(str)`` with the id of an engine.

    Parameters
    ----------
    specs : mapping of str to EngineSpec
        Of the engines that can be chosen.
    """

    chosen = Signal(str)

    def __init__(self, specs: Mapping[str, EngineSpec]) -> None:
        super().__init__()
        self._specs = specs
        column = in_column(self)
        for spec in specs.values():
            column.addWidget(wrap(QLabel(f"<b>{spec.title}</b>: {spec.good_for}")))
            picture = _picture(spec)
            if picture is not None:
                column.addWidget(picture)
        column.addWidget(wrap(QLabel("Answer these questions for a suggestion:")))
        self.boxes = {name: narrow(QComboBox()) for name in QUESTIONS}
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        for name, (title, answers) in QUESTIONS.items():
            self.boxes[name].addItems(answers)
            self.boxes[name].setAccessibleName(title)
            self.boxes[name].currentTextChanged.connect(self._suggest)
            form.addRow(title, self.boxes[name])
        column.addLayout(form)
        self.reason = wrap(QLabel())
        self.choose_button = push_button("", "Choose the suggested engine.", self._choose)
        column.addWidget(self.reason)
        column.addWidget(self.choose_button, alignment=Qt.AlignmentFlag.AlignLeft)
        self._suggested = ""
        self._suggest()

    def _suggest(self, _answer: str = "") -> None:
        spec = propose(self._specs.values(), **{name: box.currentText() for name, box in self.boxes.items()})
        self._suggested = "" if spec is None else spec.id
        self.reason.setText("No engine that is known here suits." if spec is None else spec.suggestion or spec.good_for)
        self.choose_button.setVisible(spec is not None)
        self.choose_button.setText("" if spec is None else f"Choose {spec.title}")

    def _choose(self) -> None:
        self.chosen.emit(self._suggested)


def _picture(spec: EngineSpec) -> QLabel | None:
    """Return what an engine has found in a sample image; None for engines of which there is no picture."""
    package, _, inside = spec.picture.removeprefix("package:").partition("/")
    file = files(package) / inside if inside else None
    if file is None or not file.is_file():
        return None
    pixmap = QPixmap()
    pixmap.loadFromData(file.read_bytes())
    label = QLabel()
    label.setPixmap(
        pixmap.scaled(
            QSize(_PICTURE_WIDTH, 400), Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
    )
    what = f"What {spec.title} found in one of the sample images, outlined, after training on others of them."
    label.setToolTip(what)
    label.setAccessibleName(what)
    return label
