"""Run the tests: the quick ones first, then the others, several at a time, with the coverage of all processes.

    python scripts/run_tests.py [--quick] [ARGUMENTS OF PYTEST]

Where paths are named, these tests alone are run, in one process and without coverage. TensorFlow crashes in one process
with Mesa's OpenGL, and with torchvision, so that three groups never meet in one. In napari's own process there is
neither. A viewer has a virtual display, one for each process, as the keyboard's focus is one window's.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from with_display import provide

ROOT = Path(__file__).parents[1]
VIEWERS, TORCH = "tests/napari_plugin", "tests/cellpose"
QUICK = ["tests/schema", "tests/annotations", "tests/evaluation", "tests/properties", "tests/test_files.py"]
# one more than there are cores, as a test that waits for a process needs none
WORKERS = int(os.environ.get("NAPARI_SEG_TRAINER_TEST_WORKERS", min(os.cpu_count() or 1, 4) + 1))
# what these bring to each test is for those that open windows
WINDOWLESS = ["--no-xvfb", *(f"-pno:{plugin}" for plugin in ("napari", "npe2", "pytest-qt"))]
DATA = ROOT / ".coverage"
Group = tuple[str, list[str]]
"""What it is called, and the words for pytest that choose its tests."""


def main(arguments: list[str]) -> int:
    if any(Path(word.partition("::")[0]).exists() for word in arguments):  # what is to be run is named
        if VIEWERS in " ".join(arguments):
            provide()
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode
    only_quick = "--quick" in arguments
    arguments = [word for word in arguments if word != "--quick"]
    if not only_quick:
        provide()
    for old in ROOT.glob(".coverage.*"):
        old.unlink()
    quick = run("the quick tests", [*QUICK, *WINDOWLESS], arguments)
    if only_quick or quick not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        return quick
    others = [f"--ignore={path}" for path in (*QUICK, VIEWERS, TORCH)]
    statuses = [
        quick,
        *beside(
            ("the tests without a viewer", ["tests", *others, *WINDOWLESS]),
            ("the tests with PyTorch", [TORCH, *WINDOWLESS]),
            arguments,
        ),
        run("the tests in viewers", [VIEWERS], arguments),
    ]
    nothing = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    ran = [status for status in statuses if status != nothing]
    if not ran:
        return nothing
    return max(ran) or (0 if arguments else coverage())


def beside(many: Group, few: Group, arguments: list[str]) -> list[int]:
    """Run two groups side by side, of which the second has one process; return their exit statuses."""
    if WORKERS == 1:
        return [run(*many, arguments), run(*few, arguments)]
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, *few, arguments, 1, "PyTorch │ ")
        return [run(*many, arguments, WORKERS - 1, "        │ "), other.result()]


def run(what: str, chosen: list[str], arguments: list[str], workers: int = WORKERS, mark: str = "") -> int:
    """Run a group of tests in so many processes, with a mark before each line where groups run side by side."""
    began = time.monotonic()
    measured = [sys.executable, "-m", "coverage", "run", f"--data-file={DATA}", "-m", "pytest"]
    if workers > 1:
        # with groups, pytest-xdist waits for ever for what a process that crashed had still to do, if another takes
        # its place
        measured += [f"--numprocesses={workers}", "--dist=loadgroup", "--max-worker-restart=0"]
    # the threads of two processes would be twice as many as there are cores
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    environment = threads | os.environ if WORKERS > 1 else None
    command = [*measured, "--durations=15", "--durations-min=5", *chosen, *arguments]
    if mark:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        assert process.stdout
        for line in process.stdout:
            print(mark + line, end="", flush=True)
        status = abs(process.wait())
    else:
        status = abs(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)
    print(f"{mark}{what}: {time.monotonic() - began:.0f} s, exit status {status}", flush=True)
    return status


def coverage() -> int:
    """Put together what all processes have seen, and print it; fails below the limit that `pyproject.toml` sets."""
    tool = [sys.executable, "-m", "coverage"]
    subprocess.run([*tool, "combine", "--quiet", f"--data-file={DATA}"], cwd=ROOT, check=True)
    lenient = [] if sys.platform == "linux" else ["--fail-under=0"]  # elsewhere, some tests cannot be run
    return subprocess.run([*tool, "report", f"--data-file={DATA}", *lenient], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
