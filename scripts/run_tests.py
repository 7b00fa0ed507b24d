"""Run pytest twice: the tests that open viewers have a process of their own, on a display that may be a virtual one.

    python scripts/run_tests.py [ARGUMENTS OF PYTEST]

TensorFlow and Mesa's OpenGL crash in one process; in napari's own process there is no TensorFlow.
"""

import subprocess
import sys
from pathlib import Path

import pytest

VIEWERS = "tests/napari_plugin"


def main(arguments: list[str]) -> int:
    pytest_ = [sys.executable, "-m", "pytest"]
    display = [sys.executable, str(Path(__file__).with_name("with_display.py"))]
    if any(Path(word.partition("::")[0]).exists() for word in arguments):  # what is to be run is named
        return run([*display, *pytest_, *arguments])
    statuses = [
        run([*pytest_, f"--ignore={VIEWERS}", *arguments]),
        run([*display, *pytest_, VIEWERS, *arguments]),
    ]
    nothing = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    ran = [status for status in statuses if status != nothing]
    return max(ran, default=nothing)


def run(command: list[str]) -> int:
    return abs(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
