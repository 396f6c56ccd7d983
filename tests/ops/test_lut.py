"""mxq_lut: every implementation against numpy, value for value."""

import mxnet as mx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parameterized import parameterized

from ..reference.lut import lut
from .calling import check_all, error_of, integers, nd, shapes


def table_of(rng, dtype, rows=None):
    shape = (256,) if rows is None else (rows, 256)
    return rng.randn(*shape).astype(np.float32) if dtype == "float32" else integers(rng, dtype, shape)


@st.composite
def cases(draw):
    attrs, shape = {}, draw(shapes())
    if draw(st.booleans()):
        attrs["layout"] = draw(st.sampled_from(["keep", "channels_last"]))
    per_channel = draw(st.booleans())
    if per_channel and draw(st.booleans()):
        attrs["axis"] = draw(st.one_of(st.just(1), st.integers(-len(shape), len(shape) - 1)))
    return (
        attrs,
        shape,
        per_channel,
        draw(st.sampled_from(["int8", "uint8"])),
        draw(st.sampled_from(["int8", "uint8", "float32"])),
        draw(st.integers(0, 2**31)),
    )


@settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_generated(case):
    attrs, shape, per_channel, in_type, out_type, seed = case
    rng = np.random.RandomState(seed)
    data = integers(rng, in_type, shape)
    table = table_of(rng, out_type, shape[attrs.get("axis", -1)] if per_channel else None)
    check_all("mxq_lut", [data, table], attrs, [lut(data, table, attrs)])


@parameterized.expand([(i, o) for i in ("int8", "uint8") for o in ("int8", "uint8", "float32")])
def test_every_entry_is_found(in_type, out_type):
    data = np.arange(256).astype(np.uint8).view(in_type)
    table = np.random.RandomState(0).permutation(256).astype(np.uint8).view("int8").astype(out_type)
    expected = lut(data, table, {})
    assert len(set(expected.tolist())) == 256
    check_all("mxq_lut", [data, table], {}, [expected])


@parameterized.expand(
    [
        ("pixels", (1, 3, 224, 224)),
        ("odd", (2, 17, 19, 23)),
        ("long_rows", (2, 5, 40, 40)),
        ("one_channel", (2, 1, 30, 30)),
        ("one_position", (2, 70, 1, 1)),
        ("large", (2, 64, 60, 60)),
    ]
)
def test_tables_per_channel(_, shape):
    rng = np.random.RandomState(5)
    for in_type, out_type in (("uint8", "int8"), ("int8", "float32")):
        data, table = integers(rng, in_type, shape), table_of(rng, out_type, shape[1])
        for layout in ("keep", "channels_last"):
            attrs = dict(axis=1, layout=layout)
            check_all("mxq_lut", [data, table], attrs, [lut(data, table, attrs)])
        last = np.ascontiguousarray(np.moveaxis(data, 1, -1))
        check_all("mxq_lut", [last, table], {}, [lut(last, table, {})])


def test_empty():
    with mx.util.np_shape(True):
        data, table = np.zeros((2, 0, 3), np.int8), np.zeros(256, np.float32)
        check_all("mxq_lut", [data, table], {}, [data.astype(np.float32)])
        check_all("mxq_lut", [data, table], {"layout": "channels_last"}, [np.zeros((2, 3, 0), np.float32)])


DATA, TABLE = np.ones((2, 3), np.int8), np.zeros(256, np.int8)


@parameterized.expand(
    [
        ("data", DATA.astype(np.float32), TABLE, {}, ["data is float32", "int8 and uint8"]),
        ("table_type", DATA, TABLE.astype(np.int32), {}, ["table is int32", "int8, uint8 and float32"]),
        ("entries", DATA, TABLE[:255], {}, ["255 entries", "expected 256"]),
        ("rank", DATA, TABLE.reshape(1, 1, 256), {}, ["3 dimensions", "(C, 256)"]),
        ("rows", DATA, np.zeros((2, 256), np.int8), {}, ["2 rows", "expected 3"]),
        ("axis", DATA, np.zeros((3, 256), np.int8), dict(axis=5), ["axis=5", "-2 to 1"]),
        ("axis_text", DATA, TABLE, dict(axis="C"), ["axis=C", "integer"]),
        ("layout", DATA, TABLE, dict(layout="nhwc"), ["layout=nhwc", "keep, channels_last"]),
        ("layout_rank", DATA[0], TABLE, dict(layout="channels_last"), ["1 dimensions", "2 or more"]),
    ]
)
def test_bad(_, data, table, attrs, parts):
    text = error_of(lambda: mx.nd.mxq_lut(nd(data), nd(table), node="n1", **attrs))
    for part in ["mxq_lut 'n1'"] + parts:
        assert part in text, text


def test_data_of_another_type_than_the_table_was_made_for_is_refused():
    table = mx.nd.array(np.arange(256) - 128, dtype="int8")
    data = mx.nd.array([[-3, 4]], dtype="int8")
    assert mx.nd.mxq_lut(data, table, in_type="int8").asnumpy().tolist() == [[-3, 4]]
    for wrong, made in ((data, "uint8"), (data.astype("uint8"), "int8")):
        try:
            mx.nd.mxq_lut(wrong, table, in_type=made).wait_to_read()
        except mx.MXNetError as error:
            assert f"the table is for {made}" in str(error)
        else:
            raise AssertionError("accepted")
