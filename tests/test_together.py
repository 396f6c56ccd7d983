"""Networks that run side by side, in forks, and again and again: the integers of one run alone, and bounded memory.

MXQ_TOGETHER multiplies how much of it is done.
"""

import concurrent.futures
import gc
import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.network.files import load_params, load_symbol
from mxq.network.params import split_params

from . import networks
from .networks import forward

MORE = int(os.environ.get("MXQ_TOGETHER", "1"))
NAMES = ("residual", "depthwise", "inception", "squeeze_excite")
SIZES = (1, 2, 5)


def made(name, folder):
    """The prefix of an int8 network's files, and data of several sizes."""
    net = networks.NETWORKS[name]()
    ((data_name, shape),) = net[3].items()
    rng = np.random.RandomState(0)
    data = {n: rng.uniform(-1, 1, (n, *shape[1:])).astype(np.float32) for n in SIZES}
    model = mxq.quantize_model(*(net[0], net[1:3], data[5]), preflight=False, progress=False)
    prefix = os.path.join(folder, name)
    model.save(prefix)
    return prefix, data_name, data


def loaded(prefix):
    return (load_symbol(f"{prefix}-symbol.json"), *split_params(load_params(f"{prefix}-0000.params")))


class Case:
    """Networks of all NAMES and what they give for every size, one after the other."""

    def __init__(self, folder):
        self.files = {name: made(name, folder) for name in NAMES}
        self.expected = {}
        for name, (prefix, data_name, data) in self.files.items():
            model = loaded(prefix)
            for size, x in data.items():
                self.expected[name, size] = forward(model, {data_name: x})[0]

    def block(self, name):
        prefix, data_name, _ = self.files[name]
        block = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", [data_name], f"{prefix}-0000.params")
        block.hybridize()
        return block

    def agrees(self, name, size, found):
        return np.array_equal(found, self.expected[name, size])


_FOLDER = tempfile.TemporaryDirectory(prefix="mxq_together_")
CASE = Case(_FOLDER.name)


@parameterized.expand([("static", True), ("plain", False)])
def test_threads_with_all_networks_and_sizes_give_what_one_gives(_, static):
    """Every thread has all networks, in an order of its own; half of them share their blocks."""
    shared = {name: CASE.block(name) for name in NAMES}

    def work(number):
        rng = np.random.RandomState(number)
        own = shared if number % 2 and not static else {name: CASE.block(name) for name in NAMES}
        for block in own.values():
            if static:
                block.hybridize(static_alloc=True, static_shape=True)
        wrong = []
        for _ in range(12 * MORE):
            name, size = NAMES[rng.randint(len(NAMES))], SIZES[rng.randint(len(SIZES))]
            x = mx.nd.array(CASE.files[name][2][size])
            if not CASE.agrees(name, size, own[name](x).asnumpy()):
                wrong.append((number, name, size))
        return wrong

    for name, block in shared.items():  # the first call of a block builds it, which MXNet does not guard
        block(mx.nd.array(CASE.files[name][2][1]))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert not sum(pool.map(work, range(8)), [])


@parameterized.expand([("before",), ("after",)])
def test_forks_before_and_after_loading(when):
    """The child of a process that has run networks, and one that loads them itself."""
    for name in NAMES[:2]:
        prefix, data_name, data = CASE.files[name]
        model = loaded(prefix) if when == "after" else None
        child = os.fork()
        if not child:
            status = 1
            try:
                found = forward(model or loaded(prefix), {data_name: data[2]})[0]
                status = 0 if CASE.agrees(name, 2, found) else 3
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status == 0, (name, status)
        assert CASE.agrees(name, 2, forward(loaded(prefix), {data_name: data[2]})[0])  # the parent goes on


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_networks_that_are_loaded_run_and_dropped_do_not_stay():
    """2,000 cycles leave 0.1 kilobytes each behind the first 200."""

    def cycles(number):
        for i in range(number):
            name, size = NAMES[i % len(NAMES)], SIZES[i % len(SIZES)]
            found = CASE.block(name)(mx.nd.array(CASE.files[name][2][size])).asnumpy()
            assert CASE.agrees(name, size, found), (i, name, size)
        gc.collect()
        return resident()

    before, number = cycles(150), 150 * MORE
    grown = (cycles(number) - before) / number
    assert grown < 1500, f"{grown:.0f} bytes a cycle"
