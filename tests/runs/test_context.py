import errno
import math
import os

import pytest

from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs import context as contexts
from napari_seg_trainer.runs.checkpoint import epoch_folder, read_state
from napari_seg_trainer.runs.context import Cancelled, RunContext
from napari_seg_trainer.schema.events import EpochEnded, Log, Progress, Started
from napari_seg_trainer.schema.job import Hyperparameters
from testkit.clock import Clock

NAN = math.nan


def begin(run, **parameters):
    context = RunContext(run, 4, 1)
    context.start(
        Hyperparameters(**({"epochs": 100, "learning_rate": 3e-4} | parameters)), steps_per_epoch=2, device="CPU"
    )
    return context


def end(context, epoch, loss):
    """End an epoch whose weights are a file that holds its number."""
    return context.end_epoch(epoch, {"loss": loss, "val_loss": loss}, save(str(epoch)))


def save(text):
    """What writes a text in place of weights."""
    return lambda folder: (folder / "weights").write_text(text)


def kept(run):
    """The epochs that the checkpoint folder holds, by folder."""
    return {path.parent.name: path.read_text() for path in run.checkpoint_folder.glob("*/weights")}


def epochs(run):
    return [event for event in run.events() if isinstance(event, EpochEnded)]


def test_a_start_is_told(make_run):
    run = make_run()
    begin(run, epochs=9)
    (started,) = run.events()
    assert isinstance(started, Started)
    assert (started.epoch, started.epochs, started.steps_per_epoch) == (1, 9, 2)
    assert (started.training_images, started.validation_images, started.device) == (4, 1, "CPU")


@pytest.mark.parametrize(
    ("losses", "best", "marked"),
    [
        ([3, 2, 1], 3, [True, True, True]),
        ([1, 2, 3], 1, [True, False, False]),
        ([2, 1, 1], 2, [True, True, False]),
    ],
)
def test_the_best_epoch_is_the_one_with_the_lowest_loss(make_run, losses, best, marked):
    run = make_run()
    context = begin(run)
    for epoch, loss in enumerate(losses, 1):
        assert end(context, epoch, loss)
    assert context.best_epoch == best
    assert context.last_epoch == len(losses)
    assert [event.is_best for event in epochs(run)] == marked
    bests = [epoch for epoch, is_best in enumerate(marked, 1) if is_best]
    needed = {len(losses), *(bests[-2:] if best == len(losses) else bests[-1:])}
    assert kept(run) == {f"epoch_{epoch:05}": str(epoch) for epoch in needed}


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([(3, 3), (2, NAN)], "the validation loss of epoch 2 is not a number"),
        ([(3, 3), (NAN, 2)], "the training loss of epoch 2 is not a number"),
        ([(3, 3), (2, 2), (math.inf, 2)], "the training loss of epoch 3 is not a number"),
        ([(3, 3), (2, 2), (3001, 4)], "the training loss of epoch 3 is 3e+03, that of the first was 3"),
        ([(NAN, NAN)], "the training loss of epoch 1 is not a number"),
    ],
)
def test_losses_that_make_no_sense_end_the_training_and_the_epochs_before_count(make_run, losses, told):
    run = make_run()
    context = begin(run)
    last = len(losses)
    for epoch, (loss, val_loss) in enumerate(losses, 1):
        going_on = context.end_epoch(epoch, {"loss": loss, "val_loss": val_loss}, save(str(epoch)))
        assert going_on == (epoch < last)
    assert context.diverged.startswith(f"{told}; train with a learning rate below ")
    assert context.last_epoch == len(epochs(run)) == last - 1
    assert context.best_epoch == (last - 1 or None)
    assert [event.message for event in run.events() if isinstance(event, Log)] == [
        f"The training stops: {context.diverged}."
    ]
    again = begin(run)
    assert (again.first_epoch, again.diverged) == (last, "")


def test_a_loss_may_rise_for_a_while(make_run):
    context = begin(make_run())
    for epoch, loss in enumerate((0.0, 5e-4, 3.0e-4), 1):
        assert context.end_epoch(epoch, {"loss": loss, "val_loss": loss}, save(str(epoch)))


def test_only_the_best_epoch_and_another_late_one_are_kept_at_any_time(make_run):
    run = make_run()
    context = begin(run)
    history = []
    for epoch, loss in enumerate([5, 4, 6, 7, 3, 8], 1):
        end(context, epoch, loss)
        history.append(sorted(int(text) for text in kept(run).values()))
    assert history == [[1], [1, 2], [2, 3], [2, 4], [2, 5], [5, 6]]
    assert sorted(os.listdir(run.checkpoint_folder)) == ["epoch_00005", "epoch_00006", "state.json"]


@pytest.mark.parametrize(
    ("losses", "patience", "ended"),
    [
        ([5, 4, 3, 3, 3, 3, 3], 3, 6),
        ([1, 2, 3, 0.5, 4, 4, 4, 4], 3, 7),
        ([5, 5, 5], 1, 2),
        ([4, 3, 2, 1], 2, None),
        ([5, 5, 5, 5], None, None),
    ],
)
def test_early_stopping(make_run, losses, patience, ended):
    context = begin(make_run(), early_stopping=patience)
    answers = [end(context, epoch, loss) for epoch, loss in enumerate(losses, 1)]
    assert (answers.index(False) + 1 if False in answers else None) == ended
    assert context.early_stop == (ended is not None)


