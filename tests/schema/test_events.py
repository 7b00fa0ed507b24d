import json
import math
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from napari_seg_trainer.schema.events import (
    TERMINAL_EVENTS,
    EpochEnded,
    Evaluated,
    Failed,
    Finished,
    Log,
    Progress,
    Started,
    Stopped,
    parse_event,
)

EVENTS = (
    Started(epochs=10, steps_per_epoch=5, training_images=8, validation_images=2, device="CPU"),
    Started(epoch=4, epochs=10, steps_per_epoch=5, training_images=8, validation_images=2),
    Progress(stage="training", done=1, total=5, epoch=1, seconds_left=3.5),
    Progress(stage="reading images", done=0, total=0),
    EpochEnded(
        epoch=1, metrics={"loss": 0.5, "val_loss": 0.25}, learning_rate=3e-4, is_best=True, seconds=1.5, seconds_left=9
    ),
    EpochEnded(
        epoch=2, metrics={"loss": math.inf, "val_loss": -math.inf}, learning_rate=3e-4, is_best=False, seconds=1.5
    ),
    Evaluated(dataset="validation", images=2, scores={"ap50": 0.75}),
    Log(message="Zellkerne größer als 10 µm\n\u2028second line", level="warning"),
    Finished(model="nuclei", best_epoch=7),
    Stopped(reason="stopped by the user", model=None, best_epoch=None),
    Failed(message="Image 'a.tif' is missing."),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_is_one_line_and_comes_back_as_it_was(event):
    line = event.model_dump_json()
    assert len(line.splitlines()) == 1 or "\u2028" in line
    assert b"\n" not in line.encode()
    assert parse_event(line.encode()) == event


def test_losses_that_are_no_numbers_come_back():
    event = EpochEnded(
        epoch=1, metrics={"loss": math.nan, "val_loss": math.nan}, learning_rate=1, is_best=False, seconds=1
    )
    back = parse_event(event.model_dump_json())
    assert math.isnan(back.metrics["val_loss"])
    assert math.isnan(json.loads(event.model_dump_json())["metrics"]["loss"])


def test_an_event_knows_its_time_with_its_zone():
    before = datetime.now(UTC)
    event = parse_event(Log(message="now").model_dump_json())
    assert before <= event.time <= datetime.now(UTC)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "null",
        "[]",
        '{"type": "unheard-of"}',
        '{"type": "failed"}',
        '{"type": "failed", "message": "x", "more": 1}',
        '{"type": "failed", "message": "x", "time": "2026-01-02T03:04:05"}',
        '{"type": "failed", "mess',
    ],
)
def test_what_is_no_event_is_refused(line):
    with pytest.raises(ValidationError):
        parse_event(line)


def test_three_events_can_be_the_last():
    assert {event.type for event in EVENTS if isinstance(event, TERMINAL_EVENTS)} == {"finished", "stopped", "failed"}
