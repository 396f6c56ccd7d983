"""What a file may say of a node, right or wrong: refused with words, never read or written outside of arrays."""

from functools import partial

import numpy as np
from parameterized import parameterized

import mxq
from mxq.native import library as native

from . import abi, devices

LIBRARY = abi.Library(mxq.library_path())
LINEAR = dict(kernel=(1, 1), num_filter=1)
HUGE = 3689348814741910336  # times 5 it is 10 more than 2^64


def refusal(body) -> str:
    try:
        body()
    except abi.HostError as error:
        return str(error)
    raise AssertionError("expected a HostError")


def call(op, arrays, **attrs):
    buffers = abi.call(devices.Cpu(), LIBRARY, op, arrays, attrs)
    return [b.numpy() for b in buffers]


def region(*lines, outputs=None):
    text = "\n".join("\t".join(line) for line in lines)
    return dict(graph=text, num_inputs=1, outputs=outputs or str(len(lines) - 1), node="r")


DATA = np.arange(10, dtype=np.int8).reshape(2, 5)


@parameterized.expand(
    [
        ("reshape", [("mxq_reshape", "a", "i0", f"shape=(5,{HUGE})")]),
        ("reshape_split", [("mxq_reshape", "a", "i0", f"shape=(-4,5,{HUGE},0)")]),
        (
            "reshape_and_slice",
            [("mxq_reshape", "a", "i0", f"shape=(5,{HUGE})"), ("mxq_slice", "b", "0", "begin=(0,100)", "end=(1,164)")],
        ),
        ("pad", [("mxq_pad", "a", "i0", f"pad_width=({1 << 30},{1 << 30},{1 << 30},{1 << 30})")]),
        (
            "pads",
            [("mxq_pad", f"p{i}", f"{i - 1}" if i else "i0", f"pad_width=(0,{1 << 30},0,0)") for i in range(2000)],
        ),
        (
            "upsampling",
            [("mxq_reshape", "a", "i0", "shape=(1,1,2,5)")]
            + [("mxq_upsampling", f"u{i}", f"{i}", "scale=65536") for i in range(4)],
        ),
        (
            "concat",
            [
                ("mxq_pad", "a", "i0", f"pad_width=(0,{1 << 19},0,{1 << 19})"),
                ("mxq_concat", "b", "0 0 0 0 0 0", "num_args=6", "dim=0"),
            ],
        ),
        ("flatten", [("mxq_pad", "a", "i0", f"pad_width=(0,{1 << 30},0,{1 << 30})"), ("mxq_flatten", "b", "0")]),
        (
            "elemwise",
            [
                ("mxq_pad", "a", "i0", f"pad_width=(0,{(1 << 30) - 2},0,0)"),
                ("mxq_slice", "b", "0", "begin=(None,0)", "end=(None,1)"),
                ("mxq_transpose", "c", "1"),
                ("mxq_elemwise_add", "d", "1 2"),
            ],
        ),
    ]
)
def test_sizes_that_overflow(_, lines):
    text = refusal(lambda: call("mxq_region", [DATA], **region(*lines)))
    assert "mxq_region 'r'" in text and ("2^40" in text or "out of memory" in text), text


def test_sizes_of_single_operators():
    text = refusal(lambda: call("mxq_reshape", [DATA], shape=(5, HUGE)))
    assert "mxq_reshape" in text and "2^40" in text, text
    image = np.zeros((1, 1, 1, 1 << 20), np.uint8)
    weight = np.zeros((1, 1 << 20, 1, 1), np.int8)
    attrs = dict(kernel=(1, 1), num_filter=1, no_bias=True, out_type="int32")
    wide = dict(attrs, pad_begin=(1 << 20,) * 2, pad_end=(1 << 20,) * 2, stride=(1 << 20,) * 2)
    text = refusal(lambda: call("mxq_conv", [image, weight, np.ones(1, np.float32)], **wide))
    assert "2^40" in text, text
    for key, op, given in (("num_filter", "mxq_conv", attrs), ("num_hidden", "mxq_fully_connected", {})):
        text = refusal(lambda o=op, g=given, k=key: LIBRARY.operators[o].bind({**g, k: 1 << 62}))
        assert key in text, text


