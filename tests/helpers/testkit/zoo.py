"""The BioImage Model Zoo's own judge of packages, in a process of its own: it opens files that it does not close."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

_JUDGE = """
import json, sys
from bioimageio.spec import load_description
package, *urls = sys.argv[1:]
summary = load_description(package, perform_io_checks=True, known_files=dict.fromkeys(urls)).validation_summary
found = [entry.msg for part in summary.details for entry in [*part.errors, *part.warnings]]
print(json.dumps([summary.status, found]))
"""
_KNOWN = (
    "https://github.com/napari-seg-trainer/napari-seg-trainer",
    "https://doi.org/10.1007/978-3-030-00934-2_30",
    "https://doi.org/10.1038/s41592-020-01018-x",
    "https://doi.org/10.1038/s41592-022-01663-4",
    "https://doi.org/10.1101/2025.04.28.651001",
)
"""Addresses that it else asks the internet for."""


def judged(package: Path, cache: Path) -> tuple[str, list[str]]:
    """Return the judge's word on a package, and what it finds (but for missing accounts on GitHub)."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _JUDGE, package, *_KNOWN],
        env=os.environ | {"BIOIMAGEIO_CACHE_PATH": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status, findings = json.loads(done.stdout.splitlines()[-1])
    return status, [message for message in findings if "github_user" not in message]


def unpack(package: Path) -> Path:
    """Unpack a package into a folder of the name that its README gives it, beside it."""
    folder = package.with_name("FOLDER")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder
