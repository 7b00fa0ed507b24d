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
from napari_seg_trainer.segmentation.ranking import Suggestion, Window, in_regions, rank
from napari_seg_trainer.segmentation.regions import covered_by, training_folders
from napari_seg_trainer.segmentation.request import SegmentRequest

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model in the library, or a model folder.")]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        help="Channel (name, or number from 0) to use; give one for each channel of the model.",
    ),
]

PixelSize = Annotated[
    float | None,
    typer.Option(help="Pixel size of all images in µm, if the files do not contain it or are wrong."),
]


def segment(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="TIFF or PNG files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output folder for the labels (STEM_labelled.tif).")],
    channel: Channels = None,
    pixel_size: PixelSize = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Prediction setting, such as probability=0.6."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite existing label files.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip images that already have a label file.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Segment images with a trained model.

    The model contains its normalization and pixel size; channels are found by name. Images that cannot be segmented are
    skipped and listed at the end, and the exit status is then 1.
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
        say(f"Skipped: {len(images) - len(todo)} with existing label files.")
    if doubtful and not json:
        others = f"  The same holds for {len(doubtful) - 1} more." if len(doubtful) > 1 else ""
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
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="Images that are not annotated yet.")
    ],
    most: Annotated[int, typer.Option(min=1, help="Number of images or regions to suggest.")] = 10,
    whole_images: Annotated[
        bool, typer.Option("--whole-images", help="Suggest whole images, also large ones, instead of regions.")
    ] = False,
    channel: Channels = None,
    pixel_size: PixelSize = None,
    json: AsJson = False,
) -> None:
    """List what to annotate next: images, or regions of large images, that would improve the model most.

    The model segments each image and its mirror images. Objects that it finds in only one of them are uncertain. The
    first images or regions are typical of many others, and each differs from those before it and from what the model
    was trained on.
    """
    opened = open_model(model)
    covered = None if whole_images else covered_by(training_folders(opened))
    with frameworks_logged(), counting("checking the images") as progress:
        found = list(api.looked_at(opened, images, channel or (), pixel_size, covered, progress))
    ranked = rank(found) if covered is None else rank(in_regions(found), covered.looks)
    named = [one for one in ranked if not one.problem][:most]
    if json:
        for one in named:
            region = {} if one.window is None else {"region": asdict(one.window)}
            print_json({"image": one.image, **region, "objects": one.objects, "unsure": one.unsure})
    else:
        _print_suggestions(named)
    for one in found:
        if one.problem:
            show_warning(f"{one.problem} It was skipped.")
    if not ranked:
        raise DataError("All of these images are annotated already, in the model's training folders. Choose others.")
    if not named:
        raise DataError("None of the images can be read. See the warnings.")


def _print_suggestions(named: Sequence[Suggestion]) -> None:
    """Print a table, with the folder above it where all images are in one, as paths may be long."""
    folders = {one.image.parent for one in named}
    if len(folders) == 1:
        say(f"In '{next(iter(folders))}':")
    names = [one.image.name if len(folders) == 1 else str(one.image) for one in named]
    has_regions = any(one.window is not None for one in named)
    rows = [
        (name, *([_region(one.window)] if has_regions else []), str(one.objects), f"{one.unsure:.1f}")
        for name, one in zip(names, named, strict=True)
    ]
    print_table(("annotate next", *(["region"] if has_regions else []), "objects found", "unsure of"), rows)


def _region(window: Window | None) -> str:
    return "whole image" if window is None else f"rows {window.y0}-{window.y1}, columns {window.x0}-{window.x1}"


def evaluate(
    model: Model,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Annotation folders with the true labels.")
    ],
    channel: Channels = None,
    json: AsJson = False,
) -> None:
    """Evaluate a model against manual annotations.

    Precision: fraction of detections that are real. Recall: fraction of real objects that are found. F1 and AP combine
    the two. An object counts as found if the two outlines overlap with at least the given IoU.
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
    models: Annotated[list[str], typer.Argument(metavar="MODEL MODEL...", help="Models to compare.")],
    data: Annotated[list[Path], typer.Option(help="Annotation folder to score them on.")],
    channel: Channels = None,
    json: AsJson = False,
) -> None:
    """Compare models on the same annotated images.

    Each is compared with the first one. A model is called better or worse only if resampling the images confirms it.
    """
    if len(set(models)) < 2:
        raise typer.BadParameter("Give at least two models.")
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
    """Open a model's report in the browser: curves, scores, verdict, examples, how to cite."""
    page = report_of(open_model(model))
    if json:
        print_json({"report": page})
    else:
        say(f"Report: {page}")
        typer.launch(page.as_uri())
