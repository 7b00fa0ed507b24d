"""The table of all bad inputs.

To add one, add a `Case` to the table of the module that fits: a name, and a function that spoils a good file (or, for
``part="folder"``, a good folder of three annotated images). `bad_inputs.case` has the functions that most of them are
made of, and `bad_inputs.formats` writes files byte by byte::

    Case("TIFF: no width", content(tiff(tag_256=0)))
    Case("seg: a list", content(seg([1, 2, 3])), part="mask", layout="seg")

It then goes through the data check, a training, napari's reader and napari's writer. Each must end soon, in little
memory, with one line that names the file and the way out. If training shall go on all the same, give `usable` the
reason and `found` the code of what the data check has to say.
"""

from bad_inputs import cases_files, cases_folders, cases_pictures, cases_pixels, cases_seg, cases_sidecar, cases_tiff
from bad_inputs.case import Case

_MODULES = (cases_files, cases_tiff, cases_pictures, cases_seg, cases_sidecar, cases_pixels, cases_folders)

CASES: list[Case] = [case for module in _MODULES for case in module.CASES]
BY_NAME: dict[str, Case] = {case.name: case for case in CASES}