def test_the_learning_rate_stays_and_then_falls(make_run):
    run = make_run()
    context = begin(run, epochs=10, learning_rate=0.1)
    rates = [context.learning_rate(epoch) for epoch in range(1, 12)]
    assert rates[:6] == [0.1] * 6
    assert rates[6:] == pytest.approx([0.08, 0.06, 0.04, 0.02, 0])
    end(context, 1, 1.0)
    end(context, 2, 1.0)
    assert [event.learning_rate for event in epochs(run)] == rates[:2]


@pytest.fixture
def clock(monkeypatch):
    """The context's time goes on when the test says so."""
    made = Clock()
    monkeypatch.setattr(contexts, "time", made)
    return made


def test_the_time_left_is_not_told_before_the_second_epoch(make_run, clock):
    run = make_run()
    context = begin(run, epochs=4)
    for epoch in range(1, 5):
        clock.sleep(20)
        end(context, epoch, 1 / epoch)
    assert [event.seconds_left for event in epochs(run)] == [None, 40, 20, 0]
    assert [event.seconds for event in epochs(run)] == [20] * 4


def test_steps_are_told_now_and_then_and_the_time_left_within_the_epoch(make_run, clock):
    run = make_run()
    context = begin(run, epochs=4)
    for epoch in (1, 2, 3):
        clock.sleep(5)
        assert context.end_step(epoch, 1, 4)
        assert context.end_step(epoch, 2, 4)  # in the same moment
        clock.sleep(15)
        end(context, epoch, 1.0)
    told = [event for event in run.events() if isinstance(event, Progress)]
    assert [(event.epoch, event.done, event.total) for event in told] == [(1, 1, 4), (2, 1, 4), (3, 1, 4)]
    assert [event.seconds_left for event in told] == [None, None, 35]


def test_a_thousand_quick_steps_are_not_a_thousand_events(make_run):
    run = make_run()
    context = begin(run)
    for step in range(1, 1001):
        context.end_step(1, step, 1001)
        context.progress("reading images", step, 1001)
    assert len(run.events()) < 20


def test_a_stop_is_heard_at_the_next_step_and_epoch(make_run):
    run = make_run()
    context = begin(run)
    assert context.end_step(1, 1, 2)
    run.request_stop()
    assert not context.end_step(1, 2, 2)
    assert not end(context, 1, 1.0)
    assert kept(run) == {"epoch_00001": "1"}


def test_a_cancelled_training_ends_at_its_next_word_and_keeps_whole_epochs(make_run):
    run = make_run()
    context = begin(run)
    end(context, 1, 1.0)
    run.request_stop(keep=False)
    for word in (lambda: context.end_step(2, 1, 2), lambda: context.progress("scoring", 1, 2)):
        with pytest.raises(Cancelled):
            word()
    assert kept(run) == {"epoch_00001": "1"}
    assert [event.epoch for event in epochs(run)] == [1]


def test_a_word_to_the_user_is_an_event(make_run):
    run = make_run()
    RunContext(run, 0, 0).log("Small images.", "warning")
    (said,) = run.events()
    assert isinstance(said, Log)
    assert (said.level, said.message) == ("warning", "Small images.")


def full_disk(folder):
    (folder / "half").write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_weights_of_earlier_epochs(make_run):
    run = make_run()
    context = begin(run)
    end(context, 1, 1.0)
    end(context, 2, 2.0)
    with pytest.raises(RunError, match="Epoch 3 cannot be saved") as error:
        context.end_epoch(3, {"loss": 0.0, "val_loss": 0.0}, full_disk)
    assert os.strerror(errno.ENOSPC) in str(error.value)
    assert kept(run) == {"epoch_00001": "1", "epoch_00002": "2"}
    assert not list(run.checkpoint_folder.rglob("half"))
    assert [event.epoch for event in epochs(run)] == [1, 2]
    again = RunContext(run, 4, 1)
    assert (again.best_epoch, again.first_epoch, again.checkpoint) == (1, 3, epoch_folder(run, 2))


def test_a_run_goes_on_after_its_last_checkpoint(make_run):
    run = make_run()
    context = begin(run, epochs=5)
    for epoch, loss in enumerate([4, 1, 3], 1):
        end(context, epoch, loss)
    later = begin(run, epochs=5)
    assert (later.first_epoch, later.checkpoint) == (4, epoch_folder(run, 3))
    assert run.events()[-1].epoch == 4
    assert not end_is_best(later, run, 4, 2)
    assert end_is_best(later, run, 5, 0.5)
    assert later.best_epoch == 5


def end_is_best(context, run, epoch, loss):
    end(context, epoch, loss)
    return epochs(run)[-1].is_best


def test_what_a_killed_process_left_half_written_is_overwritten(make_run):
    run = make_run()
    context = begin(run)
    end(context, 1, 1.0)
    for name in (".epoch_00002", "epoch_00002"):  # killed while saving, and before the epoch counted
        (run.checkpoint_folder / name).mkdir()
        (run.checkpoint_folder / name / "old").touch()
    later = begin(run)
    assert later.first_epoch == 2
    end(later, 2, 0.5)
    assert kept(run) == {"epoch_00001": "1", "epoch_00002": "2"}
    assert not list(run.checkpoint_folder.rglob("old"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"best_epoch": 1}'])
def test_a_broken_checkpoint_is_an_error_for_the_user(make_run, content):
    run = make_run()
    run.checkpoint_folder.mkdir()
    (run.checkpoint_folder / "state.json").write_text(content)
    with pytest.raises(RunError, match="Start a new training"):
        RunContext(run, 4, 1)


def test_without_a_checkpoint_there_is_no_state(make_run):
    assert read_state(make_run()) is None
