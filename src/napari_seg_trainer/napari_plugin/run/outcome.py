"""How a run ended, and what can be done next."""

from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, push_button

_SIMPLE = (
    "Adds the simple method to the library, as it was compared with this model, and opens the Segment dock with it. It "
    "separates objects from the background with a threshold (Otsu) and cuts touching ones apart (watershed)."
)


class RunOutcome(QWidget):
    """A line that says how a run ended, and below it the buttons that make sense then.

    Attributes
    ----------
    simple, segment, report, correct, train_again, resume, keep, show_log, change : QPushButton
        The first five are there where there is a model, `simple` only where the classical method is better, `correct`
        only where an image is bad; the others where there is none, `keep` only where an epoch has ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self._text, self._is_error = "", False
        self._line = wrap(QLabel())
        self.simple = push_button("Segment with the simple method", _SIMPLE)
        self.segment = push_button("Segment with it", "Opens the Segment dock with this model.")
        self.report = push_button("Open report", "Opens the report with curves, scores and examples in your browser.")
        self.correct = push_button(
            "Correct the worst image", "Opens this image with the model's segmentation, to correct and export it."
        )
        self.train_again = push_button(
            "Train again from it", "Opens the training form with this model as the start model."
        )
        self.resume = push_button("Resume", "Continues after the last completed epoch, with the same settings.")
        self.keep = push_button("Keep the best so far", "Makes a model of the best epoch, and trains no further.")
        self.show_log = push_button("Show log", "Shows the training's log, including details of errors.")
        self.change = push_button("Change settings", "Opens the training form with these settings, to try again.")
        self._with_model = (self.segment, self.report, self.correct, self.train_again)
        self._without = (self.resume, self.show_log, self.change)
        grid = QGridLayout()
        grid.addWidget(self.simple, 0, 0, 1, 2)
        for column, button in enumerate((self.segment, self.report)):
            grid.addWidget(button, 1, column)
        grid.addWidget(self.correct, 2, 0, 1, 2)
        grid.addWidget(self.train_again, 3, 0, 1, 2)
        for column, button in enumerate((self.resume, self.show_log)):
            grid.addWidget(button, 4, column)
        grid.addWidget(self.keep, 5, 0, 1, 2)
        grid.addWidget(self.change, 6, 0, 1, 2)
        in_column(self, self._line, grid)
        on_theme_change(self, self._paint)

    @property
    def text(self) -> str:
        """How the run ended; empty while it lasts."""
        return self._text

    def tell(self, text: str, *, has_model: bool, can_keep: bool = False, is_error: bool = False) -> None:
        """Show how a run ended."""
        self._text, self._is_error = text, is_error
        for button in self._with_model:
            button.setVisible(has_model)
        for button in self._without:
            button.setVisible(not has_model)
        self.keep.setVisible(can_keep and not has_model)
        self.simple.hide()
        self._paint()
        self.show()

    def offer_simple(self, yes: bool) -> None:
        """Offer the classical method, or not."""
        self.simple.setVisible(yes)
        self.simple.setEnabled(yes)

    def name_worst(self, image: str) -> None:
        """Offer to correct this image, or none if there is none that is bad."""
        self.correct.setVisible(bool(image))
        self.correct.setToolTip(f"Opens '{image}' with the model's segmentation, to correct and export it.")

    def clear(self) -> None:
        """Hide, as the run goes on."""
        self._text = ""
        self.hide()

    def _paint(self) -> None:
        colour = colours()
        self._line.setText(coloured(self._text, colour.error if self._is_error else colour.text))
