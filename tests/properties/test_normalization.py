import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_seg_trainer.annotations.prepare import normalize
from napari_seg_trainer.schema.job import Normalization

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=9)
KINDS = st.sampled_from(["u1", "u2", "u4", "i2", "i4", "i8", "u8", "f2", "f4", "f8", "?"])
ANY = KINDS.flatmap(lambda kind: arrays(kind, SHAPES))
FINITE = arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32))
COUNTS = arrays(np.uint16, SHAPES)


@st.composite
def ways(draw, modes=("percentile", "values"), clip=None, apart=0.0):
    mode = draw(st.sampled_from(modes))
    limit = 100 if mode == "percentile" else 1e5
    low = draw(st.floats(0 if mode == "percentile" else -limit, limit - 0.1))
    high = draw(st.floats(low + apart, limit).filter(lambda high: high > low))
    return Normalization(mode=mode, low=low, high=high, clip=draw(st.booleans()) if clip is None else clip)


def scaled(plane, way):
    return normalize(plane[np.newaxis], [way])[0]


@given(ANY, ways())
def test_whatever_comes_in_numbers_come_out(plane, way):
    result = scaled(plane, way)
    assert (result.dtype, result.shape) == (np.float32, plane.shape)
    assert np.isfinite(result).all()


@given(ANY, ways(clip=True))
def test_what_is_clipped_lies_between_0_and_1(plane, way):
    result = scaled(plane, way)
    assert result.min() >= 0
    assert result.max() <= 1


@given(FINITE, ways())
def test_what_is_brighter_stays_brighter(plane, way):
    ordered = scaled(plane, way).ravel()[np.argsort(plane, axis=None)]
    assert (np.diff(ordered) >= 0).all()


# percentiles that are closer lie apart by what rounding leaves of an offset
@example(np.array([[0, 400, 1000]], np.uint16), 1.0, -500.0, Normalization(low=0, high=100))
@given(COUNTS, st.floats(0.25, 8), st.floats(-500, 500), ways(("percentile",), apart=0.05))
def test_percentiles_do_not_depend_on_gain_and_offset(plane, gain, offset, way):
    plane = plane.astype(np.float64)
    before, after = scaled(plane, way), scaled(gain * plane + offset, way)
    # far outside of the percentiles, the error of single precision counts as much as the distance
    np.testing.assert_allclose(after, before, rtol=1e-2, atol=1e-2 * max(1.0, float(np.abs(before).max())))


@given(SHAPES, st.floats(-1e6, 1e6, width=32), ways(("percentile",)))
def test_a_constant_image_becomes_0(shape, value, way):
    assert not scaled(np.full(shape, value, np.float32), way).any()


@given(ways(("values",)))
def test_limits_become_0_and_1(way):
    limits = np.array([[way.low, way.high]], np.float32)
    # limits that lie close together, far from 0, are rounded before they are compared
    error = 1e-6 * (1 + max(map(abs, (way.low, way.high))) / (way.high - way.low))
    if error < 0.1 and way.high - way.low > 1e-6:
        np.testing.assert_allclose(scaled(limits, way), [[0, 1]], atol=error)


@given(FINITE, ways(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_pixels_that_are_no_numbers_leave_the_others_as_they_are(plane, way, value):
    wider = np.pad(plane, ((0, 0), (0, 1)), constant_values=value)
    np.testing.assert_array_equal(scaled(wider, way)[:, :-1], scaled(plane, way))
    assert not scaled(wider, way)[:, -1].any()


@given(st.lists(ways(), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_channels_do_not_see_each_other(all_ways, seed):
    image = np.random.default_rng(seed).normal(size=(len(all_ways), 5, 6))
    together = normalize(image, all_ways)
    for plane, way, result in zip(image, all_ways, together, strict=True):
        np.testing.assert_array_equal(scaled(plane, way), result)
