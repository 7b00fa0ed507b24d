import pytest

from napari_seg_trainer.schema.texts import hidden_in, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Kerne · 0.325 µm – größer 細胞 é", "Kerne · 0.325 µm – größer 細胞 é"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb\x08c\x00\x7f\x9b", "a\\rb\\x08c\\x00\\x7f\\x9b"),
        ("exe.\u202egpj", "exe.\\u202egpj"),
        ("a\u200bb\u2028c\ufeff", "a\\u200bb\\u2028c\\ufeff"),
        ("one\n\ttwo", "one\n\ttwo"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_code(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_hidden_characters_are_found_wherever_they_are():
    assert hidden_in({"a": ["b", {"c": "d\x1b"}]}) == "d\x1b"
    assert hidden_in({"a\n": 1}) == "a\n"
    assert hidden_in({"a": ("b", 1, None, 2.5, True)}) == ""
