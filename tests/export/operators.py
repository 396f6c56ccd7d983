"""Operators with generated attributes: ``CASES`` has, by name, a function that draws a network of one operator.

A case returns ``(symbol, data, params)``; data and params are arrays by name.
"""

import mxnet as mx
import numpy as np
from hypothesis import strategies as st

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def numbers(draw, *shape, low=-2.0, high=2.0):
    """Uniform, so that hypothesis draws one seed and not every element."""
    seed = draw(st.integers(0, 2**16))
    return np.random.RandomState(seed).uniform(low, high, shape).astype(np.float32)


def distinct(draw, *shape):
    """No two equal: sorting has one answer."""
    seed = draw(st.integers(0, 2**16))
    return (np.random.RandomState(seed).permutation(int(np.prod(shape))).reshape(shape) - 7).astype(np.float32)


def size(draw, low=1, high=6):
    return draw(st.integers(low, high))


def shape_of(draw, rank=1, rank_to=4, **sizes):
    return tuple(size(draw, **sizes) for _ in range(draw(st.integers(rank, rank_to))))


def flag(draw):
    return draw(st.booleans())


def one_of(draw, *values):
    return draw(st.sampled_from(values))


data = mx.sym.var("data")


# -- layers ------------------------------------------------------------------------------------------------------------


def spatial(draw, rank, low, high):
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


@case
def convolution(draw):
    rank = one_of(draw, 1, 2, 2, 3)
    groups, inputs, outputs = size(draw, 1, 3), size(draw, 1, 2), size(draw, 1, 3)
    kernel, stride, dilate = spatial(draw, rank, 1, 3), spatial(draw, rank, 1, 3), spatial(draw, rank, 1, 2)
    pad = spatial(draw, rank, 0, 2)
    image = tuple(d * (k - 1) + 1 + more for d, k, more in zip(dilate, kernel, spatial(draw, rank, 0, 4)))
    given = {"stride": stride, "dilate": dilate, "pad": pad} if flag(draw) else {"pad": pad}
    no_bias = flag(draw)
    symbol = mx.sym.Convolution(
        data, kernel=kernel, num_filter=groups * outputs, num_group=groups, no_bias=no_bias, name="conv", **given
    )
    params = {"conv_weight": numbers(draw, groups * outputs, inputs, *kernel)}
    if not no_bias:
        params["conv_bias"] = numbers(draw, groups * outputs)
    return symbol, {"data": numbers(draw, 2, groups * inputs, *image)}, params


@case
def padded_convolution(draw):
    begin, end = spatial(draw, 2, 0, 2), spatial(draw, 2, 0, 2)
    width = (0, 0, 0, 0, begin[0], end[0], begin[1], end[1])
    mode = one_of(draw, "constant", "edge")
    value = one_of(draw, 0.0, 0.0, 1.5)
    x = mx.sym.Pad(data, mode=mode, pad_width=width, constant_value=value, name="pad")
    symbol = mx.sym.Convolution(x, kernel=(3, 2), num_filter=2, pad=spatial(draw, 2, 0, 1), name="conv", no_bias=True)
    return symbol, {"data": numbers(draw, 1, 3, 5, 6)}, {"conv_weight": numbers(draw, 2, 3, 3, 2)}


