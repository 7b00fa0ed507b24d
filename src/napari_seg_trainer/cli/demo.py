"""Everything once, on real nuclei."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.api import make_job, scored
from napari_seg_trainer.api.scoring import Scored
from napari_seg_trainer.cli.console import AsJson, print_json, print_scores, say
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.engines.registry import DEFAULT_ENGINE, engine_spec
from napari_seg_trainer.errors import DataError, RunError
from napari_seg_trainer.evaluation.comparison import compare_scores, tell_difference
from napari_seg_trainer.evaluation.report import Example, write_report
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import fetch
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import Finished, Stopped
from napari_seg_trainer.schema.job import TrainingJob
from napari_seg_trainer.segmentation.files import write_labels

DATASET = "nuclei_dsb2018"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for labels and report.")] = Path("demo-output"),
    engine: Annotated[str, typer.Option(help="Engine to train.")] = DEFAULT_ENGINE,
    epochs: Annotated[int | None, typer.Option(help="Fewer for a quick look, more for a better model.")] = None,
    json: AsJson = False,
) -> None:
    """Segment real nuclei with a starter model, train on built-in images, segment again and compare."""
    spec, test = engine_spec(engine), builtin_folder(DATASET, "test")
    tell = (lambda _text: None) if json else say
    found: dict[str, list[Scored]] = {}
    starter = next((fetch(model, spec) for model in spec.pretrained if model.is_starter), None)
    if starter is not None:
        tell(f"1. Segmenting images of nuclei with {starter.name}, a starter model that is included.")
        found[starter.name] = _segmented(starter, test)
    tell(f"2. Training {spec.title} on other images of nuclei (2018 Data Science Bowl). This takes a few minutes.")
    run = launch(demo_job(engine, epochs))
    status = watch(run, json)
    if status:
        raise typer.Exit(status)
    model = _model_of(run)
    tell("3. Segmenting with the new model. These images were not used for training.")
    own = found[model.name] = _segmented(model, test)
    scores = {name: Scores.of(one.score for one in several) for name, several in found.items()}
    with explained(output, DataError):
        output.mkdir(parents=True, exist_ok=True)
        for one in own:
            write_labels(output / f"{one.image.stem}_labelled.tif", one.labels)
        examples = [Example(one.image.stem, one.image.image[0], one.image.labels, one.labels) for one in own]
        cited = spec.citations
        report = write_report(output, model.card, run.events(), examples[:6], scores[model.name], citations=cited)
    if json:
        print_json({"pooled": scores[model.name].pooled, "mean": scores[model.name].mean, "report": report})
    else:
        _conclude(scores, model.name, report, test / f"{own[0].image.stem}.tif", output)


def _segmented(model: LibraryModel, test: Path) -> list[Scored]:
    with frameworks_logged(), counting("segmenting") as progress:
        return [done.result for done in scored(model, [test], progress=progress) if done.result]


def demo_job(engine: str, epochs: int | None = None) -> TrainingJob:
    """Return the training of the demonstration: what the form and the command give for the built-in images."""
    given = {} if epochs is None else {"epochs": epochs}
    name = ModelLibrary().free_name("demo-nuclei")
    return make_job(name=name, engine=engine, builtin=(DATASET,), hyperparameters=given)


def _model_of(run: Run) -> LibraryModel:
    last = run.outcome()
    if not isinstance(last, Finished | Stopped) or last.model is None:
        raise RunError(f"Run {run.id!r} produced no model.")
    return ModelLibrary().get(last.model)


def _conclude(scores: dict[str, Scores], model: str, report: Path, image: Path, output: Path) -> None:
    """Compare, and say how to look at what was found."""
    own = scores[model]
    say("")
    say(f"4. Scores on {len(own.images)} images that were not used for training:")
    print_scores(own)
    for name, other in scores.items():
        if name != model:
            difference = tell_difference(compare_scores(own.images, other.images), f"the starter {name!r}")
            say(f"On these images: {difference}")
    napari = Path(sys.executable).with_name("napari")
    command = napari if napari.exists() else "napari"
    say("")
    say(f"Report: {report}")
    say("To see an image with its segmentation in napari, run:")
    say(f"  {command} {image} {output / f'{image.stem}_labelled.tif'}")
