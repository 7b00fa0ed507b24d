"""``python -m napari_seg_trainer`` is the command ``napari-seg-trainer``."""

from napari_seg_trainer.cli import main

if __name__ == "__main__":
    main()
