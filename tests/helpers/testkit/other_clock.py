"""Processes that see another time than the computer's clock shows; what only measures durations is as it is."""

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long ahead(void) { const char *text = getenv("SECONDS_AHEAD"); return text ? atol(text) : 0; }

int clock_gettime(clockid_t clock, struct timespec *told) {
    static int (*known)(clockid_t, struct timespec *);
    if (!known) known = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int status = known(clock, told);
    if (!status && clock == CLOCK_REALTIME) told->tv_sec += ahead();
    return status;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    told->tv_sec = now.tv_sec;
    told->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
"""


def build(folder: Path) -> Path | None:
    """Compile what takes the place of the system's clock; None where there is no compiler, or no Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    (folder / "clock.c").write_text(SOURCE)
    library = folder / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, folder / "clock.c", "-ldl"],
        check=True,
        capture_output=True,
    )
    return library


def variables(library: Path, seconds: int) -> dict[str, str]:
    """Return the environment variables with which a process sees a clock that is so many seconds ahead."""
    return {"LD_PRELOAD": str(library), "SECONDS_AHEAD": str(seconds)}
