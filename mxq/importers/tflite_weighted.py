"""TFLite's layers with weights as MXNet operators."""

from typing import Tuple

import numpy as np

from ..network.graph import Value
from .builder import Integers, Table, Top
from .int8_weights import fitted, in_parts
from .tflite_fields import activated, spans, spread
from .tflite_net import Op, TfNet

WEIGHTED = Table()


@WEIGHTED.of("CONV_2D", "DEPTHWISE_CONV_2D")
def convolution(net: TfNet, op: Op) -> None:
    options = op.options
    x, weight = net.image(op), net.top(op, 1)
    depthwise = op.type == "DEPTHWISE_CONV_2D"
    if weight.constant is None or len(weight.shape) != 4:
        raise op.error(f"has weights of shape {weight.shape}", "accepted are constants of four axes")
    weight = moved(weight, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))  # depthwise: (1, H, W, C * multiplier)
    outputs, inner, kernel = weight.shape[0], weight.shape[1], weight.shape[2:]
    group = x.channels if depthwise else 1
    if not depthwise and inner and x.channels % inner == 0:
        group = x.channels // inner  # grouped, as TFLite has it: by the shape of the weights
    if x.channels != inner * group or outputs % group:
        raise op.error(f"reads {x.channels} channels", f"its weights of {net.shape(op, 1)} do not fit")
    found = fitted(net, op, x, weight, inputs=1, axis=1, groups=group)
    x = found.x
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    size, begin, end = spans(op, x.shape[2:], kernel, stride, dilation, options.Padding())
    attrs = {
        "num_filter": outputs,
        "kernel": kernel,
        "stride": stride,
        "pad": begin if begin == end else (0, 0),
        "dilate": dilation,
        "num_group": group,
    }
    shape = (x.shape[0], outputs, *size)

    def layer(part: Top, suffix: str, has_bias: bool) -> Value:
        inputs = [spread(net, op, x, begin, end, suffix=suffix), parameter(net, op, part, f"weight{suffix}")]
        if net.has(op, 2) and has_bias:
            inputs.append(parameter(net, op, net.top(op, 2), "bias"))
        return net.emit(op, "Convolution", inputs, {**attrs, "no_bias": len(inputs) < 3}, shape, suffix)

    value = activated(
        net,
        op,
        lambda suffix: in_parts(net, op, found, layer, shape, suffix),
        options.FusedActivationFunction(),
        shape,
    )
    net.write(op, value, shape, first=True)


@WEIGHTED.of("FULLY_CONNECTED")
def fully_connected(net: TfNet, op: Op) -> None:
    options = op.options
    if options.WeightsFormat():
        raise op.error(f"has weights in the format {options.WeightsFormat()}", "accepted is the default")
    x, weight = net.read(op), net.top(op, 1)
    outputs, inner = weight.shape if len(weight.shape) == 2 else (0, 0)
    total = int(np.prod(x.shape))
    if weight.constant is None or not inner or total % inner:
        raise op.error(f"multiplies {x.shape} and {weight.shape}", "accepted are constants of two axes that fit")
    if len(x.shape) != 2 or x.shape[1] != inner:
        x = _rows(net, op, x, (total // inner, inner))
    x, weight, _ = fitted(net, op, x, weight, inputs=1, axis=1)
    inputs = [x.value, parameter(net, op, weight, "weight")]
    if net.has(op, 2):
        inputs.append(parameter(net, op, net.top(op, 2), "bias"))
    shape = (x.shape[0], outputs)
    attrs = {"num_hidden": outputs, "no_bias": len(inputs) < 3, "flatten": True}
    number = options.FusedActivationFunction()
    value = activated(
        net, op, lambda suffix: net.emit(op, "FullyConnected", inputs, attrs, shape, suffix), number, shape
    )
    declared = net.stored[op.outputs[0]][0]
    if declared and declared != shape and int(np.prod(declared)) == int(np.prod(shape)):
        value, shape = net.emit(op, "Reshape", [value], {"shape": declared}, declared, "_kept"), declared
    net.write(op, value, shape)


def _rows(net: TfNet, op: Op, x: Top, shape) -> Top:
    """A tensor as a matrix of this shape."""
    name = f"{op.name}_rows"
    value = net.emit(op, "Reshape", [x.value], {"shape": (-1, shape[1])}, shape, "_rows")
    net.set(name, Top(value, shape, qparams=x.qparams))
    found = net.valued(name)
    del net.tops[name]
    return found


def parameter(net: TfNet, op: Op, top: Top, suffix: str):
    """A constant as a parameter; its integers, if the file has such, are remembered."""
    if top.constant is None:
        raise op.error(f"has a {suffix} that depends on the data", "accepted are constants")
    value = net.param(op, top.constant, suffix)
    if top.integers is not None:
        net.weights[value.node.name] = top.integers
    return value


def moved(top: Top, axes: Tuple[int, ...]) -> Top:
    """A constant with its axes in another order."""
    array, integers = np.ascontiguousarray(np.transpose(top.constant, axes)), top.integers
    if integers is not None:
        axis = axes.index(integers.axis) if integers.scale.size > 1 else 0
        integers = Integers(np.ascontiguousarray(integers.integers.transpose(axes)), integers.scale, axis)
    return top._replace(constant=array, shape=array.shape, integers=integers)
