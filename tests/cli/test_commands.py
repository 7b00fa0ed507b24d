"""What each command prints, and its exit status; wrong input is in `test_bad_input.py`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import tifffile

from napari_seg_trainer import ModelLibrary
from napari_seg_trainer.evaluation.matching import match
from napari_seg_trainer.library.model_folder import write_card
from napari_seg_trainer.paths import HOME_VARIABLE
from napari_seg_trainer.runs.run import Run, find_run, list_runs
from napari_seg_trainer.schema.events import TERMINAL_EVENTS, Failed, Finished, Log, Started, parse_event
from napari_seg_trainer.schema.job import TrainingJob

COMMANDS = (
    *("demo", "check", "train", "runs", "follow", "stop", "cancel", "resume", "keep", "delete-run"),
    *("segment", "suggest", "evaluate", "compare", "report"),
    *("models", "rename-model", "delete-model", "export-model", "import-model", "export-bioimageio"),
)


def lines(text):
    """Each line as JSON."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def finished(home, toy):
    """A run that is over, without a training."""
    run = Run.create(TrainingJob(name="nuclei", engine=toy, data=("annotations",)))
    for event in (
        Started(epochs=3, steps_per_epoch=2, training_images=4, validation_images=1),
        Finished(model="nuclei", best_epoch=2),
    ):
        run.append(event)
    return run


@pytest.fixture
def trained(home, toy, annotation_folder, cli):
    """Train a toy model in a process of its own: ``trained("--json")``."""

    def work(*words):
        return cli("train", "--data", annotation_folder(), "--name", "nuclei", "--engine", toy, "--epochs", 3, *words)

    return work


# help


def test_the_version_is_told_without_a_command(cli):
    shown = cli("--version")
    assert (shown.status, shown.out) == (0, f"napari-seg-trainer {version('napari-seg-trainer')}\n")
    assert cli().status == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_has_json(cli, name):
    shown = cli(name, "--help")
    assert shown.status == 0
    assert "Usage" in shown.out
    assert "--json" in shown.out
    assert shown.err == ""


def test_the_help_lists_every_command(cli):
    shown = cli("--help")
    assert shown.status == 0
    assert all(name in shown.out for name in COMMANDS)


@pytest.mark.parametrize("words", [["-m", "napari_seg_trainer", "models"]], ids=["python -m"])
def test_it_runs_as_a_module(home, words):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "empty" in done.stdout


# train


def test_train_tells_the_epochs_and_the_model(trained):
    shown = trained()
    assert (shown.status, shown.err) == (0, "")
    assert "3 epochs of 4 steps on 3 images (1 validate), on toy" in shown.out
    assert [line[:14] for line in shown.out.splitlines() if line.startswith("epoch")] == [
        f"epoch   {i} of 3" for i in (1, 2, 3)
    ]
    assert "estimating the time left" in shown.out
    assert "Model 'nuclei' is in the library (best epoch: 3)." in shown.out
    assert ModelLibrary().names() == ["nuclei"]


def test_train_as_json_is_the_run_and_then_its_events(trained):
    shown = trained("--json")
    assert (shown.status, shown.err) == (0, "")
    first, *rest = shown.out.splitlines()
    run = find_run(json.loads(first)["run"])
    assert json.loads(first)["folder"] == str(run.folder)
    assert [parse_event(line) for line in rest] == run.events()
    assert isinstance(parse_event(rest[-1]), Finished)


def test_train_detached_returns_at_once_and_follow_comes_back(trained, cli):
    shown = trained("--detach", "--json")
    (answer,) = lines(shown.out)
    assert shown.status == 0
    assert answer["run"] == list_runs()[0].id
    followed = cli("follow", answer["run"], "--json")
    assert followed.status == 0
    assert isinstance(parse_event(followed.out.splitlines()[-1]), Finished)


