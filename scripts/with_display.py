"""Run a command that opens windows: on Linux on a virtual display of its own, elsewhere as it is.

    python scripts/with_display.py pytest

On Debian and Ubuntu, the superuser gets the packages that are missing; others are told which ones.
"""

import os
import shutil
import subprocess
import sys

# a virtual display, OpenGL without a graphics card, and what Qt's xcb plugin is linked to
PACKAGES = [
    "fontconfig",
    "libdbus-1-3",
    "libegl1",
    "libgl1-mesa-dri",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxkbcommon-x11-0",
    "xauth",
    "xvfb",
]


def main(command: list[str]) -> int:
    if not command:
        print("Usage: python scripts/with_display.py COMMAND [ARGUMENTS]", file=sys.stderr)
        return 2
    if sys.platform == "linux":
        provide()
        if shutil.which("xvfb-run"):
            command = ["xvfb-run", "-a", "-s", "-screen 0 1920x1080x24", *command]
        elif not os.environ.get("DISPLAY"):
            print("There is no display and no xvfb-run. Install the package xvfb.", file=sys.stderr)
            return 1
    return subprocess.run(command, check=False).returncode


def provide() -> None:
    """Install the packages that are missing, where that is possible."""
    if not shutil.which("dpkg-query"):
        return
    absent = [package for package in PACKAGES if not is_installed(package)]
    if not absent:
        return
    if os.geteuid() != 0:
        print(f"Missing for a viewer: sudo apt-get install {' '.join(absent)}", file=sys.stderr)
        return
    print(f"Installing {', '.join(absent)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *absent]):
        subprocess.run(["apt-get", "--quiet", "--quiet", *words], check=True, env=environment, stdout=sys.stderr)


def is_installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat", "${Status}", package]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.stdout.strip() == "install ok installed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
