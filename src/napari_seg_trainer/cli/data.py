"""Checking annotation folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from napari_seg_trainer.annotations.doctor import Finding, Severity, surveyed
from napari_seg_trainer.annotations.facts import ImageFacts
from napari_seg_trainer.cli.console import AsJson, print_json, print_table, say
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.errors import one_line

_COLUMNS = ("image", "height × width", "type", "channels and their intensities", "pixel size", "objects")


def check(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Annotation folders to check.")],
    images: Annotated[
        bool, typer.Option("--images", help="Also list each image: size, channels, intensities, pixel size, objects.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check annotation folders: show how they are read, and list problems, worst first.

    Errors prevent training, warnings do not. The exit status is 1 if there is an error.
    """
    with frameworks_logged(), counting("checking the images", "opening the folders") as progress:
        found = surveyed(folders, progress=progress)  # what reads pictures may print about broken ones
    findings = found.findings
    if json:
        listed = [_facts(path, facts) for path, facts in found.images]
        told = [finding.model_dump(mode="json") for finding in findings]
        print_json({"understood": found.understood, "findings": told, "images": listed})
        raise typer.Exit(int(_is_error(findings)))
    say(found.understood)
    if images:
        print_table(_COLUMNS, [_image(path, facts) for path, facts in found.images])
    if findings:
        print_table(("", "file", "finding"), [_row(finding) for finding in findings])
        counts = {severity: sum(finding.severity == severity for finding in findings) for severity in Severity}
        say(f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings, {counts[Severity.INFO]} notes")
    else:
        say("No problems found.")
    raise typer.Exit(int(_is_error(findings)))


def _is_error(findings: Sequence[Finding]) -> bool:
    return any(finding.severity == Severity.ERROR for finding in findings)


def _row(finding: Finding) -> tuple[str, str, str]:
    name = "" if finding.file is None else one_line(finding.file.name)
    return finding.severity.name.lower(), name, finding.message


def _facts(path: Path, facts: ImageFacts) -> dict[str, object]:
    told = facts.model_dump(mode="json", exclude={"findings", "areas", "extents", "numbered", "sampled"})
    return {"file": one_line(str(path)), **told, "objects": facts.areas.size}


def _image(path: Path, facts: ImageFacts) -> tuple[str, ...]:
    _, height, width = facts.shape
    size = "" if facts.pixel_size is None else f"{facts.pixel_size:.4g} µm"
    ranges = ["-" if limits is None else f"{limits[0]:g}–{limits[1]:g}" for limits in facts.ranges]
    channels = [f"{name} {limits}" for name, limits in zip(facts.channels, ranges, strict=True)]
    return (one_line(path.name), f"{height} × {width}", facts.dtype, ", ".join(channels), size, str(facts.areas.size))
