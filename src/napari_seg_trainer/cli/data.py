"""Looking at annotation folders."""

from pathlib import Path
from typing import Annotated

import typer

from napari_seg_trainer.annotations.doctor import Finding, Severity, examine
from napari_seg_trainer.cli.console import AsJson, print_json, print_table, say
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.errors import one_line


def check(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Annotation folders to look at.")],
    json: AsJson = False,
) -> None:
    """Look for problems in annotation folders: the worst first.

    Errors stop a training, warnings do not. The exit status is 1 if there is an error.
    """
    with frameworks_logged(), counting("looking at the images", "opening the folders") as progress:
        findings = examine(folders, progress=progress)  # what reads pictures may print about broken ones
    if json:
        print_json({"findings": [finding.model_dump(mode="json") for finding in findings]})
    elif findings:
        print_table(("", "file", "finding"), [_row(finding) for finding in findings])
        counts = {severity: sum(finding.severity == severity for finding in findings) for severity in Severity}
        say(f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings, {counts[Severity.INFO]} notes")
    else:
        say("Nothing to complain about.")
    if any(finding.severity == Severity.ERROR for finding in findings):
        raise typer.Exit(1)


def _row(finding: Finding) -> tuple[str, str, str]:
    name = "" if finding.file is None else one_line(finding.file.name)
    return finding.severity.name.lower(), name, finding.message
