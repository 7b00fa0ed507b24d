"""The folders that layers were opened from."""

from pathlib import Path

from napari.layers import Layer

PREFIX = "annotations_"
"""Before the population in the name of an annotation folder, as Celldetective has it."""
FOLDER = "annotation folder"
"""Key in a layer's metadata for the folder that the layer was opened from."""


def source_folder(layer: Layer) -> Path | None:
    """Return the folder that a layer was opened from: that of its file, or the annotation folder."""
    opened = layer.metadata.get(FOLDER) or layer.source.path
    if not opened or layer.source.sample:
        return None
    path = Path(opened)
    folder = path if path.is_dir() and (FOLDER in layer.metadata or path.name.startswith(PREFIX)) else path.parent
    return folder if folder.is_absolute() and folder.is_dir() else None
