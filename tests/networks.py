"""Small float networks with seeded parameters: every shape of graph that passes and operators must take.

Each function returns ``(symbol, arg_params, aux_params, data_shapes)``; ``NETWORKS`` lists them by name. Sizes are odd
and channels no multiples of 4, so that nothing passes by luck.
"""

from typing import Callable, Dict, List, Mapping, Tuple, Union

import mxnet as mx
import numpy as np

from mxq.network.bind import unfused
from mxq.network.graph import Graph

Shapes = Dict[str, Tuple[int, ...]]
Network = Tuple[mx.sym.Symbol, Dict[str, mx.nd.NDArray], Dict[str, mx.nd.NDArray], Shapes]
NETWORKS: Dict[str, Callable[[], Network]] = {}


def network(function: Callable[[], Network]) -> Callable[[], Network]:
    NETWORKS[function.__name__] = function
    return function


# -- parameters, data, running ---------------------------------------------------------------------------------------


def fill(sym: mx.sym.Symbol, data_shapes: Shapes, seed: int = 0) -> Network:
    """Draws parameters that keep activations near 1: He weights, BatchNorms that neither start nor end as identity."""
    rng = np.random.RandomState(seed)
    arg_shapes, _, aux_shapes = sym.infer_shape(**data_shapes)
    args, aux = {}, {}
    for name, shape in zip(sym.list_arguments(), arg_shapes):
        if name not in data_shapes and not name.endswith("label"):
            args[name] = mx.nd.array(_draw(rng, name, shape))
    for name, shape in zip(sym.list_auxiliary_states(), aux_shapes):
        aux[name] = mx.nd.array(_draw(rng, name, shape))
    return sym, args, aux, data_shapes


def _draw(rng: np.random.RandomState, name: str, shape: Tuple[int, ...]) -> np.ndarray:
    if name.endswith("gamma"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith("var"):
        return rng.uniform(0.3, 2.0, shape)
    if name.endswith(("beta", "mean", "bias")):
        return rng.normal(0, 0.3, shape)
    if name.endswith("slope"):
        return rng.uniform(0.05, 0.4, shape)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return rng.normal(0, np.sqrt(2.0 / fan_in), shape)


def batch(data_shapes: Shapes, seed: int = 1) -> Dict[str, np.ndarray]:
    """Standard normal data of these shapes."""
    rng = np.random.RandomState(seed)
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in data_shapes.items()}


def forward(model: Union[Graph, tuple], data: Mapping[str, np.ndarray]) -> List[np.ndarray]:
    """Runs a Graph, or a tuple that begins with (symbol, arg_params, aux_params), through the symbol executor."""
    sym, args, aux = model.to_symbol() if isinstance(model, Graph) else model[:3]
    used = {name: array for name, array in data.items() if name in sym.list_arguments()}
    shapes = {name: array.shape for name, array in used.items()}
    types = {name: array.dtype for name, array in used.items()}
    with unfused():
        executor = sym.simple_bind(mx.cpu(), grad_req="null", type_dict=types, **shapes)
    executor.copy_params_from(args, aux, allow_extra_params=False)
    feed = {name: mx.nd.array(array, dtype=array.dtype) for name, array in used.items()}
    return [output.asnumpy() for output in executor.forward(is_train=False, **feed)]


def graph_of(net: Network) -> Graph:
    return Graph.from_symbol(*net[:3])


# -- pieces ----------------------------------------------------------------------------------------------------------


def conv(x, name: str, channels: int, kernel=(3, 3), **attrs):
    attrs.setdefault("pad", tuple(k // 2 for k in kernel))
    return mx.sym.Convolution(x, name=name, num_filter=channels, kernel=kernel, **attrs)


def bn(x, name: str, **attrs):
    attrs.setdefault("fix_gamma", False)
    return mx.sym.BatchNorm(x, name=name, **attrs)


def relu(x, name: str):
    return mx.sym.Activation(x, act_type="relu", name=name)


def head(x, hidden: int = 5):
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name="gap")
    return mx.sym.FullyConnected(x, num_hidden=hidden, name="fc")


# -- the networks ----------------------------------------------------------------------------------------------------


@network
def plain() -> Network:
    """conv-bn-relu three times, with every kind of bias, eps and fix_gamma."""
    x = mx.sym.var("data")
    x = relu(bn(conv(x, "conv0", 6, no_bias=True), "bn0", eps=2e-5), "relu0")
    x = relu(bn(conv(x, "conv1", 7, stride=(2, 2)), "bn1", fix_gamma=True), "relu1")
    x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool")
    x = relu(bn(conv(x, "conv2", 9, dilate=(2, 2), pad=(2, 2)), "bn2", use_global_stats=True), "relu2")
    x = mx.sym.SoftmaxOutput(head(x), name="softmax")
    return fill(x, {"data": (2, 3, 13, 11)})


@network
def residual() -> Network:
    """Identity and projection shortcuts."""
    x = relu(bn(conv(mx.sym.var("data"), "conv0", 6, no_bias=True), "bn0"), "relu0")
    y = relu(bn(conv(x, "a_conv1", 6, no_bias=True), "a_bn1"), "a_relu1")
    y = bn(conv(y, "a_conv2", 6, no_bias=True), "a_bn2")
    x = relu(mx.sym.elemwise_add(y, x, name="a_add"), "a_relu2")
    y = relu(bn(conv(x, "b_conv1", 10, stride=(2, 2), no_bias=True), "b_bn1"), "b_relu1")
    y = bn(conv(y, "b_conv2", 10, no_bias=True), "b_bn2")
    short = bn(conv(x, "b_down", 10, (1, 1), stride=(2, 2), no_bias=True), "b_bn3")
    x = relu(y + short, "b_relu2")
    return fill(head(x), {"data": (2, 3, 9, 9)})


@network
def depthwise() -> Network:
    """MobileNetV2-like: expand, depthwise, project, clip to 6, a shortcut after a linear layer."""
    x = mx.sym.var("data")
    x = mx.sym.clip(bn(conv(x, "conv0", 6, no_bias=True), "bn0"), a_min=0, a_max=6, name="clip0")
    y = mx.sym.clip(bn(conv(x, "expand", 10, (1, 1), no_bias=True), "bn1"), a_min=0, a_max=6, name="clip1")
    y = mx.sym.clip(bn(conv(y, "dw", 10, num_group=10, no_bias=True), "bn2"), a_min=0, a_max=6, name="clip2")
    y = bn(conv(y, "project", 6, (1, 1), no_bias=True), "bn3")
    x = mx.sym.elemwise_add(x, y, name="add")
    x = relu(bn(conv(x, "grouped", 9, num_group=3), "bn4"), "relu4")
    return fill(head(x), {"data": (2, 3, 9, 10)})


@network
def inception() -> Network:
    """Concat of branches that differ in range; one branch is a pooling."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    a = relu(conv(x, "a", 5, (1, 1)), "relu_a")
    b = relu(conv(relu(conv(x, "b_reduce", 3, (1, 1)), "relu_br"), "b", 7, (5, 5)), "relu_b")
    c = mx.sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="avg", name="pool_c")
    c = relu(conv(c, "c", 2, (1, 1)), "relu_c")
    d = mx.sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="max", name="pool_d")
    x = mx.sym.Concat(a, b, c, d, dim=1, name="concat")
    return fill(head(relu(conv(x, "conv1", 6), "relu1")), {"data": (2, 3, 9, 9)})


@network
def normalized() -> Network:
    """LRN behind a pooling, behind a convolution, and behind one that others read too (AlexNet, GoogLeNet)."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool0")
    x = mx.sym.LRN(x, nsize=5, alpha=0.5, name="norm0")
    x = mx.sym.LRN(relu(conv(x, "conv1", 7), "relu1"), nsize=3, alpha=0.8, beta=0.6, knorm=1, name="norm1")
    x = mx.sym.Pooling(x, kernel=(2, 2), pool_type="max", name="pool1")
    x = relu(conv(x, "conv2", 5), "relu2")
    y = mx.sym.LRN(x, nsize=9, alpha=0.3, name="norm2")
    x = mx.sym.Concat(conv(y, "conv3", 4), conv(x, "conv4", 4), dim=1, name="join")
    return fill(head(x), {"data": (2, 3, 13, 13)})


@network
def squeeze_excite() -> Network:
    """A gate per channel through broadcast_mul, hard-swish written out."""
    x = bn(conv(mx.sym.var("data"), "conv0", 8, no_bias=True), "bn0")
    x = mx.sym.broadcast_mul(x, mx.sym.clip(x + 3, a_min=0, a_max=6, name="hs_clip") / 6, name="hswish")
    gate = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name="squeeze")
    gate = relu(conv(gate, "reduce", 3, (1, 1)), "relu_r")
    gate = mx.sym.sigmoid(conv(gate, "excite", 8, (1, 1)), name="gate")
    x = mx.sym.broadcast_mul(x, gate, name="scaled")
    return fill(head(conv(x, "conv1", 6)), {"data": (2, 3, 9, 9)})


@network
def preactivation() -> Network:
    """BN -> relu -> conv, a BN on the data before a padded conv, and one BN before two convs without padding."""
    x = bn(mx.sym.var("data"), "bn_data", fix_gamma=True)
    x = conv(x, "conv0", 6, no_bias=True)
    y = relu(bn(x, "bn1"), "relu1")
    y = conv(y, "conv1", 6, no_bias=True)
    x = x + y
    x = bn(x, "bn2")
    a = conv(x, "conv2a", 5, (1, 1), no_bias=True)
    b = conv(x, "conv2b", 5, (1, 1))
    x = relu(bn(a + b, "bn3"), "relu3")
    return fill(head(x), {"data": (2, 3, 9, 9)})


@network
def shared() -> Network:
    """One weight in three convolutions: two with the same BatchNorm parameters, one with its own."""
    data = mx.sym.var("data")
    x = relu(conv(data, "conv0", 6), "relu0")
    weight, bias = mx.sym.var("shared_weight"), mx.sym.var("shared_bias")
    stats = [mx.sym.var(f"shared_bn_{part}") for part in ("gamma", "beta", "moving_mean", "moving_var")]
    outs = []
    for i in range(2):
        x = conv(x, f"twice{i}", 6, weight=weight, bias=bias)
        x = mx.sym.BatchNorm(x, *stats, fix_gamma=False, name=f"twice_bn{i}")
        x = relu(x, f"twice_relu{i}")
        outs.append(x)
    y = bn(conv(outs[0], "third", 6, weight=weight, bias=bias), "third_bn")
    return fill(head(mx.sym.elemwise_add(x, y, name="add")), {"data": (2, 3, 8, 8)})


@network
def multi_output() -> Network:
    """Three heads of different depth; one is a BatchNorm whose value the others use too."""
    x = relu(bn(conv(mx.sym.var("data"), "conv0", 6), "bn0"), "relu0")
    middle = bn(conv(x, "conv1", 7, no_bias=True), "bn1")
    boxes = conv(relu(middle, "relu1"), "boxes", 8)
    classes = mx.sym.softmax(conv(relu(middle, "relu2"), "classes", 6), axis=1, name="prob")
    return fill(mx.sym.Group([boxes, middle, classes]), {"data": (1, 3, 9, 7)})


@network
def multi_input() -> Network:
    """Two images and a vector."""
    left = relu(bn(conv(mx.sym.var("left"), "conv_l", 5), "bn_l"), "relu_l")
    right = relu(conv(mx.sym.var("right"), "conv_r", 5), "relu_r")
    x = mx.sym.Concat(left, right, dim=1, name="both")
    x = mx.sym.Flatten(mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="max", name="gmp"))
    vector = relu(mx.sym.FullyConnected(mx.sym.var("vector"), num_hidden=5, name="fc_v"), "relu_v")
    x = mx.sym.Concat(x, vector, dim=1, name="all")
    x = mx.sym.FullyConnected(x, num_hidden=4, name="fc")
    return fill(x, {"left": (2, 3, 8, 8), "right": (2, 1, 8, 8), "vector": (2, 7)})


@network
def fully_connected() -> Network:
    """Layers on flattened and on kept axes, with BN behind, without bias."""
    x = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=11, name="fc0")
    x = mx.sym.Activation(bn(x, "bn0"), act_type="tanh", name="tanh0")
    x = mx.sym.FullyConnected(x, num_hidden=9, no_bias=True, name="fc1")
    x = relu(bn(x, "bn1", axis=-1), "relu1")
    x = mx.sym.Reshape(x, shape=(0, 3, 3), name="rows")
    x = mx.sym.FullyConnected(x, num_hidden=7, flatten=False, name="fc2")
    x = relu(bn(x, "bn2", axis=2), "relu2")
    x = mx.sym.LeakyReLU(mx.sym.FullyConnected(x, num_hidden=4, name="fc3"), act_type="leaky", slope=0.1, name="leaky")
    return fill(x, {"data": (3, 2, 5, 4)})


@network
def conv1d() -> Network:
    """One spatial axis."""
    x = relu(bn(conv(mx.sym.var("data"), "conv0", 6, (5,), stride=(2,), no_bias=True), "bn0"), "relu0")
    x = mx.sym.Pooling(x, kernel=(2,), stride=(2,), pool_type="max", name="pool")
    x = relu(bn(conv(x, "conv1", 8, (3,), dilate=(2,), pad=(2,), num_group=2), "bn1"), "relu1")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(1,), pool_type="avg", name="gap")
    return fill(mx.sym.FullyConnected(x, num_hidden=5, name="fc"), {"data": (2, 4, 27)})


