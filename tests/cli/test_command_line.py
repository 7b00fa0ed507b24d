"""A job becomes a command, and the command becomes the same job."""

import os
import shlex
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seg_trainer.api import make_job
from napari_seg_trainer.cli.app import app
from napari_seg_trainer.cli.command_line import command_line
from napari_seg_trainer.schema.job import TrainingJob

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the quoting there cannot be undone with shlex")

DATA = Path("/data/annotations_nuclei")
STARDIST = {"name": "nuclei", "engine": "stardist", "data": [DATA]}


@pytest.fixture
def parsed(home, toy, tmp_path, monkeypatch):
    """Return the job that the real command makes of a command line."""
    monkeypatch.chdir(tmp_path)

    def parse(line):
        program, *words = shlex.split(line)
        assert program == "napari-seg-trainer"
        app([*words, "--dry-run"], standalone_mode=False)
        (written,) = tmp_path.glob("*.job.json")
        job = TrainingJob.model_validate_json(written.read_bytes())
        written.unlink()
        return job

    return parse


def test_a_job_of_defaults_is_short():
    assert command_line(make_job(**STARDIST)) == f"napari-seg-trainer train --name nuclei --data {DATA}"


def test_a_command_reads_well():
    job = make_job(
        **STARDIST | {"builtin": ["nuclei_dsb2018"]},
        channels=[{"name": "dapi", "normalization": {"mode": "values", "low": 0, "high": 4000, "clip": True}}],
        pixel_size=0.325,
        seed=3,
        hyperparameters={"epochs": 50, "learning_rate": 0.001, "rays": 64},
    )
    assert command_line(job) == (
        f"napari-seg-trainer train --name nuclei --data {DATA} --builtin nuclei_dsb2018 --channel dapi "
        "--normalization values:0.0,4000.0,clip --pixel-size 0.325 --seed 3 --epochs 50 --learning-rate 0.001 "
        "--set rays=64"
    )


def channels(*fields):
    return {"channels": [{"name": f"channel-{i}"} | given for i, given in enumerate(fields)]}


VALUES = {"mode": "values", "low": -5, "high": 1e-9}
JOBS = {
    "defaults": {},
    "all fields": {
        "data": [DATA, "/data/with space"],
        "builtin": ["nuclei_dsb2018"],
        "validation_data": ["/data/-validation", "/data/it's \"quoted\" $HOME `x` \\ *"],
        "channels": [{"name": "DAPI (blue)"}],
        "pixel_size": 0.1 + 0.2,
        "validation_split": 1e-05,
        "seed": 2**32 - 1,
        "pretrained": "2D_versatile_fluo",
        "learning_curve": True,
        "hyperparameters": {"epochs": 7, "rays": 64, "batch_size": 1},
    },
    "only built-in": {"data": [], "builtin": ["nuclei_dsb2018"]},
    "a name like a number": channels({"name": "0"}),
    "a number": channels({"name": "channel 3", "index": 3}),
    "a number with a name": channels({"name": "dapi", "index": 3}, {"name": "0", "index": 0}),
    "a number with the name of another": channels({"name": "channel 1", "index": 0}, {"name": "channel 0", "index": 1}),
    "names with colons": channels(*[{"name": name} for name in (":", "1:a", ":b", "c:", "1:")]),
    "a number with a name of colons": channels({"name": "::", "index": 1}),
    "names of dashes and blanks": channels(*[{"name": name} for name in ("-", "--epochs", " ", "\n")]),
    "other names": channels({"other_names": ["hoechst"]}, {"name": "0", "other_names": ["1", "a:b"]}),
    "names with signs": channels(*[{"name": n, "other_names": [n + "="]} for n in ("=", "a=b", '"', 'a"b', "a\nb")]),
    "names in other scripts": channels({"name": "核"}, {"name": "٣"}, {"name": "²"}),
    "one normalization for all": channels({"normalization": VALUES}, {"normalization": VALUES}),
    "a normalization for each": channels({"normalization": VALUES}, {}, {"normalization": {"low": 0, "clip": True}}),
    "pretrained is a dash": {"pretrained": "-x"},
    "pretrained is nothing": {"pretrained": ""},
    "None": {"hyperparameters": {"early_stopping": None, "rays": None}},
    "text for a number": {"hyperparameters": {"epochs": "5", "batch_size": 4.0}},
    "whole numbers for fractions": {"hyperparameters": {"learning_rate": 1, "augmentation": 2}},
    "the defaults, given": {"hyperparameters": {"epochs": 100, "augmentation": 2.0}, "seed": 0},
    "values of another engine": {
        "engine": "toy",
        "hyperparameters": {"losses": [1, 2.5, 3e-300], "failure": "a=b 'c' \"d\"", "seconds": 0},
    },
    "texts like JSON": {"engine": "toy", "hyperparameters": {"failure": "[1, 2]"}},
    "texts like numbers": {"engine": "toy", "hyperparameters": {"failure": " 5"}},
    "texts of nothing": {"engine": "toy", "hyperparameters": {"failure": ""}},
    "texts of control characters": {"engine": "toy", "hyperparameters": {"failure": "a\0\n\t"}},
}  # fmt: skip


@pytest.mark.parametrize("fields", JOBS.values(), ids=JOBS)
def test_a_command_makes_the_same_job(parsed, fields):
    job = make_job(**STARDIST | fields)
    assert parsed(command_line(job)) == job


def test_a_relative_folder_is_named_wholly(parsed, tmp_path):
    assert parsed(command_line(make_job(**STARDIST | {"data": ["here"]}))).data == (tmp_path / "here",)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12)
FRACTIONS = st.floats(1e-300, 1e300)
NORMALIZATIONS = st.one_of(
    st.tuples(st.floats(0, 49), st.floats(50, 100)).map(lambda p: {"low": p[0], "high": p[1]}),
    st.tuples(st.floats(-1e300, 0), FRACTIONS, st.booleans()).map(
        lambda p: {"mode": "values", "low": p[0], "high": p[1], "clip": p[2]}
    ),
)
CHANNEL = st.fixed_dictionaries(
    {"name": WORDS}, optional={"index": st.integers(0, 99), "normalization": NORMALIZATIONS}
) | st.fixed_dictionaries({"name": WORDS, "other_names": st.lists(WORDS, min_size=1, max_size=2)})
CHANNELS = st.lists(CHANNEL, max_size=3).filter(
    lambda channels: (
        len(names := [n for each in channels for n in (each["name"], *each.get("other_names", ()))]) == len(set(names))
    )
)
FIELDS = st.fixed_dictionaries(
    {
        "name": st.text(string.ascii_letters, min_size=4, max_size=9),
        "data": st.lists(WORDS.map("/{}".format), min_size=1, max_size=3),
    },
    optional={
        "builtin": st.lists(WORDS, max_size=2),
        "validation_data": st.lists(WORDS.map("/{}".format), max_size=2),
        "channels": CHANNELS,
        "pixel_size": FRACTIONS,
        "validation_split": st.floats(1e-9, 0.999),
        "seed": st.integers(0, 2**32 - 1),
        "pretrained": WORDS,
        "hyperparameters": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.integers(1, 10**6),
                "batch_size": st.integers(1, 64) | st.integers(1, 64).map(str),
                "learning_rate": st.floats(1e-300, 100),
                "early_stopping": st.none() | st.integers(1, 99),
                "failure": st.text(max_size=12),
                "losses": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
            },
        ),
    },
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FIELDS)
def test_any_job_survives(parsed, fields):
    job = make_job(engine="toy", **fields)
    assert parsed(command_line(job)) == job
