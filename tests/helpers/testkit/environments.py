"""Environments with other programs, for tests that compare with them."""

import subprocess
import sys
from pathlib import Path


def environment(folder: Path, *requirements: str) -> Path:
    """Make an environment with packages, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python
