"""What a script can do; each function is what a command does.

>>> from napari_seg_trainer import train, segment
>>> run = train("annotations_nuclei", name="my-nuclei", engine="stardist", epochs=50)  # doctest: +SKIP
>>> labels = segment("my-nuclei", image)  # doctest: +SKIP
"""

from napari_seg_trainer.api.arguments import StrPath
from napari_seg_trainer.api.scoring import SideBySide, compare, compared, evaluate, score_pairs, scored
from napari_seg_trainer.api.training import make_job, read_job, train, wait_for
from napari_seg_trainer.api.using import load_annotations, looked_at, segment, suggest

__all__ = [
    "SideBySide",
    "StrPath",
    "compare",
    "compared",
    "evaluate",
    "load_annotations",
    "looked_at",
    "make_job",
    "read_job",
    "score_pairs",
    "scored",
    "segment",
    "suggest",
    "train",
    "wait_for",
]
