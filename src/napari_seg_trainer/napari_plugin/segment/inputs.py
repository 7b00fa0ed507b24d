"""Which channels feed a model's inputs. The matching knows no Qt, the fields are magicgui's."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from magicgui.widgets import ComboBox

from napari_seg_trainer.annotations.channels import match
from napari_seg_trainer.napari_plugin.layers.planes import Source
from napari_seg_trainer.napari_plugin.parts.drop_downs import tame
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.tab_order import tab_through

_COLOURS = ("red", "green", "blue")
_TIP = "The image, or the channel of it, that shows what the model calls {name!r}."


@dataclass(frozen=True)
class Offer:
    """Something that can feed an input.

    Attributes
    ----------
    name : str
        What a user reads.
    key : hashable
        Stays the same when the name changes.
    alias : str
        Another name by which an input may know it.
    source : Source, optional
        Where it comes from, if that is a layer.
    """

    name: str
    key: Hashable
    alias: str = ""
    source: Source | None = None


def layer_offers(sources: Sequence[Source]) -> tuple[Offer, ...]:
    """Return what layers offer; a colour is also known by its own name."""
    return tuple(
        Offer(
            source.name,
            (id(source.layer), source.component),
            "" if source.component is None else _COLOURS[source.component],
            source,
        )
        for source in sources
    )


def file_offers(channels: Sequence[str]) -> tuple[Offer, ...]:
    """Return what the channels of image files offer."""
    return tuple(Offer(name, name) for name in channels)


def match_offers(inputs: Sequence[str], offers: Sequence[Offer]) -> list[Offer | None]:
    """Return what feeds each input by its name; None where that is not clear."""
    places = match(inputs, [tuple(filter(None, (offer.name, offer.alias))) for offer in offers])
    return [None if place is None else offers[place] for place in places]


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
        self._inputs: tuple[str, ...] = ()
        self._offers: tuple[Offer, ...] = ()
        self._fields: list[_InputField] = []

    def show_inputs(self, inputs: Sequence[str]) -> None:
        """Show fields for these inputs."""
        if tuple(inputs) == self._inputs:
            return
        for field in self._fields:
            self._form.drop(field.name)
        self._inputs = tuple(inputs)
        self._fields = [_InputField(f"input_{i}", name, self._changed) for i, name in enumerate(inputs)]
        for field in reversed(self._fields):
            self._form.add(field, after=self._after)
        self._form.align_labels()
        self.offer(self._offers)

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


class _InputField(ComboBox):
    null_string = "choose…"

    def __init__(self, name: str, label: str, chosen: Callable[[], None]) -> None:
        self._offers: tuple[Offer, ...] = ()
        self._decided: Hashable = None
        super().__init__(
            choices=lambda _field: [(offer.name, offer) for offer in self._offers],
            nullable=True,
            name=name,
            label=label,
            tooltip=_TIP.format(name=label),
        )

        tame(self.native)

        def decide(offer: Offer | None) -> None:
            self._decided = None if offer is None else offer.key
            chosen()

        self.changed.connect(decide)

    def offer(self, offers: tuple[Offer, ...], named: Offer | None, guess: Offer | None) -> None:
        """Offer these; what the user decided comes first, then what has the name, what is chosen now, what is likely.

        All of them are among the offers.
        """
        there = {offer.key: offer for offer in offers}
        shown = None if self.value is None else self.value.key
        with self.changed.blocked():
            if offers != self._offers:
                self._offers = offers
                self.native.clear()  # magicgui would keep the order and the choice by their names
                self.reset_choices()
            self.value = there.get(self._decided) or named or there.get(shown) or guess
