"""What a model was made with."""

from importlib.metadata import PackageNotFoundError, version

from napari_seg_trainer.engines.protocol import EngineSpec


def versions(spec: EngineSpec) -> dict[str, str]:
    """Return the versions of this package and of those that compute, by name."""
    found = {}
    for package in ("napari-seg-trainer", *spec.packages, "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
