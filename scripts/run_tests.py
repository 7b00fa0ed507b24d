"""Run pytest in a process for each group of tests that must not meet in one; viewers have a display, or a virtual one.

    python scripts/run_tests.py [ARGUMENTS OF PYTEST]

TensorFlow crashes in one process with Mesa's OpenGL, and with torchvision. In napari's own process there is neither.
"""

import subprocess
import sys
from pathlib import Path

import pytest

VIEWERS = "tests/napari_plugin"
TORCH = "tests/cellpose"


def main(arguments: list[str]) -> int:
    pytest_ = [sys.executable, "-m", "pytest"]
    display = [sys.executable, str(Path(__file__).with_name("with_display.py"))]
    if any(Path(word.partition("::")[0]).exists() for word in arguments):  # what is to be run is named
        return run([*display, *pytest_, *arguments])
    statuses = [
        run([*pytest_, f"--ignore={VIEWERS}", f"--ignore={TORCH}", *arguments]),
        run([*pytest_, TORCH, *arguments]),
        run([*display, *pytest_, VIEWERS, *arguments]),
    ]
    nothing = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    ran = [status for status in statuses if status != nothing]
    return max(ran, default=nothing)


def run(command: list[str]) -> int:
    return abs(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