@network
def noops() -> Network:
    """Dropout, identity, BlockGrad, casts; Dropout as an output that the next layer reads too."""
    x = mx.sym.identity(mx.sym.var("data"), name="copy0")
    x = relu(mx.sym.Dropout(conv(x, "conv0", 6), p=0.5, name="drop0"), "relu0")
    x = mx.sym.BlockGrad(mx.sym.identity(x, name="copy1"), name="block1")
    x = mx.sym.Cast(mx.sym.Cast(x, dtype="float32", name="cast0"), dtype="float32", name="cast1")
    middle = mx.sym.Dropout(x, p=0.3, name="drop1")
    x = mx.sym.Dropout(head(middle), p=0.1, name="drop2")
    return fill(mx.sym.Group([mx.sym.make_loss(x, name="loss"), middle]), {"data": (2, 3, 8, 8)})


@network
def padded() -> Network:
    """Pad before conv and pooling: symmetric, asymmetric, shared, with a value, of the edge."""

    def pad(x, name, width, **attrs):
        attrs.setdefault("mode", "constant")
        return mx.sym.Pad(x, pad_width=(0, 0, 0, 0, *width), name=name, **attrs)

    x = mx.sym.var("data")
    x = relu(conv(pad(x, "pad_even", (1, 1, 2, 2)), "conv0", 6, pad=(0, 0)), "relu0")
    x = relu(bn(conv(pad(x, "pad_odd", (0, 1, 0, 1)), "conv1", 6, pad=(0, 0), stride=(2, 2)), "bn1"), "relu1")
    x = mx.sym.Pooling(pad(x, "pad_max", (1, 1, 1, 1)), kernel=(3, 3), pool_type="max", name="max")
    x = conv(x, "conv2", 5, (1, 1))
    x = mx.sym.Pooling(pad(x, "pad_avg", (1, 1, 1, 1)), kernel=(3, 3), stride=(2, 2), pool_type="avg", name="avg")
    both = pad(x, "pad_two", (1, 1, 1, 1))
    x = conv(both, "conv3a", 4, pad=(1, 1)) + conv(both, "conv3b", 4, pad=(1, 1), dilate=(1, 1))
    x = conv(pad(x, "pad_one", (1, 1, 1, 1), constant_value=1.0), "conv4", 4, pad=(0, 0))
    x = conv(pad(x, "pad_edge", (1, 1, 1, 1), mode="edge"), "conv5", 4, pad=(0, 0))
    return fill(head(x), {"data": (2, 3, 14, 12)})


@network
def middle_output() -> Network:
    """Outputs in the middle: a convolution that its BatchNorm reads as well, and an activation."""
    first = conv(mx.sym.var("data"), "conv0", 6)
    second = relu(bn(first, "bn0"), "relu0")
    last = head(relu(bn(conv(second, "conv1", 7), "bn1"), "relu1"))
    return fill(mx.sym.Group([last, first, second]), {"data": (2, 3, 8, 8)})


