from pathlib import PurePosixPath

import pytest

from napari_seg_trainer.library.safe_paths import clash, is_hidden, path_problem


@pytest.mark.parametrize(
    "name", ["config.json", "a/b c/weights.h5", "figures/µm ü.png", "console.txt", "com10", "a.nul"]
)
def test_paths_that_every_system_can_have(name):
    assert path_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/a", "outside"),
        ("../a", "outside"),
        ("a/..", "outside"),
        ("a\\b", "outside"),
        ("C:a", "outside"),
        ("NUL", "Windows"),
        ("a/con.tar.gz", "Windows"),
        ("Com¹", "Windows"),
        ("aux .txt", "Windows"),
        ("a./b", "Windows"),
        ("a ", "Windows"),
        ("a\tb", "invisible characters"),
        ("a\ud800b", "invisible characters"),
        ("a" * 201, "longer"),
        ("é" * 120, "longer"),
    ],
)
def test_paths_that_some_system_cannot_have(name, words):
    assert words in path_problem(name)
    assert path_problem(name).isprintable()


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a", "b", "c/a"], None),
        (["a", "b", "A"], "a"),
        (["é", "b", "e\u0301"], "é"),
        (["straße", "STRASSE"], "straße"),
        (["a", "a/b"], "a"),
        (["A/b/c", "a/B"], "a/B"),
    ],
)
def test_paths_that_are_the_same_on_some_system(paths, found):
    assert clash([PurePosixPath(path) for path in paths]) == (found and PurePosixPath(found))


def test_what_is_hidden():
    names = ["a/.b/c", ".a", "__MACOSX/a", "a.b/c"]
    assert [is_hidden(PurePosixPath(name)) for name in names] == [True, True, True, False]
