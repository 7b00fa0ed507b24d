import pytest

from napari_seg_trainer.schema.names import MAX_NAME_LENGTH, check_model_name

RESERVED = ("con", "PRN", "aux", "Nul", "com1", "COM9", "lpt1", "nul.txt", "con.model.1")


@pytest.mark.parametrize(
    "name",
    [
        "my-nuclei",
        "MCF7_nuclei.v2",
        "1",
        "a.b",
        "console",
        "com10",
        "lpt0",
        "x" * MAX_NAME_LENGTH,
        "_x",
        "a-",
        "my cells 2",
    ],
)
def test_good_names(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a/b", "'/' is not allowed"),
        ("a\\b", "'\\\\' is not allowed"),
        ("..", "starts with '.'"),
        (".", "starts with '.'"),
        ("../evil", "'/' is not allowed"),
        (".hidden", "starts with '.'"),
        ("-rf", "'-'"),
        ("ends.", "ends with '.'"),
        (" first", "a space"),
        ("last ", "a space"),
        ("a\tb", "'\\t' is not allowed"),
        ("a\u00a0b", "is not allowed"),
        ("a:b", "':' is not allowed"),
        ("a\nb", "is not allowed"),
        ("a\n", "is not allowed"),
        ("a\0b", "is not allowed"),
        ("näme", "'ä' is not allowed"),
        ("名", "'名' is not allowed"),
        ("x" * (MAX_NAME_LENGTH + 1), "100 is the limit"),
        *((name, "Windows reserves it") for name in RESERVED),
    ],
)
def test_bad_names_are_explained_in_one_line(name, told):
    with pytest.raises(ValueError) as error:
        check_model_name(name)
    message = str(error.value)
    assert told in message
    assert "\n" not in message
