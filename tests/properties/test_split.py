import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.errors import DataError

FIELDS = st.lists(st.text("abcé1. ", min_size=1, max_size=3), min_size=2, max_size=40)
SEVERAL = FIELDS.filter(lambda fields: len(set(fields)) > 1)
FRACTIONS = st.floats(0, 1)
SEEDS = st.integers(0, 2**63 - 1)


def names_for(fields):
    return [f"folder/image_{i}" for i in range(len(fields))]


@given(SEVERAL, FRACTIONS, SEEDS)
def test_each_image_is_on_one_side_and_none_is_empty(fields, fraction, seed):
    names = names_for(fields)
    split = Split.draw(names, fields, fraction, seed)
    assert sorted(split.training + split.validation) == sorted(names)
    assert split.training
    assert split.validation
    assert list(split.training) == [name for name in names if name in split.training]


@given(SEVERAL, FRACTIONS, SEEDS)
def test_no_field_of_view_is_on_both_sides(fields, fraction, seed):
    field_of = dict(zip(names_for(fields), fields, strict=True))
    split = Split.draw(list(field_of), fields, fraction, seed)
    assert {field_of[name] for name in split.training}.isdisjoint(field_of[name] for name in split.validation)


@given(SEVERAL, FRACTIONS, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_images_decides_nothing(fields, fraction, seed, random):
    pairs = list(zip(names_for(fields), fields, strict=True))
    split = Split.draw(*zip(*pairs, strict=True), fraction, seed)
    random.shuffle(pairs)
    again = Split.draw(*zip(*pairs, strict=True), fraction, seed)
    assert set(again.validation) == set(split.validation)
    assert set(again.training) == set(split.training)


@given(SEVERAL, st.floats(0, 0.5), SEEDS)
def test_no_more_validate_than_wanted_but_for_one_field(fields, fraction, seed):
    split = Split.draw(names_for(fields), fields, fraction, seed)
    wanted = max(1, round(fraction * len(fields)))
    smallest = min(fields.count(field) for field in fields)
    assert len(split.validation) <= max(wanted, smallest)


@given(st.text("ab", min_size=1), st.integers(1, 9), FRACTIONS, SEEDS)
def test_one_field_of_view_is_refused_in_one_line(field, count, fraction, seed):
    with pytest.raises(DataError, match="one field of view") as caught:
        Split.draw([f"{i}" for i in range(count)], [field] * count, fraction, seed)
    assert len(str(caught.value).splitlines()) == 1


@given(SEVERAL, FRACTIONS, SEEDS)
def test_a_split_comes_back_from_its_text(fields, fraction, seed):
    split = Split.draw(names_for(fields), fields, fraction, seed)
    assert Split.model_validate_json(split.model_dump_json()) == split
