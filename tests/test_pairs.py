"""A symbol with the parameters of another save is refused, whoever loads them."""

import os
import shutil
import tempfile
from unittest import mock

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq
from mxq.api import read_network
from mxq.errors import GraphError
from tests import networks
from tests.networks import forward
from tests.refusals import refused

NET = networks.residual()
DATA = np.random.RandomState(0).uniform(-1, 1, (4, *NET[3]["data"][1:])).astype(np.float32)


def quantized(gain, **options):
    return mxq.quantize_model(NET[0], NET[1:3], DATA * np.float32(gain), **options)


OLD, NEW = (quantized(gain) for gain in (1, 5))
SINGLE = [quantized(gain, regions=False) for gain in (1, 5)]
PAIRS = {"regions": (OLD, NEW), "single": SINGLE}


def run_by_mxnet(prefix):
    return forward(mx.model.load_checkpoint(prefix, 0), {"data": DATA})[0]


def run_by_gluon(prefix):
    block = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")
    block.hybridize()
    return block(mx.nd.array(DATA)).asnumpy()


def refuses_to_run(prefix, *words):
    files = f"{prefix}-symbol.json", f"{prefix}-0000.params"
    for run in (run_by_mxnet, run_by_gluon):
        refused(lambda: run(prefix), *words, error=mx.MXNetError)  # noqa: B023
    refused(lambda: read_network(*files), *files, "do not belong together", error=GraphError)


@parameterized.expand([(name,) for name in PAIRS])
def test_files_of_two_saves_do_not_run_together(name):
    with tempfile.TemporaryDirectory() as folder:
        old, new = (os.path.join(folder, which) for which in ("old", "new"))
        for prefix, model in zip((old, new), PAIRS[name]):
            model.save(prefix)
            expected = forward(model[:3], {"data": DATA})[0]
            assert np.array_equal(run_by_mxnet(prefix), expected) and np.array_equal(run_by_gluon(prefix), expected)
            refused(
                lambda: read_network(f"{prefix}-symbol.json", f"{prefix}-0000.params"),  # noqa: B023
                "was quantized already",
                error=GraphError,
            )
        for symbol, params in ((old, new), (new, old)):
            mixed = os.path.join(folder, "mixed")
            shutil.copy(f"{symbol}-symbol.json", f"{mixed}-symbol.json")
            shutil.copy(f"{params}-0000.params", f"{mixed}-0000.params")
            refuses_to_run(mixed, "not those", "come from different saves")


@parameterized.expand([(name,) for name in PAIRS])
def test_a_save_that_dies_between_its_two_moves_leaves_a_pair_that_is_refused(name):
    class Died(BaseException):
        pass

    moves = []

    def replace(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise Died
        os.rename(source, target)

    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "net")
        old, new = PAIRS[name]
        old.save(prefix)
        before = run_by_mxnet(prefix)
        with mock.patch("os.replace", replace):
            try:
                new.save(prefix)
            except Died:
                pass
        assert len(moves) == 2
        refuses_to_run(prefix, "NAME-symbol.json", "NAME-0000.params")
        new.save(prefix)
        assert not np.array_equal(run_by_mxnet(prefix), before)


def test_one_changed_byte_of_the_parameters_is_noticed():
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, _) in PAIRS.items():
            prefix = os.path.join(folder, name)
            model.save(prefix)
            before = run_by_mxnet(prefix)
            arrays = mx.nd.load(f"{prefix}-0000.params")
            key = max(arrays, key=lambda key: arrays[key].size)
            array = arrays[key].asnumpy()
            array.reshape(-1)[array.size // 2] ^= 1
            mx.nd.save(f"{prefix}-0000.params", {**arrays, key: mx.nd.array(array, dtype=array.dtype)})
            refuses_to_run(prefix, "changed")
            assert np.array_equal(forward(model[:3], {"data": DATA})[0], before)


def test_parameters_in_memory_may_be_changed():
    """Digests are those of files: a network that was not saved runs with other values of the same shapes."""
    symbol, args, aux = SINGLE[0][:3]
    zeros = {name: mx.nd.zeros_like(array) for name, array in args.items() if name.endswith("_weight_quantize")}
    found, before = (forward((symbol, given, aux), {"data": DATA})[0] for given in ({**args, **zeros}, args))
    assert not np.array_equal(found, before)
