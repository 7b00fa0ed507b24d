"""The channels that layers or files offer, and the field to choose one of them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from magicgui.widgets import ComboBox
from napari.layers import Image

from napari_seg_trainer.annotations.channels import COLOURS, GREY, Names, known_as, match
from napari_seg_trainer.napari_plugin.layers.planes import Source, sources
from napari_seg_trainer.napari_plugin.parts.widgets import narrow


@dataclass(frozen=True)
class Offer:
    """A channel that can be chosen.

    Attributes
    ----------
    name : str
        What a user reads.
    key : hashable
        Stays the same when the name changes.
    aliases : tuple of str
        Other names by which it may be known.
    source : Source, optional
        Where it comes from, if that is a layer.
    """

    name: str
    key: Hashable
    aliases: tuple[str, ...] = ()
    source: Source | None = None


def layer_offers(layers: Sequence[Image]) -> tuple[Offer, ...]:
    """Return what image layers offer; a colour is also known by its own name."""
    return tuple(_layer_offer(source) for source in sources(layers))


def _layer_offer(source: Source) -> Offer:
    colour = () if source.component is None or source.grey else (COLOURS[source.component],)
    return Offer(source.name, (id(source.layer), source.component), colour, source)


def file_offers(channels: Sequence[str]) -> tuple[Offer, ...]:
    """Return what the channels of image files offer."""
    return tuple(Offer(names[0], names[0], names[1:]) for names in known_as(channels))


def match_offers(inputs: Sequence[Names], offers: Sequence[Offer]) -> list[Offer | None]:
    """Return what feeds each input by its names; None where that is not clear."""
    grey = [offer for offer in offers if offer.source is not None and offer.source.grey]
    places = match(inputs, [(offer.name, *offer.aliases) for offer in offers])
    found = [None if place is None else offers[place] for place in places]
    if len(grey) == 1:  # it is each of the colours, where no other image has them
        shades = match(inputs, known_as([GREY]))
        found = [one or (None if shade is None else grey[0]) for one, shade in zip(found, shades, strict=True)]
    return found


class ChannelChoice(ComboBox):
    """A drop-down of channels; what the user chose stays as long as it is offered, whatever it is called by then.

    Parameters
    ----------
    name : str
        Of the field in its form.
    chosen : callable
        Called after the user has chosen.
    label, tooltip : str
    none : str
        What is shown while nothing is chosen; empty where something always is.
    """

    def __init__(self, name: str, chosen: Callable[[], None], *, label: str, tooltip: str, none: str = "") -> None:
        self.null_string = none
        self._offers: tuple[Offer, ...] = ()
        self._decided: Hashable = None
        super().__init__(
            choices=lambda _field: [(offer.name, offer) for offer in self._offers],
            nullable=bool(none),
            name=name,
            label=label,
            tooltip=tooltip,
        )
        narrow(self.native)

        def decide(offer: Offer | None) -> None:
            self._decided = None if offer is None else offer.key
            chosen()

        self.changed.connect(decide)

    @property
    def key(self) -> Hashable:
        """That of the channel that is chosen; None for none."""
        return None if self.value is None else self.value.key

    def offer(self, offers: Sequence[Offer], named: Offer | None = None, guess: Offer | None = None) -> None:
        """Offer these channels, and no others.

        What the user decided comes first, then what has the `named` channel's name, what is chosen now, and what is
        likely, the `guess`.
        """
        there = {offer.key: offer for offer in offers}
        shown = self.key
        with self.changed.blocked():
            if tuple(offers) != self._offers:
                self._offers = tuple(offers)
                self.native.clear()  # magicgui would keep the order and the choice by their names
                self.reset_choices()
            best = there.get(self._decided) or named or there.get(shown) or guess
            if best is not None or self._nullable:
                self.value = best

    def show_only(self, offer: Offer) -> None:
        """Offer one channel, as if the user had decided for it."""
        self._decided = offer.key
        self.offer([offer])