def test_a_dry_run_writes_a_job_that_trains(home, toy, annotation_folder, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--data", annotation_folder().name, "--name", "nuclei", "--engine", toy, "--epochs", 2]
    options = ["--channel", "dapi", "--normalization", "values:100,500,clip", "--set", "losses=[2, 1]", "--seed", 5]
    shown = cli("train", *words, *options, "--dry-run", "--json")
    assert (shown.status, lines(shown.out)) == (0, [{"job": "nuclei.job.json"}])
    job = TrainingJob.model_validate_json((tmp_path / "nuclei.job.json").read_bytes())
    assert job.hyperparameters == {"epochs": 2, "losses": [2, 1]}
    assert (job.seed, job.channels[0].normalization.mode, job.channels[0].normalization.clip) == (5, "values", True)
    assert list_runs() == []
    assert cli("train", *words, "--dry-run").error.startswith("'nuclei.job.json' already exists.")
    assert cli("train", "nuclei.job.json").status == 0
    card = ModelLibrary().get("nuclei").card
    assert (card.best_epoch, card.channels[0].normalization.high) == (2, 500)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("percentile:1,99.8", ("percentile", 1, 99.8, False, False)),
        ("percentile:0.5,99,clip", ("percentile", 0.5, 99, True, False)),
        ("percentile:0.5,99,skip-zeros,clip", ("percentile", 0.5, 99, True, True)),
        ("values:-5,4e3", ("values", -5, 4000, False, False)),
    ],
)
def test_normalizations(home, toy, annotation_folder, cli, tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    folder = annotation_folder(channels=("dapi", "gfp"))
    cli("train", "--data", folder, "--name", "n", "--engine", toy, "--normalization", text, "--dry-run")
    channels = TrainingJob.model_validate_json((tmp_path / "n.job.json").read_bytes()).channels
    assert [channel.name for channel in channels] == ["dapi", "gfp"]
    assert {tuple(channel.normalization.model_dump().values()) for channel in channels} == {expected}


# runs, follow, stop


def test_without_runs_there_is_a_hint(home, cli):
    assert "no runs yet" in cli("runs").out
    assert lines(cli("runs", "--json").out) == [{"runs": []}]


def test_runs_are_listed_with_what_happened(finished, cli):
    failed = Run.create(finished.job.replace(name="other"))
    failed.append(Failed(message="The disk is full."))
    shown = cli("runs")
    assert (shown.status, shown.err) == (0, "")
    assert all(word in shown.out for word in (finished.id, "finished", "model nuclei", failed.id, "failed", "is full"))
    (answer,) = lines(cli("runs", "--json").out)
    row = next(row for row in answer["runs"] if row["run"] == finished.id)
    assert (row["state"], row["epochs"], row["val_loss"]) == ("finished", "0 of 3", None)


def test_a_broken_run_does_not_hide_the_others(finished, cli):
    broken = Run.create(finished.job.replace(name="broken"))
    (broken.folder / "job.json").write_text("{")
    (broken.folder / "events.jsonl").write_text("no event\n")
    shown = cli("runs")
    assert shown.status == 0
    assert finished.id in shown.out


@pytest.mark.parametrize("which", ["id", "name", "folder"])
def test_a_finished_run_is_followed_to_its_end(finished, cli, which):
    shown = cli("follow", {"id": finished.id, "name": "nuclei", "folder": finished.folder}[which])
    assert (shown.status, shown.err) == (0, "")
    assert "3 epochs of 2 steps on 4 images (1 validate), on CPU" in shown.out
    assert "Model 'nuclei' is in the library (best epoch: 2)." in shown.out


def test_following_as_json_gives_the_events(finished, cli):
    shown = cli("follow", finished.id, "--json")
    assert [parse_event(line) for line in shown.out.splitlines()] == finished.events()


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_following_a_failed_run_is_an_error(finished, cli, json_):
    run = Run.create(finished.job)
    run.append(Failed(message="Image 'a.tif' [broken] is bad."))
    shown = cli("follow", run.id, *json_)
    assert shown.status == 1
    assert shown.error == "Image 'a.tif' [broken] is bad."


def test_stop_asks_the_training_to_stop(trained, cli):
    trained("--detach", "--epochs", 1000, "--set", "seconds=0.1")
    (answer,) = lines(cli("stop", "nuclei", "--json").out)
    run = find_run("nuclei")
    assert answer == {"run": run.id, "stop": "requested"}
    followed = cli("follow", "nuclei")
    assert followed.status == 0
    assert "Stopped by the user." in followed.out
    assert isinstance(run.events()[-1], TERMINAL_EVENTS)
    assert "is stopped already" in cli("stop", "nuclei").error


# check


def test_good_data_passes_the_check(annotation_folder, cli):
    folder = annotation_folder(images=6)
    shown = cli("check", folder)
    assert (shown.status, shown.err) == (0, "")
    (answer,) = lines(cli("check", folder, "--json").out)
    assert all(finding["severity"] == "info" for finding in answer["findings"])


def test_the_check_lists_what_is_known_of_each_image(annotation_folder, cli):
    folder = annotation_folder(images=2, channels=("dapi", "gfp"), pixel_size=0.25)
    (folder / "cell_01_labelled.tif").write_bytes(b"")
    (answer,) = lines(cli("check", folder, "--json").out)
    (image,) = answer["images"]
    pixels, labels = (tifffile.imread(folder / f"cell_00{ending}.tif") for ending in ("", "_labelled"))
    assert (image["file"], image["channels"]) == (str(folder / "cell_00.tif"), ["dapi", "gfp"])
    assert (image["shape"], image["dtype"], image["pixel_size"]) == ([2, 96, 96], "uint16", 0.25)
    assert image["ranges"] == [[float(plane.min()), float(plane.max())] for plane in pixels]
    assert image["objects"] == len(np.unique(labels)) - 1
    shown = cli("check", folder, "--images").out
    assert f"dapi {pixels[0].min()}–{pixels[0].max()}, gfp" in " ".join(shown.split())
    assert "0.25 µm" in shown
    assert "cell_00.tif" not in cli("check", folder).out


def test_errors_in_the_data_are_exit_status_1(annotation_folder, cli):
    folder = annotation_folder(images=6)
    tifffile.imwrite(folder / "cell_03_labelled.tif", np.ones((50, 96), np.uint16))
    shown = cli("check", folder)
    assert shown.status == 1
    assert "cell_03.tif" in shown.out
    assert "1 errors" in shown.out
    answered = cli("check", folder, "--json")
    (answer,) = lines(answered.out)
    worst = answer["findings"][0]
    assert answered.status == 1
    assert (worst["severity"], worst["code"]) == ("error", "shape-mismatch")


def test_warnings_in_the_data_are_exit_status_0(annotation_folder, cli):
    shown = cli("check", annotation_folder(images=3))
    assert shown.status == 0
    assert "Only 3 images" in shown.out


# models, segment, evaluate


def test_an_empty_library_says_so(home, cli):
    assert "is empty" in cli("models").out
    assert lines(cli("models", "--json").out) == [{"models": [], "broken": {}}]


def test_models_are_listed(toy_model, cli):
    model = toy_model("bright", ("dapi", "gfp"), pixel_size=0.325, scores={"ap50": 0.875})
    shown = cli("models")
    assert (shown.status, shown.err) == (0, "")
    assert all(word in shown.out for word in ("bright", "toy", "dapi, gfp", "0.325 µm", "0.88"))
    (answer,) = lines(cli("models", "--json").out)
    assert answer["models"] == [model.card.model_dump(mode="json") | {"folder": str(model.folder)}]


def test_a_broken_model_is_a_warning(toy_model, cli):
    (toy_model("broken").folder / "model_card.json").write_text("{")
    toy_model("bright")
    shown = cli("models")
    assert shown.status == 0
    assert "bright" in shown.out
    assert "broken" in shown.err.splitlines()[-1]
    (answer,) = lines(cli("models", "--json").out)
    assert ([card["name"] for card in answer["models"]], list(answer["broken"])) == (["bright"], ["broken"])


def test_segment_tells_each_image(toy_model, annotation_folder, cli, tmp_path):
    toy_model()
    folder = annotation_folder(images=2)
    images = [folder / "cell_00.tif", folder / "cell_01.tif"]
    shown = cli("segment", "bright", *images, "--output", tmp_path / "out")
    assert (shown.status, shown.err) == (0, "")
    assert [line.split(",")[0] for line in shown.out.splitlines()] == [
        "cell_00.tif: 16 objects",
        "cell_01.tif: 16 objects",
    ]
    again = cli("segment", "bright", *images, "-o", tmp_path / "out", "--overwrite", "--json")
    label_files = [tmp_path / "out" / "cell_00_labelled.tif", tmp_path / "out" / "cell_01_labelled.tif"]
    assert lines(again.out) == [
        {"image": str(image), "labels": str(labels), "objects": 16}
        for image, labels in zip(images, label_files, strict=True)
    ]


def test_an_image_that_cannot_be_segmented_stops_no_others(toy_model, annotation_folder, cli, tmp_path):
    toy_model()
    folder = annotation_folder(images=3)
    images = [folder / f"cell_{i:02}.tif" for i in range(3)]
    images[1].write_bytes(b"II*\0")
    shown = cli("segment", "bright", *images, "-o", tmp_path / "out")
    assert shown.status == 1
    assert [line.split(",")[0] for line in shown.out.splitlines()] == [
        "cell_00.tif: 16 objects",
        "cell_02.tif: 16 objects",
    ]
    assert "cell_01.tif" in shown.error
    images[1].write_bytes(images[0].read_bytes())
    again = cli("segment", "bright", *images, "-o", tmp_path / "out", "--skip-existing")
    assert (again.status, again.err) == (0, "")
    first, second = again.out.splitlines()
    assert first.startswith("cell_01.tif: 16 objects")
    assert second == "Skipped: 2 with existing label files."
    assert cli("segment", "bright", *images, "-o", tmp_path, "--skip-existing", "--overwrite").status == 2


@pytest.mark.parametrize(
    ("options", "told"), [(["--pixel-size", "0"], "Pixel size 0"), (["--channel", "0", "--channel", "0"], "not 2")]
)
def test_what_is_wrong_for_all_images_is_told_once(toy_model, annotation_folder, cli, tmp_path, options, told):
    toy_model()
    images = sorted(annotation_folder(images=3).glob("cell_0?.tif"))
    shown = cli("segment", "bright", *images, "-o", tmp_path / "out", *options)
    assert shown.status == 1
    assert told in shown.error
    assert not (tmp_path / "out").exists()


def test_segment_warns_where_pixel_sizes_are_not_known(toy_model, annotation_folder, cli, tmp_path):
    toy_model("bright", pixel_size=0.5)
    folder = annotation_folder(images=3, pixel_size=None)
    images = [folder / f"cell_0{i}.tif" for i in range(3)]
    shown = cli("segment", "bright", *images, "--output", tmp_path / "out")
    assert shown.status == 0
    assert len(shown.out.splitlines()) == 3
    (line,) = shown.err.splitlines()
    assert line.startswith(f"Warning: '{images[0]}': The pixel size is unknown: the image is not rescaled.")
    assert line.endswith("The same holds for 2 more. '--pixel-size' gives another.")
    told = cli("segment", "bright", *images[:1], "--output", tmp_path / "json", "--json")
    assert "unknown" in json.loads(told.out)["warning"]
    assert cli("segment", "bright", *images, "-o", tmp_path / "known", "--pixel-size", "0.5").err == ""


def test_a_card_that_cannot_be_shown_hides_no_other(toy_model, cli):
    """As one that somebody has put into the library's folder by hand."""
    for name, changes in {
        "bright": {},
        "late": {"created": "9999-12-31T23:59:59+00:00"},
        "untested": {"test_images": 3},
        "loud": {"channels": [{"name": "\x1b[2Jgone"}]},
    }.items():
        path = toy_model(name).folder / "model_card.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    shown = cli("models")
    assert shown.status == 0
    assert all(name in shown.out for name in ("bright", "untested", "loud", "\\x1b[2Jgone"))
    assert "late" in shown.out + shown.err
    assert "\x1b" not in shown.out + shown.err
    (answer,) = lines(cli("models", "--json").out)
    assert sorted(card["name"] for card in answer["models"]) == ["bright", "loud", "untested"]
    assert list(answer["broken"]) == ["late"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_a_pipe_in_place_of_a_card_is_not_waited_for(toy_model, cli):
    toy_model("bright")
    path = toy_model("piped").folder / "model_card.json"
    path.unlink()
    os.mkfifo(path)
    (answer,) = lines(cli("models", "--json").out)
    assert ([card["name"] for card in answer["models"]], list(answer["broken"])) == (["bright"], ["piped"])


def test_what_a_run_tells_moves_no_cursor(finished, cli):
    finished.append(Log(message="\x1b]0;title\x07 \u202eexe"))
    finished.append(Failed(message="\x9b2J"))
    shown = cli("follow", finished.id)
    assert "\\x1b]0;title\\x07 \\u202eexe" in shown.out
    assert "\\x9b2J" in shown.err
    assert not any(character in shown.out + shown.err for character in "\x1b\x07\x9b\u202e")


def test_models_are_compared_on_the_same_images(toy_model, annotation_folder, cli):
    toy_model("first")
    toy_model("second")
    toy_model("third", channels=("gfp",))
    folder = annotation_folder(images=6, channels=("dapi", "gfp"))
    shown = cli("compare", "first", "second", "third", "--data", folder)
    assert shown.status == 0
    table, told = shown.out.splitlines()[:4], shown.out.splitlines()[4:]
    assert [line.split()[:3] for line in table[1:3]] == [["first", "1.000", "1.000"], ["second", "1.000", "1.000"]]
    assert told[0] == (
        "second: No clear difference from 'first': AP 1.00 vs. 1.00 (difference +0.00 to +0.00 on 6 images)."
    )
    assert told[1].startswith("third: Worse than 'first': AP 0.00 vs. 1.00 (difference -1.00 to -1.00")
    (answer,) = lines(cli("compare", "first", "second", "--data", folder, "--json").out)
    assert [row["model"] for row in answer["models"]] == ["first", "second"]
    assert answer["models"][0]["pooled"]["missed"] == 0
    assert answer["differences"]["second"]["images"] == 6


def test_one_model_is_no_comparison(toy_model, annotation_folder, cli, tmp_path):
    toy_model("first")
    shown = cli("compare", "first", "first", "--data", annotation_folder())
    assert shown.status == 2
    assert "at least two models" in shown.err
    copy = shutil.copytree(ModelLibrary().get("first").folder, tmp_path / "first")
    same = cli("compare", "first", copy, "--data", annotation_folder("same"))
    assert (same.status, same.error) == (
        1,
        "Two of these models are named 'first', so they cannot be distinguished. Rename one.",
    )
    assert cli("compare", "first", "unknown", "--data", annotation_folder("other")).status == 1


def test_the_report_of_a_model_is_opened(toy_model, cli, monkeypatch):
    model, opened = toy_model("first"), []
    monkeypatch.setattr("typer.launch", opened.append)
    assert "has no report" in cli("report", "first").error
    page = model.folder / "report.html"
    page.write_text("<html>")
    assert "has no report" in cli("report", "first").error  # somebody has put it there
    write_card(model.folder, model.card.replace(files={**model.card.files, "report.html": "0" * 64}))
    shown = cli("report", "first")
    assert (shown.status, shown.out, opened) == (0, f"Report: {page}\n", [page.as_uri()])
    assert lines(cli("report", "first", "--json").out) == [{"report": str(page)}]
    assert len(opened) == 1


def test_segment_names_a_setting_that_the_engine_does_not_have(toy_model, annotation_folder, cli, tmp_path):
    toy_model("bright", channels=("dapi",))
    image = annotation_folder() / "cell_00.tif"
    refused = cli("segment", "bright", image, "--output", tmp_path / "out", "--set", "brightness=2")
    assert refused.status == 1
    assert "brightness" in refused.error


def test_segment_opens_a_model_by_its_folder(toy_model, annotation_folder, cli, tmp_path, monkeypatch):
    model = toy_model(channels=("nuclei",))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "empty"))
    image = annotation_folder(images=1, channels=("dapi", "gfp")) / "cell_00.tif"
    words = ["segment", model.folder, image, "--output", tmp_path / "out"]
    assert "no channel 'nuclei'" in cli(*words).error
    assert "16 objects" in cli(*words, "--channel", 0).out


