"""The engine of `examples/threshold_engine`, made known to this process as if it were installed."""

import sys
import tomllib
from pathlib import Path
from tempfile import mkdtemp

EXAMPLE = Path(__file__).parents[1] / "examples" / "threshold_engine"


def make_known() -> None:
    """Write what pip would write of the example, and have Python find both."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = Path(mkdtemp())
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8")
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {place}" for key, place in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    sys.path[:0] = [str(site), str(EXAMPLE / "src")]
