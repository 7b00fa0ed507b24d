"""A question before something is lost."""

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget


def ask(parent: QWidget, question: str, verb: str, agreed: Callable[[], None]) -> QMessageBox:
    """Ask, without blocking the viewer's event loop; `agreed` is called if the user clicks on `verb`."""
    return ask_which(parent, question, {verb: agreed})


def ask_which(parent: QWidget, question: str, answers: Mapping[str, Callable[[], None]]) -> QMessageBox:
    """As `ask`, with several verbs to choose from, and what each of them does."""
    box = QMessageBox(QMessageBox.Icon.Question, "Please confirm", question, parent=parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    buttons = {box.addButton(verb, QMessageBox.ButtonRole.AcceptRole): do for verb, do in answers.items()}
    back = box.addButton("Go back", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(back)
    box.setEscapeButton(back)

    def clicked(button: object) -> None:
        for answer, do in buttons.items():
            if button is answer:
                do()

    box.buttonClicked.connect(clicked)
    box.open()
    return box