def test_evaluate_tells_each_image_and_all_together(toy_model, annotation_folder, cli):
    toy_model()
    folder = annotation_folder(images=2)
    shown = cli("evaluate", "bright", folder)
    assert (shown.status, shown.err) == (0, "")
    assert [line.split() for line in shown.out.splitlines() if line.startswith("cell_")] == [
        ["cell_00", "16", "16", "1.00", "1.00", "1.00"],
        ["cell_01", "16", "16", "1.00", "1.00", "1.00"],
    ]
    assert "All 2 images together" in shown.out
    assert ["0.5", "1.000", "1.000", "1.000", "1.000", "1.000"] in [line.split() for line in shown.out.splitlines()]
    (answer,) = lines(cli("evaluate", "bright", folder, "--json").out)
    assert answer["pooled"]["ap50"] == answer["mean"]["f1_90"] == 1
    assert [image["image"] for image in answer["images"]] == ["cell_00", "cell_01"]


def test_what_cannot_be_scored_is_told_in_the_end(toy_model, annotation_folder, cli):
    toy_model("first")
    toy_model("second")
    folder = annotation_folder(images=3)
    (folder / "cell_01.tif").write_bytes(b"II*\0")
    shown = cli("evaluate", "first", folder)
    assert shown.status == 1
    assert "All 2 images together" in shown.out
    assert "cell_01.tif" in shown.error
    both = cli("compare", "first", "second", "--data", folder, "--json")
    assert both.status == 1
    assert "cell_01.tif" in both.error
    assert len(lines(both.out)) == 1
    for name in ("cell_00.tif", "cell_02.tif"):
        (folder / name).write_bytes(b"II*\0")
    none = cli("evaluate", "first", folder)
    assert (none.status, none.out) == (1, "")
    assert len(none.err.splitlines()) == 3
    assert "cell_00.tif" in cli("compare", "first", "second", "--data", folder).error


