import pytest
from pydantic import ValidationError

from napari_seg_trainer.schema.job import ChannelInput, Hyperparameters, Normalization, TrainingJob

JOB = {"name": "nuclei", "engine": "stardist", "data": ["annotations_nuclei"]}
NAN, INF = float("nan"), float("inf")


def test_a_job_survives_json():
    job = TrainingJob.model_validate(
        JOB
        | {
            "builtin": ["nuclei_dsb2018"],
            "validation_data": ["more"],
            "channels": [
                {"name": "dapi", "normalization": {"mode": "values", "low": 0, "high": 4000, "clip": True}},
                {"name": "channel 1", "index": 1},
            ],
            "pixel_size": 0.325,
            "seed": 7,
            "pretrained": "2D_versatile_fluo",
            "hyperparameters": {"epochs": 5, "rays": None, "note": "text", "weights": [1.5, 2]},
        }
    )
    assert TrainingJob.model_validate_json(job.model_dump_json(indent=2)) == job


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": []}, "has no data"),
        ({"name": "a/b"}, "'/' is not allowed"),
        ({"name": ""}, "empty"),
        ({"name": None}, "name"),
        ({"engine": None}, "engine"),
        ({"pixel_size": 0}, "pixel_size"),
        ({"pixel_size": -0.5}, "pixel_size"),
        ({"pixel_size": NAN}, "pixel_size"),
        ({"pixel_size": INF}, "pixel_size"),
        ({"validation_split": 0}, "validation_split"),
        ({"validation_split": 1}, "validation_split"),
        ({"validation_split": NAN}, "validation_split"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"channels": [{"name": ""}]}, "name"),
        ({"channels": [{"name": "dapi", "index": -1}]}, "index"),
        ({"channels": [{"name": "dapi"}, {"name": "dapi"}]}, "'dapi' is given twice"),
        ({"channels": "dapi"}, "channels"),
        ({"version": 2}, "version"),
        ({"epochs": 5}, "epochs"),
    ],
)
def test_an_impossible_job_is_refused(changes, told):
    with pytest.raises(ValidationError) as error:
        TrainingJob.model_validate(JOB | changes)
    assert told in str(error.value)


def test_builtin_data_is_enough():
    assert TrainingJob(name="nuclei", engine="stardist", builtin=("nuclei_dsb2018",)).data == ()


def test_one_channel_may_come_twice_under_two_names():
    twice = (ChannelInput(name="a", index=0), ChannelInput(name="b", index=0))
    assert TrainingJob.model_validate(JOB | {"channels": twice}).channels == twice


def test_jobs_do_not_share_their_defaults():
    first, second = (TrainingJob.model_validate(JOB) for _ in range(2))
    assert first.hyperparameters is not second.hyperparameters


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"low": 50, "high": 50}, "smaller than"),
        ({"low": 99, "high": 1}, "smaller than"),
        ({"low": -1}, "0 to 100"),
        ({"high": 100.5}, "0 to 100"),
        ({"low": NAN}, "low"),
        ({"mode": "values", "high": INF}, "high"),
        ({"mode": "values", "low": 10, "high": 5}, "smaller than"),
        ({"mode": "minmax"}, "mode"),
    ],
)
def test_impossible_normalizations(fields, told):
    with pytest.raises(ValidationError) as error:
        Normalization.model_validate(fields)
    assert told in str(error.value)


def test_values_may_be_any_intensities():
    assert Normalization(mode="values", low=-5.5, high=1e6).high == 1e6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", -3),
        ("epochs", 1.5),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("learning_rate", NAN),
        ("learning_rate", INF),
        ("augmentation", 0.5),
        ("augmentation", 101),
        ("augmentation", NAN),
        ("early_stopping", 0),
    ],
)
def test_impossible_hyperparameters(name, value):
    with pytest.raises(ValidationError, match=name):
        Hyperparameters.model_validate({name: value})


def test_every_hyperparameter_is_explained_in_the_form():
    assert all(field.title and field.description for field in Hyperparameters.model_fields.values())
