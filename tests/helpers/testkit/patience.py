"""How long tests wait for what has to happen: so long that no machine is too slow, and a defect still ends the wait."""

import os
import time
from collections.abc import Callable

SECONDS = float(os.environ.get("NAPARI_SEG_TRAINER_TEST_PATIENCE", 240))
MILLISECONDS = int(SECONDS * 1000)


def wait_until(condition: Callable[[], object], what: str = "it is so", pause: float = 0.02) -> None:
    """Wait until a condition holds; fail with what it was about."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long until {what}"
        time.sleep(pause)
