"""Arrays at the address of freed ones, with the same version: nothing that was kept of the old one may be used.

MXNet gives an operator the address and the version of an array, and makes a new state for every forward of a hybridized
block. Here the host puts arrays into one place on purpose.
"""

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.graph import VARIABLE, Node
from mxq.network.regions import digest_of, encode, pack

from ..ops.calling import integers, nd
from ..ops.test_packed_weights import CONV, DENSE, conv_inputs
from ..reference.conv import conv
from ..reference.fully_connected import fully_connected
from . import abi, devices

LIBRARY = abi.Library(mxq.library_path())
BACKENDS = [("auto",), ("avx",), ("onednn",)]
CHANGED = [(0, 0, 0, 0), (17, 301, 1, 2), (39, 511, 2, 2), (20, 64, 0, 1)]


class OnePlace:
    """Runs an operator on arrays that lie where those of the last run lay, in a new state each time or in one."""

    def __init__(self, op, attrs, arrays):
        self.device = devices.Cpu()
        self.node = LIBRARY.operators[op].bind(attrs)
        self.buffers = [self.device.put(a) for a in arrays]
        self.types, self.shapes = [str(a.dtype) for a in arrays], [a.shape for a in arrays]
        self.outputs = list(zip(self.node.infer_types(self.types)[1], self.node.infer_shapes(self.shapes)[1]))

    def state(self):
        return self.node.create_state(self.device, self.types, self.shapes)

    def run(self, arrays, state=None, version=1):
        for buffer, array in zip(self.buffers, arrays):
            buffer.write(array)
        outputs = [self.device.empty(t, s) for t, s in self.outputs]
        seen = [b.array._replace(version=version) for b in self.buffers]
        if state is not None:
            state.forward(seen, [b.array for b in outputs])
        else:
            with self.state() as own:
                own.forward(seen, [b.array for b in outputs])
        for buffer in self.buffers + outputs:
            buffer.check()
        return [b.numpy() for b in outputs]


def with_one_changed(weight, at):
    weight = weight.copy()
    weight[at] = 127 if weight[at] < 0 else -127
    return weight


@parameterized.expand(BACKENDS)
def test_one_weight_of_a_convolution(backend):
    inputs = conv_inputs(0, channels=512)
    place = OnePlace("mxq_conv", dict(CONV, backend=backend), inputs)
    for at in [None, *CHANGED, None]:
        now = [inputs[0], inputs[1] if at is None else with_one_changed(inputs[1], at), *inputs[2:]]
        assert np.array_equal(place.run(now)[0], conv(*now, None, None, CONV)), at
    for i, at in ((2, 7), (3, 31)):  # scale, bias
        now = [a.copy() for a in inputs]
        now[i][at] *= 2
        assert np.array_equal(place.run(now)[0], conv(*now, None, None, CONV)), i


@parameterized.expand(BACKENDS)
def test_one_weight_of_a_dense_layer(backend):
    rng = np.random.RandomState(1)
    inputs = [
        rng.randint(0, 256, (2, 20000)).astype(np.uint8),
        rng.randint(-2, 3, (24, 20000)).astype(np.int8),
        rng.uniform(0.01, 0.02, 24).astype(np.float32),
        rng.randint(-99, 99, 24).astype(np.int32),
    ]
    place = OnePlace("mxq_fully_connected", dict(DENSE, backend=backend), inputs)
    for at in (None, (0, 0), (11, 10001), (23, 19999), None):
        now = [inputs[0], inputs[1] if at is None else with_one_changed(inputs[1], at), *inputs[2:]]
        assert np.array_equal(place.run(now)[0], fully_connected(*now, None, None, DENSE)), at


@parameterized.expand([("auto",), ("avx",)])
def test_a_state_that_the_host_keeps_sees_new_versions(backend):
    inputs = conv_inputs(2, channels=512)
    place = OnePlace("mxq_conv", dict(CONV, backend=backend), inputs)
    with place.state() as state:
        for version, at in enumerate([None, *CHANGED, None]):
            now = [inputs[0], inputs[1] if at is None else with_one_changed(inputs[1], at), *inputs[2:]]
            assert np.array_equal(place.run(now, state, version)[0], conv(*now, None, None, CONV)), at


def test_fresh_arrays_of_mxnet():
    inputs = conv_inputs(3, channels=512)
    for turn in range(12):
        weight = with_one_changed(inputs[1], (turn, 40 * turn, turn % 3, 1))
        got = mx.nd.mxq_conv(nd(inputs[0]), nd(weight), nd(inputs[2]), nd(inputs[3]), **CONV).asnumpy()
        assert np.array_equal(got, conv(inputs[0], weight, *inputs[2:], None, None, CONV)), turn


@parameterized.expand([("hybridize", {}), ("static", dict(static_alloc=True, static_shape=True))])
def test_weights_as_data_of_a_block(_, flags):
    """A network that takes its weights as data: MXNet holds no parameter there, however long it keeps the state."""
    inputs = conv_inputs(4, channels=64)
    names = ["data", "weight", "scale", "bias"]
    variables = [mx.sym.var(n, shape=a.shape, dtype=a.dtype) for n, a in zip(names, inputs)]
    net = mx.gluon.SymbolBlock(mx.sym.mxq_conv(*variables, **CONV), variables)
    net.hybridize(**flags)
    others = [nd(inputs[0]), nd(inputs[2]), nd(inputs[3])]
    for turn in range(24):
        weight = with_one_changed(inputs[1], (turn, turn, turn % 3, 1))
        got = net(others[0], nd(weight), *others[1:]).asnumpy()
        assert np.array_equal(got, conv(inputs[0], weight, *inputs[2:], None, None, CONV)), turn


