"""The module has every name of MXNet's, with the same arguments in the same order with the same defaults."""

import inspect
import subprocess
import sys

from mxnet.contrib import quantization as theirs
from parameterized import parameterized

import mxq
from mxq.contrib import quantization as ours

from ..realdata import REPO

FUNCTIONS = sorted(
    name
    for name, value in vars(theirs).items()
    if inspect.isfunction(value) and value.__module__ == theirs.__name__ and not name.startswith("_")
)
#: Not offered, each with a pointer to what to use.
GONE = ("_quantize_symbol", "_quantize_params", "_calibrate_quantized_sym")


def test_the_list_of_functions_is_the_one_we_know():
    assert FUNCTIONS == [
        "calib_graph",
        "combine_histogram",
        "quantize_graph",
        "quantize_model",
        "quantize_model_mkldnn",
        "quantize_net",
        "quantize_net_v2",
    ]


@parameterized.expand([(name,) for name in FUNCTIONS])
def test_arguments_are_the_same(name):
    wanted = inspect.signature(getattr(theirs, name)).parameters
    have = inspect.signature(getattr(ours, name)).parameters
    positional = [p for p in have.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == list(wanted)
    assert [p.default for p in positional] == [p.default for p in wanted.values()]
    # What comes on top is MXNet 2.0's or ours, by keyword only and not needed.
    extra = [p for p in have.values() if p.kind is not p.POSITIONAL_OR_KEYWORD]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in extra)


@parameterized.expand([("_LayerHistogramCollector",), ("_LayerOutputMinMaxCollector",), ("_DataIterWrapper",)])
def test_constructors_take_the_same_arguments(name):
    wanted = list(inspect.signature(getattr(theirs, name)).parameters)
    have = inspect.signature(getattr(ours, name)).parameters.values()
    assert [p.name for p in have if p.kind is p.POSITIONAL_OR_KEYWORD] == wanted


@parameterized.expand(
    [
        (name,)
        for name, value in sorted(vars(theirs).items())
        if inspect.isfunction(value) and value.__module__ == theirs.__name__ and name.startswith("_")
    ]
)
def test_unofficial_functions_take_the_same_arguments_or_say_what_to_use(name):
    if name in GONE:
        try:
            getattr(ours, name)
        except AttributeError as error:
            assert "use quantize_graph" in str(error) or "use calib_graph" in str(error)
            return
        raise AssertionError(f"{name} exists now: compare it")
    wanted = inspect.signature(getattr(theirs, name)).parameters
    assert list(inspect.signature(getattr(ours, name)).parameters) == list(wanted)


def test_star_import_brings_what_mxnets_does():
    def names(module):
        space = {}
        exec(f"from {module} import *", space)
        return {name for name in space if not name.startswith("__")}

    assert names("mxnet.contrib.quantization") <= names("mxq.contrib.quantization")


def test_both_ways_to_reach_the_module():
    assert mxq.contrib.quantization is mxq.contrib.quant is ours
    code = "from mxq.contrib import quantization; import mxq; assert mxq.contrib.quantization is quantization"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, timeout=900).returncode == 0


def test_unknown_names_are_attribute_errors():
    assert not hasattr(ours, "quantise_model")


def test_spellings_of_mxnet_2_0():
    assert ours.quantize_model_onednn is ours.quantize_model_mkldnn
    for name in ("quantize_model", "quantize_model_onednn", "quantize_net"):
        assert {"device", "num_calib_batches"} <= set(inspect.signature(getattr(ours, name)).parameters)
    assert {"quantize_granularity", "LayerOutputCollector"} <= set(inspect.signature(ours.quantize_net).parameters)