def test_what_kernels_and_windows_accept():
    accepted = dict(kernel=(1 << 20, 1), num_filter=1)
    LIBRARY.operators["mxq_conv"].bind(accepted)
    LIBRARY.operators["mxq_pooling"].bind(dict(kernel=(1 << 20, 1)))
    LIBRARY.operators["mxq_pooling"].bind(dict(kernel=(1 << 12, 1 << 11), pool_type="avg"))
    for op, attrs, key in (
        ("mxq_conv", dict(accepted, kernel=((1 << 20) + 1, 1)), "kernel"),
        ("mxq_conv", dict(accepted, dilate=(1, (1 << 20) + 1)), "dilate"),
        ("mxq_pooling", dict(kernel=((1 << 20) + 1, 1)), "kernel"),
        ("mxq_pooling", dict(kernel=(1 << 12, (1 << 11) + 1), pool_type="avg"), "kernel"),
    ):
        text = refusal(lambda o=op, a=attrs: LIBRARY.operators[o].bind(a))
        assert f"attribute {key}" in text, text


def test_a_residual_of_floats_and_bounds_of_a_clip():
    node = LIBRARY.operators["mxq_conv"].bind(
        dict(LINEAR, out_type="float32", sum="before_act", sum_zero_point=3, no_bias=True)
    )
    text = refusal(lambda: node.infer_types(["int8", "int8", "float32", "float32"]))
    assert "sum_zero_point" in text, text
    weight = np.ones((1, 1, 1, 1), np.int8)
    given = dict(LINEAR, num_filter=1, act="clip", act_alpha=2.0, act_beta=2.0, no_bias=True)
    (out,) = call("mxq_conv", [np.int8([[[[9]]]]), weight, np.ones(1, np.float32)], **given)
    assert out.item() == 2


@parameterized.expand([(name,) for name in sorted(LIBRARY.operators)])
def test_other_numbers_of_inputs_and_outputs(name):
    attrs = {
        "mxq_conv": dict(kernel=(1, 1), num_filter=1),
        "mxq_fully_connected": dict(num_hidden=1),
        "mxq_concat": dict(num_args=3),
        "mxq_dequantize": dict(ranges="tensor"),
        "mxq_requantize": dict(ranges="tensor"),
        "mxq_reshape": dict(shape="(-1,)"),
        "mxq_slice": dict(begin=(0,), end=(1,)),
        "mxq_expand_dims": dict(axis=0),
        "mxq_pad": dict(pad_width=(0, 0)),
        "mxq_upsampling": dict(scale=2),
        "mxq_resize": dict(height=2, width=2),
        "mxq_pooling": dict(kernel=(1, 1)),
        "mxq_lrn": dict(nsize=3),
        "mxq_region": dict(graph="mxq_elemwise_add\ta\ti0 i1", num_inputs=2, outputs="0"),
    }.get(name, {})
    node = LIBRARY.operators[name].bind(attrs)
    expected_in, expected_out = node.num_in, node.num_out
    for num_in, num_out in ((0, 1), (expected_in - 1, expected_out), (expected_in + 1, expected_out), (expected_in, 7)):
        node.num_in, node.num_out = num_in, num_out
        types, shapes = ["int8"] * num_in, [(1, 4, 4, 4)] * num_in
        asks = [partial(node.infer_types, types), partial(node.infer_shapes, shapes)]
        if num_in != expected_in:
            asks.append(partial(node.create_state, devices.Cpu(), types, shapes))
        for ask in asks:
            text = refusal(ask)
            assert f"inputs; expected {expected_in}" in text or f"outputs; expected {expected_out}" in text, text