def region(params, with_digest=True):
    """(attributes, packed parameters) of a convolution as a region."""
    names = ["weight", "scale", "bias"]
    data, *own = [Node(VARIABLE, n).out() for n in ["data", *names]]
    node = Node("mxq_conv", "conv", {k: str(v) for k, v in CONV.items()}, [data, *own])
    vector, places = pack(dict(zip(names, params)))
    digest = digest_of(vector) if with_digest else ""
    attrs = encode([node], [data], [node.out()], list(zip(own, places)), digest)
    attrs["node"] = "the_region"
    return attrs, vector if with_digest else vector[: places[-1].offset + places[-1].size]


def test_a_region_without_a_digest():
    inputs = conv_inputs(5, channels=512)
    attrs, vector = region(inputs[1:], with_digest=False)
    place = OnePlace("mxq_region", attrs, [inputs[0], vector])
    for at in [None, *CHANGED, None]:
        now = [inputs[1] if at is None else with_one_changed(inputs[1], at), *inputs[2:]]
        got = place.run([inputs[0], region(now, with_digest=False)[1]])
        assert np.array_equal(got[0], conv(inputs[0], *now, None, None, CONV)), at


def test_networks_that_take_turns_at_one_place():
    inputs = conv_inputs(6, channels=512)
    several = [[with_one_changed(inputs[1], at), *inputs[2:]] for at in CHANGED]
    networks = [region(params) for params in several]
    places = [OnePlace("mxq_region", networks[0][0], [inputs[0], networks[0][1]])]
    for attrs, vector in networks[1:]:
        places.append(OnePlace("mxq_region", attrs, [inputs[0], vector]))
        places[-1].buffers = places[0].buffers
    for turn in range(12):
        which = turn * 7 % len(networks)
        got = places[which].run([inputs[0], networks[which][1]])
        assert np.array_equal(got[0], conv(inputs[0], *several[which], None, None, CONV)), turn


def refusal(body):
    try:
        body()
    except abi.HostError as error:
        return str(error)
    raise AssertionError("expected a HostError")


def test_parameters_of_another_network_are_refused():
    inputs = conv_inputs(7)
    attrs, vector = region(inputs[1:])
    _, other = region([with_one_changed(inputs[1], (1, 2, 0, 0)), *inputs[2:]])
    place = OnePlace("mxq_region", attrs, [inputs[0], vector])
    want = conv(*inputs, None, None, CONV)
    for version in (1, 1, 2):
        assert np.array_equal(place.run([inputs[0], vector], version=version)[0], want)
        text = refusal(lambda v=version: place.run([inputs[0], other], version=v))
        for part in ("mxq_region 'the_region'", digest_of(vector), digest_of(other), "saved together"):
            assert part in text, text
    zeros = refusal(lambda: place.run([inputs[0], np.zeros_like(vector)]))
    assert "never loaded" in zeros


def test_damaged_parameters_are_refused():
    inputs = conv_inputs(8)
    attrs, vector = region(inputs[1:])
    place = OnePlace("mxq_region", attrs, [inputs[0], vector])
    for i, at in enumerate((0, 5000, len(vector) - 17)):
        damaged = vector.copy()
        damaged[at] ^= 1
        for _ in range(2):
            text = refusal(lambda d=damaged, v=100 + i: place.run([inputs[0], d], version=v))
            assert "mxq_region 'the_region'" in text and "changed since" in text, text
    assert np.array_equal(place.run([inputs[0], vector])[0], conv(*inputs, None, None, CONV))


@parameterized.expand([("one_state", True), ("new_states", False)])
def test_weights_that_the_region_computes(_, one_state):
    """A transpose makes the weight: the kernel finds it at the same place of the arena at every forward."""
    rng = np.random.RandomState(9)
    inputs = conv_inputs(9)
    data, weight = Node(VARIABLE, "data").out(), Node(VARIABLE, "weight").out()
    turned = Node("mxq_transpose", "turned", {"axes": "(3, 2, 0, 1)"}, [weight])
    own = [Node(VARIABLE, n).out() for n in ("scale", "bias")]
    node = Node("mxq_conv", "conv", {k: str(v) for k, v in CONV.items()}, [data, turned.out(), *own])
    vector, places = pack(dict(zip(("scale", "bias"), inputs[2:])))
    attrs = encode([turned, node], [data, weight], [node.out()], list(zip(own, places)), digest_of(vector))
    given = np.ascontiguousarray(inputs[1].transpose(2, 3, 1, 0))  # (3, 3, 32, 40)
    place = OnePlace("mxq_region", attrs, [inputs[0], given, vector])
    with place.state() as state:
        for _ in range(4):
            now = integers(rng, "int8", given.shape)
            got = place.run([inputs[0], now, vector], state if one_state else None)
            want = conv(inputs[0], now.transpose(3, 2, 0, 1), *inputs[2:], None, None, CONV)
            assert np.array_equal(got[0], want)
