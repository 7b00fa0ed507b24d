"""A model as a package: a zip file with the network, a test, documentation and a description.

https://github.com/bioimage-io/spec-bioimage-io
"""

import hashlib
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray

from napari_seg_trainer.annotations.prepare import normalize, rescale_image
from napari_seg_trainer.engines.portable import Portable, PortableNetwork
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import engine_spec, load_engine
from napari_seg_trainer.errors import EngineError, LibraryError
from napari_seg_trainer.library.bioimageio.description import (
    COVER,
    DESCRIPTION,
    README,
    SAMPLE_INPUT,
    SAMPLE_OUTPUT,
    TEST_INPUT,
    TEST_OUTPUT,
    Package,
    describe_package,
    example_side,
    preprocessing,
)
from napari_seg_trainer.library.bioimageio.example import cover, drawn_image, middle
from napari_seg_trainer.library.bioimageio.process import LICENSES, user_name
from napari_seg_trainer.library.bioimageio.readme import readme
from napari_seg_trainer.library.model_folder import CARD_FILE, LibraryModel, hash_files
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.schema.model_card import ModelCard

_SHRINKING = (".json", ".md", ".npy", ".py", ".yaml")


def export_bioimageio(
    model: LibraryModel,
    path: Path,
    *,
    authors: Sequence[str] = (),
    license: str = LICENSES[0],
    image: NDArray[Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as a package of the BioImage Model Zoo; computes, in this process.

    Parameters
    ----------
    model : LibraryModel
    path : Path
        The zip file, which appears whole or not at all.
    authors : sequence of str
        Who made the model; the user of this computer where none is given.
    license : str
        One of `LICENSES`.
    image : NDArray, axes CYX, optional
        Intensities as they are, of the model's channels at its pixel size. The middle becomes the package's test image,
        which everybody sees; a drawn one if not given.
    overwrite : bool
        Overwrite an existing file.

    Returns
    -------
    Path
        The zip file.

    Raises
    ------
    EngineError
        If the model's engine is not installed, or cannot do this.
    LibraryError
        If the file is there already or cannot be written, an author or the license is impossible, the image is too
        small, or the format has no words for what the model needs.
    """
    path = Path(os.path.expanduser(path)).absolute()
    _check_target(path, overwrite)
    _check_license(license)
    names = [_checked_author(name) for name in authors] or [user_name()]
    preprocessing(model.card)
    with _beside(path) as unfinished, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with explained(folder):
            _write_package(model, folder, names, license, image)
        with explained(path.parent):
            _zip(folder, unfinished)
            _check_target(path, overwrite)
            unfinished.replace(path)
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Make an empty file beside `path`, before anything is computed, and remove it in the end if it is still there."""
    unfinished = path.with_name(f".{uuid4().hex}.part")
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch(exist_ok=False)
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _check_target(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".zip":
        raise LibraryError(f"'{path}' does not end in '.zip'. Give the name of a zip file.")
    if path.is_dir():
        raise LibraryError(f"'{path}' is a folder. Give the name of a zip file.")
    if path.exists() and not overwrite:
        raise LibraryError(f"'{path}' already exists. Choose another file, or allow it to be overwritten.")


def _check_license(license: str) -> None:
    if license not in LICENSES:
        raise LibraryError(f"License '{license}' is not known here. Choose one of {', '.join(LICENSES)}.")


def _checked_author(name: str) -> str:
    if not name.strip():
        raise LibraryError("An author's name is empty. Give a name.")
    if "/" in name or "\\" in name:
        raise LibraryError(f"Author name '{name}' is not allowed: '/' and '\\' are not allowed. Leave them out.")
    return name.strip()


def _write_package(
    model: LibraryModel, folder: Path, authors: Sequence[str], license: str, image: NDArray[Any] | None
) -> None:
    """Write all of the package's files into an empty folder."""
    spec = engine_spec(model.card.engine)
    engine = load_engine(spec)
    if not isinstance(engine, Portable):
        raise EngineError(f"Models of {spec.title} cannot be exported in this format yet. Export a plain zip file.")
    network = engine.write_portable(model.folder, folder, len(model.card.channels))
    seen = _as_seen(model.card, network)
    _write_contents(seen, spec, network, folder, image)
    hashes = hash_files(folder) | {CARD_FILE: _write_card(model, network, folder)}
    _write_description(folder, Package(seen, spec, network, hashes, authors, license))


def _as_seen(card: ModelCard, network: PortableNetwork) -> ModelCard:
    """Return the card with the sizes that the network itself is shown, where the engine scales images for it."""
    size = None if card.pixel_size is None else card.pixel_size / network.enlarged
    return card.replace(pixel_size=size, object_diameter=network.diameter or card.object_diameter)


def _write_contents(
    card: ModelCard, spec: EngineSpec, network: PortableNetwork, folder: Path, image: NDArray[Any] | None
) -> None:
    """Write the test arrays, also as images that people can open, the cover and the documentation."""
    side = example_side(network)
    raw = drawn_image(card, side) if image is None else _example(image, side, network.enlarged)
    normalized = normalize(raw, [channel.normalization for channel in card.channels])
    output, labels = network.run(normalized)
    given = raw[np.newaxis].transpose(["BCYX".index(letter) for letter in network.axes])
    for array, test, sample in ((given, TEST_INPUT, SAMPLE_INPUT), (output, TEST_OUTPUT, SAMPLE_OUTPUT)):
        np.save(folder / test, array)
        tifffile.imwrite(folder / sample, array.squeeze(), photometric="minisblack", compression="zlib", metadata=None)
    (folder / COVER).write_bytes(cover(normalized, labels))
    (folder / README).write_text(readme(card, spec, network, image is not None), encoding="utf-8")


def _example(image: NDArray[Any], side: int, enlarged: float) -> NDArray[np.float32]:
    """Return the square in the middle of an image (CYX) that has this side (pixels) once it is enlarged."""
    needed = math.ceil(side / enlarged)
    return rescale_image(middle(image, needed), side / needed)


def _write_card(model: LibraryModel, network: PortableNetwork, folder: Path) -> str:
    """Write a card with which the package can be imported again, without the names of images; return its hash."""
    hashes = hash_files(folder)
    card = model.card.replace(data={}, files={name: hashes[name] for name in network.files})
    content = (card.model_dump_json(indent=2) + "\n").encode()
    (folder / CARD_FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _write_description(folder: Path, package: Package) -> None:
    text = yaml.safe_dump(_plain(describe_package(package)), sort_keys=False, allow_unicode=True, width=120)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return the same of lists and dicts, none of them twice, so that YAML needs no references."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _zip(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            how = zipfile.ZIP_DEFLATED if file.suffix in _SHRINKING else zipfile.ZIP_STORED
            archive.write(file, file.name, how)
