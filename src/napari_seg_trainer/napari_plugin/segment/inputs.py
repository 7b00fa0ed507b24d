"""Which channels feed a model's inputs."""

from collections.abc import Callable, Sequence
from typing import Any

from napari_seg_trainer.annotations.channels import Names
from napari_seg_trainer.napari_plugin.layers.channel_choice import ChannelChoice, Offer, match_offers
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.widgets import tab_through

_TIP = "The image layer, or its channel, for the model's input {name!r}."


class InputFields:
    """One field for each of a model's inputs, below another field of a form.

    What the user chose stays as long as it is offered; what the user did not choose follows the names.

    Parameters
    ----------
    form : Form
    after : str
        Name of the field above.
    changed : callable
        Called after the user has chosen.
    """

    def __init__(self, form: Form, after: str, changed: Callable[[], None]) -> None:
        self._form, self._after, self._changed = form, after, changed
        self._inputs: tuple[Names, ...] = ()
        self._offers: tuple[Offer, ...] = ()
        self._fields: list[ChannelChoice] = []

    def show_inputs(self, inputs: Sequence[Names]) -> None:
        """Show fields for the inputs of these names."""
        if tuple(inputs) == self._inputs:
            return
        for field in self._fields:
            self._form.drop(field.name)
        self._inputs = tuple(inputs)
        self._fields = [self._field(i, names[0]) for i, names in enumerate(inputs)]
        for field in reversed(self._fields):
            self._form.add(field, after=self._after)
        self._form.align_labels()
        self.offer(self._offers)

    def _field(self, number: int, name: str) -> ChannelChoice:
        tip = _TIP.format(name=name)
        return ChannelChoice(f"input_{number}", self._changed, label=name, tooltip=tip, none="choose…")

    def offer(self, offers: Sequence[Offer], likely: Sequence[Offer] = ()) -> None:
        """Offer these channels, and no others; a model with one input takes one of the `likely` where no name fits."""
        self._offers = tuple(offers)
        guess = next(iter(likely if len(offers) > 1 else offers), None) if len(self._fields) == 1 else None
        for field, named in zip(self._fields, match_offers(self._inputs, self._offers), strict=True):
            field.offer(self._offers, named, guess)

    def prefer(self, offers: Sequence[Offer]) -> None:
        """Choose among these, which must be offered, as far as it is clear which one is meant."""
        for field, named in zip(self._fields, match_offers(self._inputs, offers), strict=True):
            best = offers[0] if named is None and offers and len(self._fields) == 1 else named
            if best is not None:
                field.value = best

    def arrange_tabs(self, before: Any) -> None:
        """Have the Tab key go through the fields, and then on to `before`."""
        tab_through([field.native for field in self._fields], before=before)

    def chosen(self) -> tuple[Offer | None, ...]:
        """Return what feeds each input; None where nothing is chosen."""
        return tuple(field.value for field in self._fields)

    def use(self) -> tuple[str, ...]:
        """Return the chosen names; nothing where they are those that are found by themselves in every image."""
        chosen = self.chosen()
        if list(chosen) == match_offers(self._inputs, self._offers):
            return ()
        return tuple(offer.name for offer in chosen if offer is not None)

    def reasons(self) -> dict[str, str]:
        """Return what is wrong with the choice, by the field's name."""
        return {
            field.name: f"Choose what shows {field.label!r}."
            for field in self._fields
            if field.value is None and self._offers
        }
