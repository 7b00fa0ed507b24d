import pytest

from napari_seg_trainer.annotations.channels import input_places, match, places_of
from napari_seg_trainer.errors import DataError


@pytest.mark.parametrize(
    ("available", "wanted", "places"),
    [
        (["dapi", "actin"], ["actin"], (1,)),
        (["dapi", "actin"], ["actin", "dapi"], (1, 0)),
        (["DAPI", "actin"], ["dapi"], (0,)),
        (["DAPI", "dapi"], ["dapi"], (1,)),
        (["Straße ", "actin"], ["STRASSE"], (0,)),
        (["dapi"], [], ()),
    ],
)
def test_channels_are_found_by_name(available, wanted, places):
    assert places_of(wanted, available, "a") == places


@pytest.mark.parametrize(
    ("available", "wanted"), [(["actin"], "dapi"), ([], "dapi"), (["DAPI", "Dapi"], "dapi"), (["dapi 2"], "dapi")]
)
def test_a_missing_channel_is_told_with_those_there_are(available, wanted):
    with pytest.raises(DataError, match=f"'cell_01' has no channel {wanted!r}") as caught:
        places_of([wanted], available, "cell_01")
    assert all(repr(name) in str(caught.value) for name in available)


@pytest.mark.parametrize(("wanted", "places"), [([1], (1,)), ([1, "dapi"], (1, 0)), (["1"], None), ([2], None)])
def test_a_number_is_a_place_and_a_text_a_name(wanted, places):
    if places is None:
        with pytest.raises(DataError):
            places_of(wanted, ["dapi", "actin"], "a")
    else:
        assert places_of(wanted, ["dapi", "actin"], "a") == places


@pytest.mark.parametrize(
    ("wanted", "available", "places"),
    [
        (["red"], [("photo [red]", "red"), ("photo [green]", "green")], [0]),
        (["GREEN"], [("photo [red]", "red"), ("photo [green]", "green")], [1]),
        (["dapi"], [("dapi",), ("dapi",)], [None]),
        (["dapi", "actin"], [("actin",)], [None, 0]),
        (["dapi", "actin"], [("channel 0",), ("channel 1",)], [0, 1]),
        (["dapi"], [("channel 0",), ("channel 1",)], [None]),
        ([], [("dapi",)], []),
    ],
)
def test_channels_may_have_several_names_or_none(wanted, available, places):
    assert match(wanted, available) == places


@pytest.mark.parametrize(
    ("wanted", "available", "use", "places"),
    [
        (("dapi",), ("dapi", "gfp"), (), (0,)),
        (("gfp",), ("dapi", "gfp"), (), (1,)),
        (("GFP ",), ("dapi", "gfp"), (), (1,)),
        (("gfp", "dapi"), ("dapi", "gfp"), (), (1, 0)),
        (("dapi",), ("rfp", "gfp"), ("gfp",), (1,)),
        (("dapi",), ("rfp", "gfp"), ("1",), (1,)),
        (("dapi", "gfp"), ("rfp", "gfp"), ("1", "rfp"), (1, 0)),
        (("dapi", "gfp"), ("rfp", "gfp"), ("0", "0"), (0, 0)),
        (("dapi",), ("1", "0"), ("0",), (1,)),  # a name comes before a number
        (("dapi",), ("channel 0",), (), (0,)),
        (("dapi", "gfp"), ("channel 0", "channel 1"), (), (0, 1)),
        (("channel 1",), ("channel 0", "channel 1"), (), (1,)),
    ],
)
def test_channels_are_matched(wanted, available, use, places):
    assert input_places(wanted, available, "a.tif", use) == places


@pytest.mark.parametrize(
    ("wanted", "available", "use", "told"),
    [
        (("dapi",), ("gfp", "rfp"), (), "no channel 'dapi', only 'gfp', 'rfp'"),
        (("dapi",), ("gfp",), (), "no channel 'dapi'"),
        (("dapi",), ("channel 0", "channel 1"), (), "no channel 'dapi'"),
        (("dapi", "gfp"), ("channel 0",), (), "no channel 'dapi'"),
        (("dapi",), ("dapi", "gfp"), ("2",), "no channel 2"),
        (("dapi",), ("dapi", "gfp"), ("-1",), "no channel '-1'"),
        (("dapi",), ("dapi", "gfp"), ("",), "no channel ''"),
        (("dapi",), ("Dapi", "DAPI"), (), "no channel 'dapi'"),
    ],
)
def test_channels_that_do_not_fit_are_named(wanted, available, use, told):
    with pytest.raises(DataError) as error:
        input_places(wanted, available, "a.tif", use)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
