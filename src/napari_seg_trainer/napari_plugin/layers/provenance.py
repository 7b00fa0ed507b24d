"""Which model has found the labels of a layer."""

from napari.layers import Labels

PROVENANCE = "napari-seg-trainer"
"""Key in a Labels layer's metadata for how it was made."""


def model_of(labels: Labels) -> str:
    """Return the name of the model that has found a layer's labels; empty if none has."""
    made = labels.metadata.get(PROVENANCE)
    return str(made.get("model", "")) if isinstance(made, dict) else ""
