"""Everything once, on real nuclei."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.api import make_job, scored
from napari_seg_trainer.cli.console import AsJson, print_json, print_scores, say
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.engines.registry import DEFAULT_ENGINE, engine_spec
from napari_seg_trainer.errors import DataError, RunError
from napari_seg_trainer.evaluation.report import Example, write_report
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Finished, Stopped
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.segmentation.files import write_labels

DATASET = "nuclei_dsb2018"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for labels and report.")] = Path("demo-output"),
    engine: Annotated[str, typer.Option(help="What to train.")] = DEFAULT_ENGINE,
    epochs: Annotated[int | None, typer.Option(help="Fewer for a quicker look, more for a better model.")] = None,
    json: AsJson = False,
) -> None:
    """Train on built-in images of real nuclei, segment images the model has not seen, and write a report."""
    spec, job = engine_spec(engine), demo_job(engine, epochs)
    if not json:
        say(f"Training {spec.title} on built-in images of nuclei (2018 Data Science Bowl). This takes a few minutes.")
    run = launch(job)
    status = watch(run, json)
    if status:
        raise typer.Exit(status)
    model = _model_of(run)
    test = builtin_folder(DATASET, "test")
    with frameworks_logged(), counting("segmenting images that the model has not seen") as progress:
        results = list(scored(model, [test], progress=progress))
    found = [done.result for done in results if done.result]
    scores = Scores.of(one.score for one in found)
    with explained(output, DataError):
        output.mkdir(parents=True, exist_ok=True)
        for one in found:
            write_labels(output / f"{one.image.stem}_labelled.tif", one.labels)
        examples = [Example(one.image.stem, one.image.image[0], one.image.labels, one.labels) for one in found]
        report = write_report(output, model.card, run.events(), examples[:6], scores, citations=spec.citations)
    _conclude(json, scores, report, test, found[0].image.stem, output)


def demo_job(engine: str, epochs: int | None = None) -> TrainingJob:
    """Return the training of the demonstration: what the form and the command give for the built-in images."""
    given = {} if epochs is None else {"epochs": epochs}
    name = ModelLibrary().free_name("demo-nuclei")
    return make_job(name=name, engine=engine, builtin=(DATASET,), hyperparameters=given)


def _model_of(run: Run) -> LibraryModel:
    last = run.outcome()
    if not isinstance(last, Finished | Stopped) or last.model is None:
        raise RunError(f"Run {run.id!r} gave no model.")
    return ModelLibrary().get(last.model)


def _conclude(json: bool, scores: Scores, report: Path, test: Path, stem: str, output: Path) -> None:
    if json:
        print_json({"pooled": scores.pooled, "mean": scores.mean, "report": report})
        return
    say("")
    say(f"Scores on {len(scores.images)} images that the model has not seen:")
    print_scores(scores)
    napari = Path(sys.executable).with_name("napari")
    command = napari if napari.exists() else "napari"
    say("")
    say(f"Report: {report}")
    say("To look at an image with the objects found in it, open napari with:")
    say(f"  {command} {test / f'{stem}.tif'} {output / f'{stem}_labelled.tif'}")
