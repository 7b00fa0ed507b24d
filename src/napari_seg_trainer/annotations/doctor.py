"""The data doctor: looks through annotation folders before a training does."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from napari_seg_trainer.annotations.causes import OF_WHOLE_MASKS, exchanged
from napari_seg_trainer.annotations.channels import GREY, distinct_sets, unnamed
from napari_seg_trainer.annotations.checks import PARTLY, examine_image
from napari_seg_trainer.annotations.facts import ImageFacts
from napari_seg_trainer.annotations.findings import Finding, Severity, counted
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder, distinct
from napari_seg_trainer.annotations.kept_facts import look_through
from napari_seg_trainer.annotations.layouts import way_to_pair
from napari_seg_trainer.annotations.prepare import MAX_SCALE
from napari_seg_trainer.annotations.understood import in_one_line
from napari_seg_trainer.errors import DataError

__all__ = ["ENOUGH_IMAGES", "Finding", "Severity", "Survey", "examine", "examine_image", "survey", "surveyed"]

ENOUGH_IMAGES = 5
"""With fewer images than this a model is unlikely to learn what varies between images."""


def examine(folders: Sequence[Path], *, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Look through annotation folders.

    Parameters
    ----------
    folders : sequence of Path
        The folders that a training would use together.
    progress : callable, optional
        Called with how many images are done, and of how many.

    Returns
    -------
    list of Finding
        Worst first. Bad data raises nothing: it becomes a finding.
    """
    return list(surveyed(folders, progress=progress).findings)


@dataclass(frozen=True)
class Survey:
    """What a look at every image of some annotation folders finds.

    Attributes
    ----------
    images : tuple of (Path, ImageFacts)
        Those that can be read, with their image files.
    findings : tuple of Finding
        Worst first.
    layouts : tuple of str
        Those of the folders, each once.
    fields : tuple of str
        Each image's field of view; that of the first, for copies of one image.
    """

    images: tuple[tuple[Path, ImageFacts], ...] = ()
    findings: tuple[Finding, ...] = ()
    layouts: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def understood(self) -> str:
        """How the data was understood, in one line: images, objects, layout, channels, pixel size, axes."""
        return in_one_line([facts for _, facts in self.images], self.channels, self.layouts)

    @property
    def objects(self) -> int:
        """How many there are in all images."""
        return sum(facts.areas.size for _, facts in self.images)

    @property
    def channels(self) -> tuple[tuple[str, ...], ...]:
        """Each set of channels that an image has; first what a model takes by default."""
        return distinct_sets(facts.channels for _, facts in self.images)

    @property
    def pixel_size(self) -> float | None:
        """Median, µm per pixel; None where an image does not contain its own."""
        return usual_pixel_size([facts for _, facts in self.images])


