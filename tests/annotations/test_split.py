import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import DataError


def draw(fields, fraction=0.2, seed=0):
    return Split.draw([f"image_{i}" for i in range(len(fields))], fields, fraction, seed)


def fields_of(names, fields):
    return {fields[int(name.removeprefix("image_"))] for name in names}


@pytest.mark.parametrize(
    ("fields", "fraction", "validation"),
    [
        ("ab", 0.2, 1),
        ("ab", 0.99, 1),
        ("abcde", 0.2, 1),
        ("abcdefghij", 0.2, 2),
        ("abcdefghij", 0.25, 2),
        ("abcdefghij", 0.99, 9),
        ("abcdefghij", 0.01, 1),
        ("aabbccddee", 0.2, 2),
        ("aaaaab", 0.2, 1),
        ("aaaabbbb", 0.2, 4),
    ],
)
def test_as_many_as_wanted_validate(fields, fraction, validation):
    split = draw(fields, fraction)
    assert len(split.validation) == validation
    assert len(split.training) == len(fields) - validation


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=30).filter(lambda fields: len(set(fields)) > 1),
    st.floats(0.001, 0.999),
    st.integers(0, 2**32),
)
def test_fields_never_part_and_no_side_is_empty(fields, fraction, seed):
    split = draw(fields, fraction, seed)
    names = [f"image_{i}" for i in range(len(fields))]
    assert sorted([*split.training, *split.validation]) == sorted(names)
    assert split.training
    assert split.validation
    assert fields_of(split.training, fields).isdisjoint(fields_of(split.validation, fields))
    assert draw(fields, fraction, seed) == split


def test_another_seed_is_another_split():
    splits = {draw("abcdefghij", seed=seed).validation for seed in range(20)}
    assert len(splits) > 10


def test_every_field_gets_its_turn():
    assert {draw("abcde", seed=seed).validation for seed in range(60)} == {(f"image_{i}",) for i in range(5)}


def test_the_order_of_the_images_decides_nothing():
    names, fields = [f"image_{i}" for i in range(8)], list("aabbccdd")
    there = Split.draw(names, fields, 0.25, 3)
    back = Split.draw(names[::-1], fields[::-1], 0.25, 3)
    assert set(there.validation) == set(back.validation)


def test_one_field_cannot_be_split():
    with pytest.raises(DataError, match=r"All 3 images come from one field of view \('well A1'\)"):
        draw(["well A1"] * 3)


def test_a_split_comes_through_a_file():
    split = draw("abcde")
    assert Split.model_validate_json(split.model_dump_json()) == split