def test_evaluate_on_other_channels(toy_model, annotation_folder, cli):
    toy_model()
    folder = annotation_folder(images=1, channels=("red", "green"))
    assert "no channel 'dapi'" in cli("evaluate", "bright", folder).error
    (answer,) = lines(cli("evaluate", "bright", folder, "--channel", "green", "--json").out)
    assert answer["pooled"]["ap50"] == 0


# everything once


def test_the_demonstration_trains_segments_and_reports(home, toy, undrawn, cli, tmp_path):
    shown = cli("demo", "--engine", toy, "--epochs", 1, "--output", tmp_path / "out")
    assert (shown.status, shown.err) == (0, "")
    assert "All 8 images together" in shown.out
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(list((tmp_path / "out").glob("*_labelled.tif"))) == 8
    assert ModelLibrary().names() == ["demo-nuclei"]
    assert "1. Segmenting" not in shown.out  # this engine has no starter


@pytest.mark.slow
def test_the_demonstration_begins_with_a_starter_and_compares(home, undrawn, cli, tmp_path):
    shown = cli("demo", "--epochs", 1, "--output", tmp_path / "out")
    assert (shown.status, shown.err) == (0, "")
    steps = [line for line in shown.out.splitlines() if line[:3] in ("1. ", "2. ", "3. ", "4. ")]
    assert steps[0].startswith("1. Segmenting images of nuclei with nuclei_fluorescence")
    assert [step[:2] for step in steps] == ["1.", "2.", "3.", "4."]
    assert "Note: Starts from nuclei_fluorescence, which finds " in shown.out
    assert "the starter 'nuclei_fluorescence'" in shown.out.replace("\n", " ")
    assert ModelLibrary().get("demo-nuclei").card.parent == "nuclei_fluorescence"