@network
def doubled() -> Network:
    """``a + a`` and ``a * a``, and a sum of three."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    x = mx.sym.elemwise_add(x, x, name="twice")
    y = conv(x, "conv1", 6)
    y = mx.sym.elemwise_mul(y, y, name="square")
    return fill(head(mx.sym.add_n(x, y, x, name="sum3")), {"data": (2, 3, 8, 8)})


@network
def split() -> Network:
    """SliceChannel: one output to a conv with BN, one straight on, one unused."""
    x = relu(conv(mx.sym.var("data"), "conv0", 9), "relu0")
    parts = mx.sym.SliceChannel(x, num_outputs=3, axis=1, name="split")
    y = bn(conv(parts[1], "conv1", 3), "bn1")
    x = mx.sym.Concat(parts[0], y, dim=1, name="join")
    return fill(head(x), {"data": (2, 3, 8, 8)})


@network
def upsampled() -> Network:
    """Deconvolution with BN, groups, and nearest upsampling; PReLU per channel."""
    x = mx.sym.LeakyReLU(conv(mx.sym.var("data"), "conv0", 6), act_type="prelu", name="prelu0")
    x = mx.sym.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=4, num_group=2, name="up0")
    x = relu(bn(x, "bn0"), "relu0")
    x = mx.sym.UpSampling(x, scale=2, sample_type="nearest", name="up1")
    return fill(conv(x, "conv1", 3), {"data": (1, 3, 5, 6)})


@network
def shuffled() -> Network:
    """Half of the channels go straight on, the other half through layers; then means of every spelling."""
    x = relu(conv(mx.sym.var("data"), "conv0", 8), "relu0")
    straight, rest = mx.sym.split(x, num_outputs=2, axis=1, name="halves")
    x = mx.sym.Concat(straight, relu(conv(rest, "conv1", 4), "relu1"), dim=1, name="join")
    a, b, c = mx.sym._internal._split_v2(conv(x, "conv2", 9), indices=(0, 2, 5), axis=-3, name="parts")
    a = mx.sym.mean(conv(a, "conv_a", 5), axis=(2, 3), name="mean_a")
    b = mx.sym.mean(conv(b, "conv_b", 5), axis=(0, 1), exclude=True, keepdims=True, name="mean_b")
    c = mx.sym.contrib.AdaptiveAvgPooling2D(conv(c, "conv_c", 5), output_size=1, name="mean_c")
    d = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="max", name="max_d")
    parts = [a, mx.sym.Flatten(b, name="flat_b"), mx.sym.Flatten(c, name="flat_c"), mx.sym.Flatten(d, name="flat_d")]
    x = mx.sym.FullyConnected(mx.sym.Concat(*parts, dim=1, name="all"), num_hidden=4, name="fc")
    return fill(mx.sym.Flatten(x, name="flat"), {"data": (2, 3, 7, 8)})


@network
def flattened() -> Network:
    """Flatten behind a maximum, an average that is not global, and convolutions, one of which ends the network."""
    x = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    a = mx.sym.Flatten(mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="max"), name="flat_a")
    b = mx.sym.Flatten(mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="avg", name="avg"), name="flat_b")
    a, b = (mx.sym.FullyConnected(v, num_hidden=5, name=f"fc{i}") for i, v in enumerate((a, b)))
    c = mx.sym.Flatten(relu(conv(x, "conv1", 4, stride=(2, 2)), "relu1"), name="flat_c")
    d = mx.sym.Flatten(conv(x, "conv2", 3, (7, 8), pad=(0, 0)), name="flat_d")
    d = mx.sym.FullyConnected(relu(d, "relu2"), num_hidden=4, name="fc2")
    return fill(mx.sym.Group([a, b, c, d]), {"data": (2, 3, 7, 8)})


@network
def pyramid() -> Network:
    """Nearest upsampling added to a finer map, as in feature pyramids."""
    fine = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    coarse = relu(conv(fine, "conv1", 7, stride=(2, 2)), "relu1")
    up = mx.sym.UpSampling(conv(coarse, "lateral1", 5, (1, 1)), scale=2, sample_type="nearest", name="up")
    x = mx.sym.elemwise_add(conv(fine, "lateral0", 5, (1, 1)), up, name="add")
    return fill(conv(x, "conv2", 4), {"data": (1, 3, 8, 10)})


@network
def segmented() -> Network:
    """Bilinear resizes: of what is one pixel, between layers, and of the result, which somebody reads in both sizes."""
    fine = relu(conv(mx.sym.var("data"), "conv0", 6), "relu0")
    coarse = relu(conv(fine, "conv1", 7, stride=(2, 2)), "relu1")
    whole = mx.sym.Pooling(coarse, global_pool=True, pool_type="avg", kernel=(1, 1), name="pool")
    whole = relu(bn(conv(whole, "whole", 5, (1, 1)), "whole_bn"), "whole_relu")
    whole = mx.sym.contrib.BilinearResize2D(whole, height=5, width=6, name="repeated")
    x = mx.sym.Concat(whole, relu(conv(coarse, "part", 6), "part_relu"), dim=1, name="joined")
    x = relu(conv(x, "conv2", 9), "relu2")
    x = mx.sym.contrib.BilinearResize2D(x, scale_height=1.9, scale_width=2, align_corners=False, name="between")
    classes = conv(mx.sym.Concat(x, fine, dim=1, name="decoded"), "classes", 4)
    resized = mx.sym.contrib.BilinearResize2D(classes, height=27, width=25, name="resized")
    return fill(mx.sym.Group([resized, classes]), {"data": (2, 3, 9, 12)})


@network
def nothing_quantizable() -> Network:
    """No layer with weights."""
    x = mx.sym.softmax(mx.sym.log(mx.sym.exp(mx.sym.var("data"), name="exp") + 1, name="log"), name="prob")
    return fill(x, {"data": (2, 7)})