@case
def deconvolution(draw):
    rank = one_of(draw, 1, 2)
    groups, inputs, outputs = size(draw, 1, 2), size(draw, 1, 2), size(draw, 1, 3)
    kernel, stride = spatial(draw, rank, 1, 4), spatial(draw, rank, 1, 3)
    pad = tuple(min(p, (k - 1) // 2) for p, k in zip(spatial(draw, rank, 0, 2), kernel))
    image = spatial(draw, rank, 2, 4)
    given = {"stride": stride, "pad": pad}
    whole = [s * (n - 1) + k for s, n, k in zip(stride, image, kernel)]
    kind = one_of(draw, "pad", "adj", "target")
    if kind == "adj":
        given["adj"] = tuple(s - 1 for s in stride)
    elif kind == "target":
        given.update(pad=(0,) * rank, target_shape=tuple(whole))
    no_bias = flag(draw)
    symbol = mx.sym.Deconvolution(
        data, kernel=kernel, num_filter=groups * outputs, num_group=groups, no_bias=no_bias, name="up", **given
    )
    params = {"up_weight": numbers(draw, groups * inputs, outputs, *kernel)}
    if not no_bias:
        params["up_bias"] = numbers(draw, groups * outputs)
    return symbol, {"data": numbers(draw, 2, groups * inputs, *image)}, params


@case
def fully_connected(draw):
    shape, flatten, no_bias = shape_of(draw, 2, 4, high=4), flag(draw), flag(draw)
    inputs = int(np.prod(shape[1:])) if flatten else shape[-1]
    symbol = mx.sym.FullyConnected(data, num_hidden=3, flatten=flatten, no_bias=no_bias, name="fc")
    params = {"fc_weight": numbers(draw, 3, inputs)}
    if not no_bias:
        params["fc_bias"] = numbers(draw, 3)
    return symbol, {"data": numbers(draw, *shape)}, params


@case
def dots(draw):
    a, b = flag(draw), flag(draw)
    n, m, k, batch = (size(draw, 1, 4) for _ in range(4))
    first, second = ((k, n) if a else (n, k)), ((m, k) if b else (k, m))
    arrays = {"data": numbers(draw, batch, *first), "other": numbers(draw, batch, *second)}
    function = one_of(draw, mx.sym.batch_dot, mx.sym.linalg_gemm2, mx.sym.dot)
    if function is mx.sym.dot:
        arrays = {name: array[0] for name, array in arrays.items()}
    return function(data, mx.sym.var("other"), transpose_a=a, transpose_b=b), arrays, {}


# -- normalizations ----------------------------------------------------------------------------------------------------


@case
def batch_norm(draw):
    shape = shape_of(draw, 2, 4, high=4)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    channels = shape[axis]
    symbol = mx.sym.BatchNorm(
        data, name="bn", axis=axis, fix_gamma=flag(draw), eps=one_of(draw, 1e-3, 2e-5, 0.1), use_global_stats=flag(draw)
    )
    params = {name: numbers(draw, channels) for name in ("bn_gamma", "bn_beta", "bn_moving_mean")}
    params["bn_moving_var"] = numbers(draw, channels, low=0.2)
    return symbol, {"data": numbers(draw, *shape)}, params


@case
def lrn(draw):
    given = {} if flag(draw) else {"alpha": 0.3, "beta": 0.6, "knorm": 1.5}
    symbol = mx.sym.LRN(data, nsize=one_of(draw, 1, 3, 5, 7, 4), **given)
    return symbol, {"data": numbers(draw, 2, size(draw), 3, 2)}, {}


@case
def layer_norm(draw):
    shape = shape_of(draw, 2, 4, low=2)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    symbol = mx.sym.LayerNorm(data, axis=axis, eps=one_of(draw, 1e-5, 1e-3), name="ln")
    params = {"ln_gamma": numbers(draw, shape[axis]), "ln_beta": numbers(draw, shape[axis])}
    return symbol, {"data": numbers(draw, *shape)}, params


@case
def instance_norm(draw):
    shape = (2, size(draw), *shape_of(draw, 1, 2, low=2))
    params = {"in_gamma": numbers(draw, shape[1]), "in_beta": numbers(draw, shape[1])}
    return mx.sym.InstanceNorm(data, eps=1e-3, name="in"), {"data": numbers(draw, *shape)}, params


@case
def group_norm(draw):
    groups = size(draw, 1, 3)
    shape = (2, groups * size(draw, 1, 3), *shape_of(draw, 1, 2, low=2))
    symbol = mx.sym.GroupNorm(data, num_groups=groups, name="gn")
    sizes = symbol.infer_shape(data=shape)[0][1]
    params = {"gn_gamma": numbers(draw, *sizes), "gn_beta": numbers(draw, *sizes)}
    return symbol, {"data": numbers(draw, *shape)}, params


@case
def l2_normalization(draw):
    shape = shape_of(draw, 2, 4)
    mode = one_of(draw, "instance", "channel", "spatial") if len(shape) > 2 else "instance"
    return mx.sym.L2Normalization(data, mode=mode, eps=one_of(draw, 1e-10, 0.1)), {"data": numbers(draw, *shape)}, {}


# -- pooling -----------------------------------------------------------------------------------------------------------


@case
def pooling(draw):
    rank = one_of(draw, 1, 2, 2)
    kernel, stride = spatial(draw, rank, 1, 4), spatial(draw, rank, 1, 3)
    pad = tuple(min(p, k - 1) for p, k in zip(spatial(draw, rank, 0, 2), kernel))
    image = tuple(max(1, k + more) for k, more in zip(kernel, spatial(draw, rank, 0, 5)))
    given = {"pool_type": one_of(draw, "max", "avg", "avg", "sum", "lp")}
    if given["pool_type"] == "lp":
        given["p_value"] = one_of(draw, 1, 2, 3)
    if flag(draw):
        given["count_include_pad"] = flag(draw)
    if draw(st.integers(0, 5)) == 0:
        given["global_pool"] = True
    convention = one_of(draw, "valid", "full")
    symbol = mx.sym.Pooling(data, kernel=kernel, stride=stride, pad=pad, pooling_convention=convention, **given)
    return symbol, {"data": numbers(draw, 2, 2, *image)}, {}


@case
def adaptive_pooling(draw):
    symbol = mx.sym.contrib.AdaptiveAvgPooling2D(data, output_size=one_of(draw, 1, (1, 1), 2, (3, 2), (4, 5)))
    return symbol, {"data": numbers(draw, 2, 3, size(draw, 4, 8), size(draw, 5, 8))}, {}


# -- activations, elementwise ------------------------------------------------------------------------------------------


@case
def activation(draw):
    kind = one_of(draw, "relu", "sigmoid", "tanh", "softrelu", "softsign")
    return mx.sym.Activation(data, act_type=kind), {"data": numbers(draw, *shape_of(draw), low=-30, high=30)}, {}


@case
def leaky_relu(draw):
    kind = one_of(draw, "leaky", "elu", "selu", "gelu", "rrelu", "prelu", "prelu")
    shape = shape_of(draw, 2, 4)
    given = {"slope": one_of(draw, 0.1, 0.3)} if kind in ("leaky", "elu") else {}
    if kind != "prelu":
        return mx.sym.LeakyReLU(data, act_type=kind, **given), {"data": numbers(draw, *shape)}, {}
    slopes = one_of(draw, 1, shape[1])
    symbol = mx.sym.LeakyReLU(data, mx.sym.var("slope", shape=(slopes,)), act_type=kind)
    return symbol, {"data": numbers(draw, *shape)}, {"slope": numbers(draw, slopes)}


@case
def softmax(draw):
    shape = shape_of(draw)
    given = {"temperature": 2.5} if flag(draw) else {}
    function = one_of(draw, mx.sym.softmax, mx.sym.log_softmax, mx.sym.softmin)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return function(data, axis=axis, **given), {"data": numbers(draw, *shape)}, {}


@case
def masked_softmax(draw):
    batch, rows, width = (size(draw, 1, 4) for _ in range(3))
    lengths = np.array([[draw(st.integers(1, width)) for _ in range(rows)] for _ in range(batch)], np.int32)
    symbol = mx.sym.softmax(data, mx.sym.var("length", dtype="int32"), use_length=True, axis=-1)
    return symbol, {"data": numbers(draw, batch, rows, width), "length": lengths}, {}


@case
def softmax_activation(draw):
    shape = shape_of(draw, 2, 4)
    mode = one_of(draw, "instance", "channel") if len(shape) > 2 else "instance"
    return mx.sym.SoftmaxActivation(data, mode=mode), {"data": numbers(draw, *shape)}, {}


@case
def loss_outputs(draw):
    function = one_of(
        draw,
        mx.sym.SoftmaxOutput,
        mx.sym.LogisticRegressionOutput,
        mx.sym.LinearRegressionOutput,
        mx.sym.MAERegressionOutput,
        mx.sym.SVMOutput,
    )
    given, shape = {}, (2, size(draw))
    if function is mx.sym.SoftmaxOutput:
        given = one_of(draw, {}, {"multi_output": True}, {"preserve_shape": True})
        shape = shape_of(draw, 2, 4)
    return function(data, name="out", **given), {"data": numbers(draw, *shape)}, {}


UNARY = (
    "relu sigmoid hard_sigmoid softsign tanh exp expm1 abs sign negative floor ceil round rint trunc fix erf sin cos "
    "arctan sinh cosh arcsinh square cbrt degrees radians logical_not zeros_like ones_like identity BlockGrad"
).split()
POSITIVE = "log log1p log2 log10 sqrt rsqrt reciprocal rcbrt".split()


@case
def unary(draw):
    name = one_of(draw, *UNARY, *POSITIVE)
    low = 0.01 if name in POSITIVE else -5
    x = numbers(draw, *shape_of(draw), low=low, high=5)
    x = np.round(x * 2) / 2 + (low if low > 0 else 0) if flag(draw) else x  # halves, for what rounds
    return getattr(mx.sym, name)(data), {"data": x}, {}


@case
def bounded_unary(draw):
    name = one_of(draw, "arcsin", "arccos", "arctanh", "tan", "expm1", "log1p")
    scale = one_of(draw, 0.9, 1e-3, 1e-6)
    return getattr(mx.sym, name)(data), {"data": numbers(draw, 3, 4, low=-scale, high=scale)}, {}


@case
def clip(draw):
    low = one_of(draw, 0.0, -1.0, -0.5)
    return mx.sym.clip(data, a_min=low, a_max=low + 1), {"data": numbers(draw, 3, 4)}, {}


@case
def smooth_l1(draw):
    return mx.sym.smooth_l1(data, scalar=one_of(draw, 1.0, 2.0, 0.7)), {"data": numbers(draw, 3, 4)}, {}


SCALAR = (
    "_plus _minus _rminus _mul _div _rdiv _power _maximum _minimum _hypot _mod _equal _not_equal _greater "
    "_greater_equal _lesser _lesser_equal _logical_and _logical_or _logical_xor"
).split()


@case
def scalar(draw):
    name = one_of(draw, *SCALAR)
    x = np.round(numbers(draw, 3, 4, low=0.5, high=3) * 4) / 4
    if name in ("_mod", "_maximum", "_equal", "_plus"):
        x *= one_of(draw, 1, -1)
    number = one_of(draw, 1.5, 2.0, 0.0) if name not in ("_mod", "_div", "_power") else one_of(draw, 1.5, -0.75)
    return getattr(mx.sym._internal, f"{name}_scalar")(data, scalar=number), {"data": x}, {}


BINARY = (
    "add sub mul div power maximum minimum hypot mod equal not_equal greater greater_equal lesser lesser_equal "
    "logical_and logical_or logical_xor"
).split()


@case
def binary(draw):
    name = one_of(draw, *BINARY)
    shape = shape_of(draw, 2, 3, high=4)
    other = tuple(1 if flag(draw) else n for n in shape)
    x = np.round(numbers(draw, *shape, low=0.5, high=3) * 2) / 2
    y = np.round(numbers(draw, *other, low=0.5, high=3) * 2) / 2
    y *= one_of(draw, 1, -1) if name == "mod" else 1
    return getattr(mx.sym, f"broadcast_{name}")(data, mx.sym.var("other")), {"data": x, "other": y}, {}


@case
def sums(draw):
    count = size(draw, 1, 3)
    arrays = {f"x{i}": numbers(draw, 2, 3) for i in range(count)}
    return mx.sym.add_n(*[mx.sym.var(name) for name in arrays]), arrays, {}


@case
def where(draw):
    shape = shape_of(draw, 2, 3)
    condition = np.round(numbers(draw, *(shape if flag(draw) else shape[:1]), low=-1, high=1))
    arrays = {"c": condition, "x": numbers(draw, *shape), "y": numbers(draw, *shape)}
    return mx.sym.where(*map(mx.sym.var, arrays)), arrays, {}


# -- reductions, sorting -----------------------------------------------------------------------------------------------


def some_axes(draw, rank):
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    return one_of(draw, tuple(sorted(axes)), axes[0], axes[0] - rank)


@case
def reduction(draw):
    shape = shape_of(draw)
    function = one_of(draw, mx.sym.sum, mx.sym.mean, mx.sym.max, mx.sym.min, mx.sym.prod)
    given = {} if draw(st.integers(0, 3)) == 0 else {"axis": some_axes(draw, len(shape)), "exclude": flag(draw)}
    return function(data, keepdims=flag(draw), **given), {"data": numbers(draw, *shape)}, {}


@case
def norm(draw):
    shape = shape_of(draw, 2, 3)
    given = {} if flag(draw) else {"axis": draw(st.integers(0, len(shape) - 1))}
    return mx.sym.norm(data, ord=one_of(draw, 1, 2), keepdims=flag(draw), **given), {"data": numbers(draw, *shape)}, {}


@case
def argmax(draw):
    shape = shape_of(draw)
    function = one_of(draw, mx.sym.argmax, mx.sym.argmin)
    given = {} if flag(draw) else {"axis": draw(st.integers(-len(shape), len(shape) - 1))}
    return function(data, keepdims=flag(draw), **given), {"data": np.round(numbers(draw, *shape))}, {}


@case
def sorting(draw):
    shape = shape_of(draw, 1, 3)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    kind = one_of(draw, "sort", "argsort", "topk")
    given = {"axis": axis, "is_ascend": flag(draw)}
    if kind == "topk":
        given.update(k=draw(st.integers(1, shape[axis])), ret_typ=one_of(draw, "value", "indices", "both", "mask"))
    return getattr(mx.sym, kind)(data, **given), {"data": distinct(draw, *shape)}, {}


@case
def cumsum(draw):
    shape = shape_of(draw, 1, 3)
    given = {} if flag(draw) else {"axis": draw(st.integers(0, len(shape) - 1))}
    return mx.sym.cumsum(data, **given), {"data": numbers(draw, *shape)}, {}


# -- movement ----------------------------------------------------------------------------------------------------------


@case
def reshape(draw):
    kind = one_of(
        draw,
        {"shape": (0, -1)},
        {"shape": (-2,)},
        {"shape": (-3, -2)},
        {"shape": (0, 0, -3)},
        {"shape": (-4, 1, 2, -2)},
        {"shape": (-1, 0), "reverse": True},
        {"shape": (2, -1, 3)},
        {"shape": (0, -4, -1, 2, 0, 0)},
    )
    return mx.sym.Reshape(data, **kind), {"data": numbers(draw, 2, 4, 3, 5)}, {}


@case
def axes(draw):
    shape = shape_of(draw, 2, 3)
    rank = len(shape)
    order = draw(st.permutations(range(rank)))
    first, second = draw(st.integers(0, rank - 1)), draw(st.integers(0, rank - 1))
    symbol = one_of(
        draw,
        mx.sym.transpose(data, axes=order),
        mx.sym.transpose(data),
        mx.sym.SwapAxis(data, dim1=first, dim2=second),
        mx.sym.expand_dims(data, axis=draw(st.integers(-rank - 1, rank))),
        mx.sym.Flatten(data),
        mx.sym.squeeze(mx.sym.expand_dims(data, axis=first), axis=first),
        mx.sym.reverse(data, axis=some_axes(draw, rank)),
        mx.sym.repeat(data, repeats=size(draw, 1, 3), axis=first),
        mx.sym.repeat(data, repeats=2),
        mx.sym.tile(data, reps=shape_of(draw, 1, 3, high=2)),
        mx.sym.stack(data, data, axis=first),
        mx.sym.Concat(data, data, dim=first),
    )
    return symbol, {"data": numbers(draw, *shape)}, {}


@case
def pad(draw):
    mode = one_of(draw, "constant", "edge", "reflect")
    rank = one_of(draw, 2, 3) if mode != "reflect" else 2
    width = (0, 0, 0, 0, *spatial(draw, 2 * rank, 0, 2))
    symbol = mx.sym.Pad(data, mode=mode, pad_width=width, constant_value=one_of(draw, 0.0, 2.5))
    return symbol, {"data": numbers(draw, 1, 2, *spatial(draw, rank, 3, 4))}, {}


@case
def depth_and_space(draw):
    block = size(draw, 1, 3)
    if flag(draw):
        return mx.sym.depth_to_space(data, block_size=block), {"data": numbers(draw, 1, 2 * block**2, 3, 2)}, {}
    return mx.sym.space_to_depth(data, block_size=block), {"data": numbers(draw, 1, 2, 3 * block, 2 * block)}, {}


@case
def broadcasting(draw):
    n, m = size(draw), size(draw)
    like = mx.sym.var("like")
    symbol, arrays = one_of(
        draw,
        (mx.sym.broadcast_to(data, shape=(n, 3, m)), {}),
        (mx.sym.broadcast_to(data, shape=(n, 0, 0)), {}),
        (mx.sym.broadcast_axis(data, axis=(0, 2), size=(n, m)), {}),
        (mx.sym.broadcast_like(data, like), {"like": numbers(draw, n, 3, m)}),
    )
    return symbol, {"data": numbers(draw, 1, 3, 1), **arrays}, {}


@case
def splits(draw):
    count, axis = size(draw, 1, 3), draw(st.integers(-3, 2))
    shape = [size(draw) for _ in range(3)]
    squeeze = flag(draw)
    shape[axis] = count if squeeze else count * size(draw, 1, 3)
    symbol = mx.sym.SliceChannel(data, num_outputs=count, axis=axis, squeeze_axis=squeeze)
    return symbol, {"data": numbers(draw, *shape)}, {}


@case
def split_v2(draw):
    indices = one_of(draw, (0, 2, 5), (0, 1), (0,))
    symbol = mx.sym._internal._split_v2(data, indices=indices, axis=one_of(draw, 1, -2))
    return symbol, {"data": numbers(draw, 2, 7, 3)}, {}


# -- selection ---------------------------------------------------------------------------------------------------------


@case
def slices(draw):
    step = one_of(draw, None, (1, 2, 1), (-1, -2, None), (None, 1, 3))
    begin, end = one_of(draw, ((0, 1, 2), (None, 4, 5)), ((None, -3, None), (None, None, None)))
    if step is not None and any(s is not None and s < 0 for s in step):
        begin, end = one_of(draw, ((None, None, 0), (None, None, 4)), ((2, 4, None), (0, None, None)))
    return mx.sym.slice(data, begin=begin, end=end, step=step or ()), {"data": numbers(draw, 3, 5, 6)}, {}


@case
def slice_axis(draw):
    begin, end = one_of(draw, (0, 2), (-3, None), (1, -1), (2, None))
    return (
        mx.sym.slice_axis(data, axis=one_of(draw, 0, 1, -1), begin=begin, end=end),
        {"data": numbers(draw, 4, 5, 6)},
        {},
    )


@case
def slice_like(draw):
    axes = one_of(draw, (), (1,), (-1, 0))
    like = (3, 4, 5)
    return (
        mx.sym.slice_like(data, mx.sym.var("like"), axes=axes),
        {
            "data": numbers(draw, 4, 6, 7),
            "like": numbers(draw, *like),
        },
        {},
    )


@case
def crop(draw):
    given = one_of(draw, {}, {"offset": (1, 2)}, {"center_crop": True})
    if flag(draw):
        symbol, arrays = mx.sym.Crop(data, mx.sym.var("like"), **given), {"like": numbers(draw, 1, 2, 3, 4)}
    else:
        symbol, arrays = mx.sym.Crop(data, h_w=(3, 5), **given), {}
    return symbol, {"data": numbers(draw, 1, 3, 6, 8), **arrays}, {}


@case
def lookups(draw):
    shape = shape_of(draw, 1, 2)
    index = np.random.RandomState(draw(st.integers(0, 999))).randint(-2, 9, shape).astype(np.float32)
    x = mx.sym.var("x")
    kind = one_of(draw, "embedding", "take", "one_hot")
    if kind == "embedding":
        symbol = mx.sym.Embedding(data, input_dim=5, output_dim=3, name="e")
        return symbol, {"data": index.clip(0, 4)}, {"e_weight": numbers(draw, 5, 3)}
    if kind == "one_hot":
        return mx.sym.one_hot(data, depth=5, on_value=2.0, off_value=-1.0), {"data": index}, {}
    symbol = mx.sym.take(x, data, axis=one_of(draw, 0, 1, -1), mode=one_of(draw, "clip", "wrap"))
    return symbol, {"data": index, "x": numbers(draw, 4, 5, 3)}, {}


@case
def pick(draw):
    axis, keepdims = one_of(draw, 1, -1, 0), flag(draw)
    index = np.random.RandomState(draw(st.integers(0, 999))).randint(0, 6, {0: 4, 1: 3, -1: 3}[axis])
    symbol = mx.sym.pick(data, mx.sym.var("index"), axis=axis, keepdims=keepdims)
    return symbol, {"data": numbers(draw, 3, 4), "index": index.astype(np.float32)}, {}


@case
def gather_nd(draw):
    rows = size(draw, 1, 2)
    index = np.random.RandomState(draw(st.integers(0, 999))).randint(0, 3, (rows, 4)).astype(np.float32)
    return mx.sym.gather_nd(data, mx.sym.var("index")), {"data": numbers(draw, 3, 4, 2), "index": index}, {}


@case
def sequence_mask(draw):
    axis, shape = one_of(draw, 0, 1), (4, 3, 2)
    lengths = np.array([draw(st.integers(0, shape[axis])) for _ in range(shape[1 - axis])], np.float32)
    symbol = mx.sym.SequenceMask(data, mx.sym.var("length"), use_sequence_length=True, value=-1.5, axis=axis)
    return symbol, {"data": numbers(draw, *shape), "length": lengths}, {}


# -- images ------------------------------------------------------------------------------------------------------------


@case
def upsampling(draw):
    scale = size(draw, 1, 3)
    if flag(draw):
        symbol = mx.sym.UpSampling(data, scale=scale, sample_type="nearest")
        return symbol, {"data": numbers(draw, 1, 2, size(draw), size(draw))}, {}
    kernel = 2 * scale - scale % 2
    symbol = mx.sym.UpSampling(
        data, mx.sym.var("weight"), scale=scale, sample_type="bilinear", num_filter=3, num_args=2
    )
    return symbol, {"data": numbers(draw, 1, 3, 4, 5)}, {"weight": numbers(draw, 3, 1, kernel, kernel)}


@case
def joined_upsampling(draw):
    symbol = mx.sym.UpSampling(
        data,
        mx.sym.var("small"),
        scale=1,
        sample_type="nearest",
        multi_input_mode=one_of(draw, "concat", "sum"),
        num_args=2,
    )
    return symbol, {"data": numbers(draw, 1, 2, 4, 6), "small": numbers(draw, 1, 2, 2, 3)}, {}


@case
def bilinear_resize(draw):
    given = one_of(
        draw,
        {"height": size(draw, 1, 9), "width": size(draw, 1, 9)},
        {"scale_height": 2.0, "scale_width": 1.5},
        {"scale_height": 0.6, "scale_width": 1.9},
    )
    symbol = mx.sym.contrib.BilinearResize2D(data, align_corners=flag(draw), **given)
    return symbol, {"data": numbers(draw, 1, 2, size(draw, 1, 6), size(draw, 2, 6))}, {}


# -- attention ---------------------------------------------------------------------------------------------------------


@case
def attention(draw):
    heads, batch, n, m, dim = (size(draw, 1, 3) for _ in range(5))
    both, q, kv = mx.sym.var("both"), mx.sym.var("q"), mx.sym.var("kv")
    kind = one_of(draw, "self", "cross")
    if kind == "self":
        scores = mx.sym.contrib.interleaved_matmul_selfatt_qk(both, heads=heads)
        out = mx.sym.contrib.interleaved_matmul_selfatt_valatt(both, mx.sym.softmax(scores), heads=heads)
        return out, {"both": numbers(draw, n, batch, heads * 3 * dim)}, {}
    scores = mx.sym.contrib.interleaved_matmul_encdec_qk(q, kv, heads=heads)
    out = mx.sym.contrib.interleaved_matmul_encdec_valatt(kv, mx.sym.softmax(scores), heads=heads)
    return out, {"q": numbers(draw, n, batch, heads * dim), "kv": numbers(draw, m, batch, heads * 2 * dim)}, {}


@case
def shapes_only(draw):
    """What follows from shapes is constant; it is added to the data, which must not be lost."""
    shape = (1, 2, size(draw, 2, 4), size(draw, 2, 4))
    kind = one_of(draw, "prior", "arange", "ones")
    if kind == "arange":
        return mx.sym.broadcast_add(data, mx.sym.contrib.arange_like(data, axis=3)), {"data": numbers(draw, *shape)}, {}
    if kind == "ones":
        return data + mx.sym.ones_like(data), {"data": numbers(draw, *shape)}, {}
    boxes = mx.sym.contrib.MultiBoxPrior(data, sizes=(0.4, 0.7), ratios=(1, 2), clip=flag(draw))
    return mx.sym.broadcast_add(boxes, mx.sym.sum(data)), {"data": numbers(draw, *shape)}, {}


def boxes_of(draw, count, center):
    """(count, 4): some small, some that overlap much, one whose ends are in the wrong order."""
    start = numbers(draw, count, 2, low=0.0, high=0.6)
    size = numbers(draw, count, 2, low=0.05, high=0.4)
    start[1::2], size[1::2] = start[: count // 2] + 0.02, size[: count // 2]
    found = np.concatenate([start + size / 2, size] if center else [start, start + size], axis=1)
    if not center and count > 2:
        found[2, 0], found[2, 2] = found[2, 2], found[2, 0]
    return found


@case
def box_nms(draw):
    examples, count, center = size(draw, 1, 2), size(draw, 2, 12), flag(draw)
    rows = []
    for _ in range(examples):
        ids, scores = distinct(draw, count) % 3 - 1, distinct(draw, count) / 16
        rows.append(np.concatenate([ids[:, None], scores[:, None], boxes_of(draw, count, center)], axis=1))
    form = "center" if center else "corner"
    symbol = mx.sym.contrib.box_nms(
        data,
        overlap_thresh=one_of(draw, 0.3, 0.5, 0.8),
        valid_thresh=one_of(draw, -1.0, 0.0, 0.2),
        topk=one_of(draw, -1, 3, 50),
        id_index=one_of(draw, -1, 0, 0),
        background_id=one_of(draw, -1, 0),
        force_suppress=flag(draw),
        in_format=form,
        out_format=form,
        name="nms",
    )
    return symbol, {"data": np.stack(rows).astype(np.float32)}, {}


@case
def multibox_detection(draw):
    examples, classes, count = size(draw, 1, 2), size(draw, 2, 4), size(draw, 2, 10)
    anchors = boxes_of(draw, count, False)
    anchors[:, 2:] = np.maximum(anchors[:, :2], anchors[:, 2:])
    symbol = mx.sym.contrib.MultiBoxDetection(
        mx.sym.var("scores"),
        mx.sym.var("moves"),
        mx.sym.var("anchors"),
        clip=flag(draw),
        threshold=one_of(draw, 0.01, 0.4),
        nms_threshold=one_of(draw, 0.3, 0.5, 0.7),
        force_suppress=flag(draw),
        nms_topk=one_of(draw, -1, 3),
        name="detections",
    )
    given = {
        "scores": np.abs(distinct(draw, examples, classes, count)) / 64
        + numbers(draw, examples, classes, count) / 1000,
        "moves": numbers(draw, examples, count * 4),
        "anchors": anchors[None].astype(np.float32),
    }
    return symbol, given, {}


@case
def box_decode(draw):
    examples, count, form = size(draw, 1, 2), size(draw, 1, 6), one_of(draw, "center", "corner")
    symbol = mx.sym.contrib.box_decode(
        mx.sym.var("moves"),
        mx.sym.var("anchors"),
        std0=0.1,
        std1=0.3,
        std2=0.2,
        std3=0.5,
        clip=one_of(draw, -1.0, 0.1, 0.6),
        format=form,
        name="decoded",
    )
    anchors = boxes_of(draw, count, form == "center")[None].astype(np.float32)
    return symbol, {"moves": numbers(draw, examples, count, 4), "anchors": anchors}, {}