def surveyed(folders: Sequence[Path], *, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Look through annotation folders as `examine` does, and return all that is known of them."""
    steps = survey(folders)
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            found: Survey = end.value
            return found
        if progress is not None:
            progress(done, total)


def survey(folders: Sequence[Path]) -> Generator[tuple[int, int], None, Survey]:
    """Look through annotation folders as `examine` does, yielding how many images are done, and of how many."""
    findings: list[Finding] = []
    pairs: list[AnnotatedPair] = []
    summary = _Summary()
    for folder in distinct(folders):
        try:
            opened = AnnotationFolder.open(folder)
        except DataError as error:
            findings.append(_error("unreadable-folder", error, folder))
        else:
            pairs.extend(opened.pairs)
            summary.layouts[opened.layout] = None
            findings.extend(_unpaired(path) for path in opened.unpaired)
    for done, looked in enumerate(look_through(pairs), start=1):
        findings.extend(one for one in looked.findings() if one.code != PARTLY)  # which is said once for all
        if looked.facts is not None:
            summary.add(looked.facts, looked.pair)
        yield done, len(pairs)
    if summary.groups or not findings:
        # of data that cannot be read at all, nothing more is to be said
        exchanged = list(summary.exchanged())
        follow = {finding.file for finding in exchanged}
        findings = [one for one in findings if one.severity == Severity.ERROR or one.file not in follow]
        findings.extend([*exchanged[:1], *summary.findings()])
    return summary.survey(sorted(_once(findings), key=lambda finding: -finding.severity))


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings in which what is wrong with whole masks is reported once for all images, with their number."""
    counts = Counter(finding.code for finding in findings if finding.code in OF_WHOLE_MASKS)
    kept: list[Finding] = []
    for finding in findings:
        count = counts.get(finding.code, 1)
        if count:
            more = f" The same holds for {counted(count - 1, 'other image')}." if count > 1 else ""
            kept.append(finding.replace(message=finding.message + more) if more else finding)
        if finding.code in counts:
            counts[finding.code] = 0
    return kept


def _error(code: str, error: DataError, file: Path) -> Finding:
    return Finding(severity=Severity.ERROR, code=code, message=str(error), file=file)


def _unpaired(path: Path) -> Finding:
    message = (
        f"{path.name!r} is left out: it has no partner (the mask to an image, the image to a mask). {way_to_pair(path)}"
    )
    return Finding(severity=Severity.WARNING, code="unpaired-file", message=message, file=path)


@dataclass
class _Summary:
    """What is kept of each image to compare it with the others."""

    images: list[tuple[Path, ImageFacts]] = field(default_factory=list)
    layouts: dict[str, None] = field(default_factory=dict)
    groups: Counter[str] = field(default_factory=Counter)
    fields: dict[str, str] = field(default_factory=dict)
    channels: dict[tuple[str, ...], list[Path]] = field(default_factory=lambda: defaultdict(list))
    pixel_sizes: dict[float | None, list[Path]] = field(default_factory=lambda: defaultdict(list))
    same: dict[str, list[tuple[Path, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, facts: ImageFacts, pair: AnnotatedPair) -> None:
        self.images.append((pair.image, facts))
        # copies of one image are of one field of view, whatever their names
        self.groups[self.fields.setdefault(facts.content, facts.field(pair))] += 1
        self.channels[facts.channels].append(pair.image)
        self.pixel_sizes[facts.pixel_size and float(f"{facts.pixel_size:.4g}")].append(pair.image)
        self.same[facts.image_hash].append((pair.image, facts.labels_hash))

    def survey(self, findings: Sequence[Finding]) -> Survey:
        fields = tuple(self.fields[facts.content] for _, facts in self.images)
        return Survey(tuple(self.images), tuple(findings), tuple(self.layouts), fields)

    @property
    def objects(self) -> int:
        return sum(facts.areas.size for _, facts in self.images)

    def exchanged(self) -> Iterator[Finding]:
        """Find masks that fit another image than their own; the first finding represents all."""
        alike: dict[tuple[int, ...], list[tuple[Path, ImageFacts]]] = defaultdict(list)
        for path, facts in self.images:
            if (
                len(facts.areas)
                and facts.annotated == 1
                and not any(one.severity == Severity.ERROR for one in facts.findings)
            ):
                alike[facts.shape].append((path, facts))
        found: list[tuple[Path, Path]] = []
        for group in alike.values():
            seen = [facts.samples for _, facts in group]
            pairs = exchanged([pixels for pixels, _ in seen], [mask for _, mask in seen])
            found += [(group[place][0], group[other][0]) for place, other in pairs]
        for path, other in found if len(found) > 1 else ():
            message = (
                f"The masks of {len(found)} images fit other images than their own, such as that of {path.name!r} the "
                f"image {other.name!r}. They may have been swapped or renamed: give each image its own mask."
            )
            yield Finding(severity=Severity.ERROR, code="exchanged-masks", message=message, file=path)

    def findings(self) -> Iterator[Finding]:
        yield from self._too_few()
        yield from self._channel_sets()
        yield from self._pixel_sizes()
        yield from self._duplicates()
        yield from self._partly_annotated()

    def _too_few(self) -> Iterator[Finding]:
        count = self.groups.total()
        if count <= 1:
            there = "There is only 1 usable image" if count else "There is no usable image"
            message = f"{there}; training needs at least 2, one for training and one for validation. Annotate more."
            yield Finding(severity=Severity.ERROR, code="too-few-images", message=message)
        elif len(self.groups) == 1:
            message = (
                f"All {count} images come from one field of view ({next(iter(self.groups))!r}), so none is left for "
                "validation. Add an image of another field."
            )
            yield Finding(severity=Severity.ERROR, code="one-field-of-view", message=message)
        elif count < ENOUGH_IMAGES:
            message = f"Only {count} images: the model may overfit. Aim at {ENOUGH_IMAGES} or more."
            yield Finding(severity=Severity.WARNING, code="too-few-images", message=message)
        if count and not self.objects:
            message = "No mask has an object, so there is nothing to train on. Export the labels again."
            yield Finding(severity=Severity.ERROR, code="all-masks-empty", message=message)

    def _channel_sets(self) -> Iterator[Finding]:
        if (GREY,) in self.channels and (unnamed(0),) in self.channels:  # neither has a name of its own
            self.channels[unnamed(0),] += self.channels.pop((GREY,))
        usual = max(self.channels, key=lambda names: len(self.channels[names]), default=())
        for names, files in self.channels.items():
            if names != usual:
                message = (
                    f"The channels of {_named(files)} are {', '.join(names)}; usual in this data are "
                    f"{', '.join(usual)}. Use the same name for the same stain, or give the other name in the "
                    "training form."
                )
                yield Finding(severity=Severity.WARNING, code="channels-differ", message=message, file=files[0])

    def _pixel_sizes(self) -> Iterator[Finding]:
        unknown = self.pixel_sizes.get(None, [])
        known = {size: files for size, files in self.pixel_sizes.items() if size is not None}
        if unknown and known:
            message = (
                f"The pixel size of {_named(unknown)} is not known, that of other images is. "
                "Export again with the pixel size, or nothing will be brought to the others' scale."
            )
            yield Finding(severity=Severity.WARNING, code="pixel-size-missing", message=message, file=unknown[0])
        if known and not unknown:
            yield from self._odd_pixel_sizes(known)
        if len(known) > 1:
            sizes = ", ".join(f"{size:g} µm ({len(files)})" for size, files in sorted(known.items()))
            rarest = min(known.values(), key=len)[0]
            message = f"Pixel sizes differ between images: {sizes}. Training brings all images to one pixel size."
            yield Finding(severity=Severity.INFO, code="pixel-sizes-differ", message=message, file=rarest)

    def _odd_pixel_sizes(self, known: dict[float, list[Path]]) -> Iterator[Finding]:
        """Find what training refuses where the job gives no pixel size: an image scaled to the usual one in excess."""
        usual = median(facts.pixel_size for _, facts in self.images if facts.pixel_size is not None)
        for size, files in known.items():
            if not 1 / MAX_SCALE <= size / usual <= MAX_SCALE:
                message = (
                    f"The pixel size of {_named(files)} is {size:g} µm, but {usual:g} µm is usual in this data. "
                    "Correct the wrong one."
                )
                yield Finding(severity=Severity.ERROR, code="pixel-size-odd", message=message, file=files[0])

    def _partly_annotated(self) -> Iterator[Finding]:
        partial = [(facts.annotated, path) for path, facts in self.images if 0 < facts.annotated < 1]
        if partial:
            (least, path), (most, _) = min(partial), max(partial)
            shares = f"{least:.0%}" if f"{least:.0%}" == f"{most:.0%}" else f"{least:.0%} to {most:.0%}"
            verb = "is" if len(partial) == 1 else "are"
            message = (
                f"{counted(len(partial), 'image')} {verb} annotated in part ({shares} of the pixels). The rest is left "
                "out of training and of scores."
            )
            yield Finding(severity=Severity.INFO, code=PARTLY, message=message, file=path)

    def _duplicates(self) -> Iterator[Finding]:
        for files in self.same.values():
            first, first_labels = files[0]
            for file, labels in files[1:]:
                masks = "and the same mask" if labels == first_labels else "with another mask"
                message = (
                    f"{file.name!r} is the same image as {str(first)!r}, {masks}. "
                    "Keep one of them: copies may end up in both training and validation."
                )
                yield Finding(severity=Severity.WARNING, code="duplicate", message=message, file=file)


def usual_pixel_size(images: Sequence[ImageFacts]) -> float | None:
    """Return the median, µm per pixel; None where an image does not contain its own."""
    known = [facts.pixel_size for facts in images if facts.pixel_size is not None]
    return float(median(known)) if known and len(known) == len(images) else None


def _named(files: Sequence[Path]) -> str:
    others = len(files) - 1
    return repr(files[0].name) + (f" and {others} other image{'s' if others > 1 else ''}" if others else "")
