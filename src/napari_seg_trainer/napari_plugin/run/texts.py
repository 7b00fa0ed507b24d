"""What is said of a run, in plain words."""

from collections.abc import Sequence

from napari_seg_trainer.runs.summaries import how_stopped
from napari_seg_trainer.schema.events import Evaluated, Finished, Progress, Stopped

MANY = 10_000
"""Items, such as bytes, that are shown in percent."""


def stage_text(event: Progress) -> str:
    """Return what is being done, such as ``reading images 3 of 24``."""
    if event.epoch is not None:
        return f"step {event.done} of {event.total}"
    if event.total <= 1:
        return f"{event.stage}…"
    if event.total >= MANY:
        return f"{event.stage} {event.done / event.total:.0%}"
    return f"{event.stage} {event.done} of {event.total}"


def success_text(event: Finished | Stopped) -> str:
    """Return how a run ended that did not fail."""
    if isinstance(event, Finished):
        return f"Finished: model '{event.model}' is in the library. Best epoch {event.best_epoch}."
    if event.model is None:
        return f"{how_stopped(event)} No model was created."
    return f"{how_stopped(event)} Model '{event.model}' is in the library. Best epoch {event.best_epoch}."


def interrupted_text(last_epoch: int) -> str:
    """Return what happened to a run that never said its last word, and what to do."""
    if not last_epoch:
        return "Interrupted: its process ended unexpectedly. Resume restarts the training from the beginning."
    return (
        f"Interrupted: its process ended unexpectedly. Its weights are saved: Resume continues after epoch "
        f"{last_epoch}. "
        "'Keep the best so far' makes a model from them."
    )


def scores_text(
    event: Evaluated, verdict: Sequence[str] = (), interim: Sequence[str] = (), *, is_final: bool = False
) -> str:
    """Return scores in plain words, or the rest of a verdict and the numbers; then what was said in the middle."""
    scores = event.scores
    parts = [f"Epoch {event.epoch}:"] if event.epoch is not None else []
    if is_final:
        parts += verdict
    elif scores.get("recall50") == 0:
        parts.append("Finds none of the objects.")
    elif "recall50" in scores and "precision50" in scores:
        parts.append(
            f"Finds {100 * scores['recall50']:.0f} of 100 objects; "
            f"{100 - 100 * scores['precision50']:.0f} of 100 detections are false."
        )
    named = [f"{name} {scores[key]:.2f}" for key, name in (("f1_50", "F1"), ("ap50", "AP")) if key in scores]
    if named:
        images = "1 validation image" if event.images == 1 else f"{event.images} validation images"
        parts.append(f"{', '.join(named)} at IoU 0.5, on {images}.")
    return ("\n" if is_final else " ").join([*parts, *interim])
