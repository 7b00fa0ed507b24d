import pytest

from napari_seg_trainer.annotations.channels import input_places, match, places_of_inputs
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.job import ChannelInput


def given(*wanted):
    """Inputs of a job: a number, a name, or several."""
    return [
        ChannelInput(name="any", index=one)
        if isinstance(one, int)
        else ChannelInput(name=one.split("=")[0], other_names=one.split("=")[1:])
        for one in wanted
    ]


@pytest.mark.parametrize(
    ("available", "wanted", "places"),
    [
        (["dapi", "actin"], ["actin"], (1,)),
        (["dapi", "actin"], ["actin", "dapi"], (1, 0)),
        (["DAPI", "actin"], ["dapi"], (0,)),
        (["DAPI", "dapi"], ["dapi"], (1,)),
        (["Straße ", "actin"], ["STRASSE"], (0,)),
        (["dapi"], [], ()),
        (["dapi", "actin"], [1], (1,)),
        (["dapi", "actin"], [1, "dapi"], (1, 0)),
        (["actin", "Hoechst"], ["dapi=hoechst"], (1,)),
        (["hoechst", "dapi"], ["dapi=hoechst"], (1,)),  # its own name comes first
        (["grey"], ["channel 0"], (0,)),  # neither has a name of its own
        (["channel 0"], ["grey"], (0,)),
        (["grey"], ["red", "green", "blue"], (0, 0, 0)),
        (["H33342", "actin"], ["dapi=hoechst=H33342", "actin"], (0, 1)),
    ],
)
def test_a_jobs_inputs_are_found(available, wanted, places):
    assert places_of_inputs(available, given(*wanted), "a") == places


@pytest.mark.parametrize(
    ("available", "wanted"),
    [
        (["actin"], "dapi"),
        (["DAPI", "Dapi"], "dapi"),
        (["dapi 2"], "dapi"),
        (["actin", "gfp"], "dapi=hoechst"),
        (["hoechst", "draq5"], "dapi=hoechst=draq5"),
    ],
)
def test_a_missing_channel_is_told_with_those_there_are_and_the_way_out(available, wanted):
    with pytest.raises(DataError, match=r"'cell_01' has no channel 'dapi', only .*\. Give the name of") as caught:
        places_of_inputs(available, given(wanted), "cell_01")
    assert all(repr(name) in str(caught.value) for name in available)
    assert f"--channel 'dapi={available[0]}'" in str(caught.value)


def test_a_number_that_no_channel_has_is_told():
    with pytest.raises(DataError, match=r"2 channel.* no channel 2"):
        places_of_inputs(["dapi", "actin"], given(2), "a")


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
    assert match([[name] for name in wanted], available) == places


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
    assert input_places([[name] for name in wanted], available, "a.tif", use) == places


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
        input_places([[name] for name in wanted], available, "a.tif", use)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
