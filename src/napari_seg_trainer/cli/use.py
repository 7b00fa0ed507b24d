"""Using a model: to segment images, and to find out how good it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_seg_trainer import api
from napari_seg_trainer.cli.console import AsJson, print_json, print_scores, print_table, say, show_error, show_warning
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.cli.options import parse_settings
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.evaluation.comparison import compare_scores, tell_difference
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.library.pretrained import open_model
from napari_seg_trainer.library.reports import report_of
from napari_seg_trainer.segmentation.files import SegmentedFile, segment_files, without_labels
from napari_seg_trainer.segmentation.request import SegmentRequest
from napari_seg_trainer.segmentation.suggest import rank

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model in the library, or a model folder.")]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        help="Channel (name, or number from 0) that feeds the model; once for each of the model's channels.",
    ),
]

PixelSize = Annotated[
    float | None,
    typer.Option(help="µm per pixel of all images, where the files do not tell it or are wrong."),
]


def segment(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="TIFF or PNG files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the labels (STEM_labelled.tif).")],
    channel: Channels = None,
    pixel_size: PixelSize = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the prediction, such as probability=0.6."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace label files that are there.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Segment only images that have no label file yet.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Find the objects in images with a trained model.

    The model brings its own normalization and pixel size; its channels are found by name. An image that cannot be
    segmented stops no others; those are listed in the end, and the exit status is 1.
    """
    if overwrite and skip_existing:
        raise typer.BadParameter("Give --overwrite or --skip-existing, not both.")
    opened = open_model(model)
    chosen = parse_settings(settings or ())
    todo = without_labels(images, output) if skip_existing else images
    with frameworks_logged(), counting("segmenting") as progress:
        results = segment_files(
            opened,
            todo,
            output,
            SegmentRequest(pixel_size=pixel_size, use=channel or (), settings=chosen),
            overwrite=overwrite,
            progress=lambda done: progress(done, len(todo)),
        )
        doubtful, problems = [], []
        for result in results:
            _tell_file(result, json)
            doubtful += [result] if result.warning else []
            problems += [result.problem] if result.problem else []
    if len(todo) < len(images) and not json:
        say(f"Left out: {len(images) - len(todo)} that had label files already.")
    if doubtful and not json:
        others = f" So it is with {len(doubtful) - 1} more." if len(doubtful) > 1 else ""
        show_warning(f"'{doubtful[0].image}': {doubtful[0].warning}{others} '--pixel-size' gives another.")
    _end_with(problems)


def _tell_file(result: SegmentedFile, json: bool) -> None:
    if json:
        found = {"labels": result.labels, "objects": result.objects}
        told = {"problem": result.problem} if result.problem else found
        print_json({"image": result.image} | told | ({"warning": result.warning} if result.warning else {}))
    elif not result.problem:
        say(f"{result.image.name}: {result.objects} objects, in {result.labels}")


def _end_with(problems: Sequence[str]) -> None:
    """List what failed, and exit with status 1 if something did."""
    for problem in problems:
        show_error(problem)
    if problems:
        raise typer.Exit(1)


def suggest(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="Images without labels.")],
    most: Annotated[int, typer.Option(min=1, help="How many images to name.")] = 10,
    channel: Channels = None,
    pixel_size: PixelSize = None,
    json: AsJson = False,
) -> None:
    """Name the images to annotate next: those that speak for most of what a model is unsure of.

    The model looks at each image and its mirror images. Where it finds an object in one and not in the other, it is
    unsure. First come images that look like many others, each unlike those before it.
    """
    opened = open_model(model)
    with frameworks_logged(), counting("looking at the images") as progress:
        found = list(api.looked_at(opened, images, channel or (), pixel_size, progress))
    named = [one for one in rank(found) if not one.problem][:most]
    if json:
        for one in named:
            print_json({"image": one.image, "objects": one.objects, "unsure": one.unsure})
    else:
        print_table(
            ("annotate next", "objects found", "unsure of"),
            [(str(one.image), str(one.objects), f"{one.unsure:.1f}") for one in named],
        )
    for one in found:
        if one.problem:
            show_warning(f"{one.problem} It was passed over.")
    if not named:
        raise DataError("None of the images can be looked at. The warnings say why.")


def evaluate(
    model: Model,
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Annotation folders to compare with.")],
    channel: Channels = None,
    json: AsJson = False,
) -> None:
    """Compare what a model finds with what people drew.

    Precision: how many of the objects found are real. Recall: how many of the real ones are found. F1 and AP join the
    two. An object counts as found where the two outlines overlap by at least the given IoU.
    """
    opened = open_model(model)
    with frameworks_logged(), counting("segmenting") as progress:
        found, problems = [], []
        for done in api.scored(opened, folders, channel or (), progress):
            if done.result is None:
                problems.append(done.problem)
            else:
                found.append(done.result.score)
    if not found:
        _end_with(problems)
    scores = Scores.of(found)
    if json:
        images = [{"image": score.image, **score.scores} for score in scores.images]
        print_json({"model": opened.name, "pooled": scores.pooled, "mean": scores.mean, "images": images})
    else:
        print_scores(scores)
    _end_with(problems)


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL MODEL...", help="Models to put side by side.")],
    data: Annotated[list[Path], typer.Option(help="Annotation folder to score all of them on.")],
    channel: Channels = None,
    json: AsJson = False,
) -> None:
    """Put models side by side on the same annotated images, and say whether one is better.

    Each is compared with the first one. Better and worse are said only where resampling the images leaves no doubt.
    """
    if len(set(models)) < 2:
        raise typer.BadParameter("Name two models or more.")
    with frameworks_logged(), counting("segmenting with each model", "loading the models") as progress:
        found, problems = api.compared(models, data, channel or (), progress)
    (first, reference), *others = found.items()
    differences = {name: compare_scores(scores.images, reference.images) for name, scores in others}
    if json:
        rows = [{"model": name, "pooled": scores.told} for name, scores in found.items()]
        print_json({"models": rows, "against": first, "differences": {k: asdict(v) for k, v in differences.items()}})
        _end_with(problems)
        return
    columns = ("f1_50", "ap50", "ap70", "ap90", "missed", "extra", "merged", "split")
    print_table(
        ("model", "F1", "AP50", "AP70", "AP90", *columns[4:]),
        [(name, *(_cell(scores.told, column) for column in columns)) for name, scores in found.items()],
    )
    for name, compared in differences.items():
        say(f"{name}: {tell_difference(compared, repr(first))}")
    _end_with(problems)


def _cell(scores: Mapping[str, float], column: str) -> str:
    value = scores.get(column, 0.0)
    return f"{value:.0f}" if column in {"missed", "extra", "merged", "split"} else f"{value:.3f}"


def report(model: Model, json: AsJson = False) -> None:
    """Open a model's report in the browser: curves, scores, the verdict, examples, how to cite."""
    page = report_of(open_model(model))
    if json:
        print_json({"report": page})
    else:
        say(f"Report: {page}")
        typer.launch(page.as_uri())
