"""Where the documentation explains what is said."""

SITE = "https://napari-seg-trainer.github.io/napari-seg-trainer"
VERDICT = f"{SITE}/how-good/"
"""What the sentences of a verdict mean, and what to do."""
