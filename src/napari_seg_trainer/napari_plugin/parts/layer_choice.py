"""A field to choose a layer of one kind, which follows the viewer."""

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox
from napari import Viewer
from napari.layers import Layer

from napari_seg_trainer.napari_plugin.parts.widgets import narrow


class LayerChoice(ComboBox):
    """The layers of one kind; a choice stays while its layer is there, whatever its name.

    Parameters
    ----------
    viewer : Viewer
    kind : type
        Such as ``Labels``.
    none : str, optional
        Offer to choose no layer, in these words.
    accepts : callable, optional
        Whether a layer of this kind is offered.
    **options
        Of `magicgui.widgets.ComboBox`.
    """

    def __init__(
        self,
        viewer: Viewer,
        kind: type[Layer],
        *,
        none: str = "",
        accepts: Callable[[Layer], bool] = lambda _layer: True,
        **options: Any,
    ) -> None:
        self.null_string = none

        def present(_field: object) -> list[Layer]:
            return [layer for layer in viewer.layers if isinstance(layer, kind) and accepts(layer)]

        super().__init__(choices=present, nullable=bool(none), **options)
        narrow(self.native)  # the names of layers may be long

    def reset_choices(self, *_: Any) -> None:
        """Offer the layers that are there now."""
        # magicgui keeps a choice by its name, which a layer can change
        chosen = self.value
        with self.changed.blocked():
            super().reset_choices()
            if chosen in self.choices and chosen is not self.value:
                self.value = chosen
        if chosen is not self.value:
            self.changed.emit(self.value)
