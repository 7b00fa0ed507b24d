"""A model's report: the page that its training wrote, or one that is made anew for a model from elsewhere.

A page from elsewhere may hold a script, so it is not taken in; what it shows travels as numbers.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from napari_seg_trainer.engines.foreign import read_description
from napari_seg_trainer.engines.registry import engine_specs
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.evaluation.report import DATA_FILE, EXAMPLES_FILE, PAGE_FILE, ReportData, page_anew
from napari_seg_trainer.files import read_bytes, write_bytes
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.paths import cache_folder

MOST_PICTURE_BYTES = 64 << 20
_PNG = b"\x89PNG\r\n\x1a\n"


def has_report(model: LibraryModel) -> bool:
    """Whether there is something to report."""
    return PAGE_FILE in model.card.files or bool(model.card.scores) or (model.folder / DATA_FILE).is_file()


def report_of(model: LibraryModel) -> Path:
    """Return a model's report, an HTML page.

    Raises
    ------
    LibraryError
        If it has none, or the cache cannot be written.
    """
    own = model.folder / PAGE_FILE
    if PAGE_FILE in model.card.files and own.is_file():
        return own
    if not has_report(model):
        raise LibraryError(
            f"Model {model.name!r} has no report: '{own}' is missing. Only models trained with this program have "
            "one; 'napari-seg-trainer evaluate' scores any model."
        )
    known = hashlib.sha256(model.card.model_dump_json().encode()).hexdigest()[:16]
    target = cache_folder() / "reports" / f"{model.name}-{known}.html"
    if not target.is_file():
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, _page(model))
    return target


def _page(model: LibraryModel) -> bytes:
    spec = engine_specs().get(model.card.engine)
    return page_anew(model.card, _data(model.folder), _examples(model.folder), spec.citations if spec else ())


def _data(folder: Path) -> ReportData | None:
    with suppress(OSError, LibraryError, ValidationError):
        return ReportData.model_validate_json(read_description(folder / DATA_FILE))
    return None


def _examples(folder: Path) -> bytes | None:
    with suppress(OSError):
        content = read_bytes(folder / EXAMPLES_FILE, MOST_PICTURE_BYTES)
        return content if content.startswith(_PNG) else None
    return None