def test_a_stardist_model_segments_from_the_command(stardist_training, command, tmp_path):
    """In a process of its own: what StarDist and TensorFlow print must not get among the JSON."""
    images = sorted(path for path in stardist_training.data.glob("*.tif") if "labelled" not in path.name)
    out = tmp_path / "out"
    done = subprocess.run(
        command("segment", stardist_training.model.folder, *images, "--output", out, "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = lines(done.stdout)
    assert [answer["image"] for answer in answers] == [str(image) for image in images]
    for image in images:
        truth = tifffile.imread(image.with_name(f"{image.stem}_labelled.tif"))
        (matching,) = match(truth, tifffile.imread(out / f"{image.stem}_labelled.tif"), (0.5,))
        assert matching.f1 > 0.7


def test_suggest_names_images_without_labels(cli, toy_model, annotation_folder, tmp_path):
    toy_model()
    annotated = annotation_folder(images=3)
    (annotated / "cell_00_labelled.tif").unlink()
    told = cli("suggest", "bright", annotated)
    assert told.status == 0
    assert "cell_00.tif" in told.out
    assert "cell_01.tif" not in told.out
    broken = annotated / "broken.tif"
    broken.write_bytes(b"II*\0")
    images = [annotated / f"cell_0{number}.tif" for number in range(3)]
    told = cli("suggest", "bright", *images, broken, "--most", "2", "--json")
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [(row["objects"], row["unsure"]) for row in rows] == [(16, 0.0), (16, 0.0)]
    assert "broken.tif" in told.err
    assert cli("suggest", "bright", broken).status == 1
    assert "no image" in cli("suggest", "bright", tmp_path / "missing").error
    assert cli("suggest", "bright", annotated, "--most", "0").status == 2


def test_what_the_model_was_trained_on_is_not_suggested(toy, annotation_folder, cli, home, tmp_path):
    folder = annotation_folder()
    assert cli("train", "--data", folder, "--name", "nuclei", "--engine", "toy", "--epochs", "1").status == 0
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(folder / "cell_00.tif", raw)
    told = cli("suggest", "nuclei", raw, "--channel", "0")
    assert (told.status, "annotated already" in told.error) == (1, True)
    shutil.copy(folder / "cell_00.tif", raw / "new.tif")
    told = cli("suggest", "nuclei", raw, "--channel", "0", "--json")
    assert [json.loads(line)["image"] for line in told.out.splitlines()] == [str(raw / "new.tif")]
    assert "cell_00" in cli("suggest", "nuclei", raw, "--channel", "0", "--whole-images").out


def test_a_name_with_spaces_is_quoted_where_a_command_is_proposed(
    toy, annotation_folder, cli, home, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = cli("train", "--data", annotation_folder(), "--name", "my cells 2", "--engine", "toy", "--epochs", "1")
    assert done.status == 0
    quoted = shlex.join(["my cells 2"]) if os.name != "nt" else subprocess.list2cmdline(["my cells 2"])
    assert f"Use it: napari-seg-trainer segment {quoted} IMAGE.tif --output segmented" in done.out.replace("\n", " ")
    assert cli("models").out.split("\n")[1].startswith("my cells 2 ")
    assert cli("export-model", "my cells 2").status == 0


def test_an_impossible_name_is_said_in_one_sentence(annotation_folder, cli, home):
    done = cli("train", "--data", annotation_folder(), "--name", " lead", "--epochs", "1")
    assert done.status == 1
    assert done.err.strip().endswith("or ends with '.' or a space.")