EMPTY_BATCHES = [
    ("mxq_conv", dict(LINEAR, num_filter=8, no_bias=True), [(0, 5, 5, 4), (8, 4, 1, 1)], (0, 5, 5, 8)),
    ("mxq_conv", dict(LINEAR, num_filter=8, num_group=8, no_bias=True), [(0, 5, 5, 8), (8, 1, 1, 1)], (0, 5, 5, 8)),
    ("mxq_fully_connected", dict(num_hidden=8, no_bias=True), [(0, 4), (8, 4)], (0, 8)),
    ("mxq_pooling", dict(kernel=(2, 2)), [(0, 5, 5, 4)], (0, 4, 4, 4)),
    ("mxq_pooling", dict(global_pool=True, pool_type="avg"), [(0, 5, 5, 4)], (0, 1, 1, 4)),
    ("mxq_flatten", {}, [(0, 5, 4)], (0, 20)),
    ("mxq_elemwise_add", {}, [(0, 4), (1, 4)], (0, 4)),
    ("mxq_concat", dict(num_args=2), [(0, 4), (0, 3)], (0, 7)),
    ("mxq_transpose", {}, [(0, 4)], (4, 0)),
    ("mxq_pad", dict(pad_width=(0, 0, 1, 1)), [(0, 4)], (0, 6)),
    ("mxq_upsampling", dict(scale=2), [(0, 3, 4, 4)], (0, 3, 8, 8)),
    ("mxq_resize", dict(height=2, width=3), [(0, 3, 4, 4)], (0, 3, 2, 3)),
    ("mxq_lrn", dict(nsize=3, out_type="int8"), [(0, 2, 8)], (0, 2, 8)),
]


@parameterized.expand([(f"{i}_{case[0]}", *case) for i, case in enumerate(EMPTY_BATCHES)])
def test_a_batch_without_examples(_, op, attrs, shapes, expected):
    arrays = [np.zeros(shape, np.int8) for shape in shapes]
    if op in ("mxq_conv", "mxq_fully_connected"):
        arrays.append(np.ones(8, np.float32))
    for backend in native.info()["ops"][op] + ["auto"]:
        try:
            (out,) = call(op, arrays, backend=backend, **attrs)
        except abi.HostError as error:
            assert "no implementation applies" in str(error), error
            continue
        assert out.shape == expected


def test_a_region_on_a_batch_without_examples():
    lines = [("mxq_pooling", "a", "i0", "kernel=(2, 2)"), ("mxq_flatten", "b", "0"), ("mxq_elemwise_add", "c", "1 1")]
    (out,) = call("mxq_region", [np.zeros((0, 5, 5, 4), np.int8)], **region(*lines))
    assert out.shape == (0, 64)


@parameterized.expand([((1, 5, 5, 0),), ((1, 0, 5, 4),)])
def test_what_must_not_be_empty(shape):
    arrays = [np.zeros(shape, np.int8), np.zeros((8, shape[-1], 1, 1), np.int8), np.ones(8, np.float32)]
    assert "only the batch" in refusal(lambda: call("mxq_conv", arrays, **dict(LINEAR, num_filter=8, no_bias=True)))


SCALAR = [np.zeros((1, 2, 2, 4), np.int8), np.zeros((8, 4, 1, 1), np.int8), np.ones((), np.float32)]
FROM_ONE = ("mxq_conv", "c", "i0 i1 {}", "kernel=(1, 1)", "num_filter=8", "no_bias=True")


def test_a_shape_without_dimensions_is_not_filled_in_when_there_is_an_array():
    """MXNet's way to say "unknown" is also an array of one number: the scales of eight channels would be read of it."""
    text = refusal(lambda: call("mxq_conv", SCALAR, **dict(LINEAR, num_filter=8, no_bias=True)))
    assert "input 2 has shape ()" in text and "(8,)" in text, text
    given = dict(graph="\t".join(FROM_ONE).format("i2"), num_inputs=3, outputs="0", node="r")
    text = refusal(lambda: call("mxq_region", SCALAR, **given))
    assert "input 2 has shape ()" in text and "(8,)" in text, text


def test_a_shape_without_dimensions_inside_of_a_region():
    lines = ["mxq_dequantize\ts\ti2\tscale=1", "\t".join(FROM_ONE).format("0")]
    arrays = [*SCALAR[:2], np.ones((), np.int8)]
    for backend in ("auto", "ref"):
        given = dict(graph="\n".join(lines), num_inputs=3, outputs="1", node="r", backend=backend)
        text = refusal(lambda g=given: call("mxq_region", arrays, **g))
        assert "mxq_conv 'c'" in text and "has shape ()" in text, text
