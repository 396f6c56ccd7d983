"""The options have one list, which both functions show in their signatures."""

import inspect
import os

from parameterized import parameterized

import mxq
from mxq.options import BY_PRESET, PRESETS, Options

from .refusals import refused

#: Options of quantize_model that quantize_net has under other names, or knows from the network.
OF_SYMBOLS = {
    "data_names",
    "label_names",
    "keep_labels",
    "excluded_sym_names",
    "excluded_op_names",
    "excluded_patterns",
}
OF_NETS = {"exclude_layers", "exclude_layers_match", "exclude_operators"}


def options_of(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_quantize_model_shows_every_option():
    assert set(options_of(mxq.quantize_model)) == set(Options._fields)


def test_quantize_net_shows_every_option():
    assert set(options_of(mxq.quantize_net)) == set(Options._fields) - OF_SYMBOLS | OF_NETS


@parameterized.expand([("model", mxq.quantize_model), ("net", mxq.quantize_net)])
def test_defaults_and_types_are_those_of_the_list(_name, function):
    for name, parameter in options_of(function).items():
        if name in BY_PRESET:
            assert parameter.default is None, name
        elif name in Options._fields and name != "data_shapes":
            assert parameter.default == Options._field_defaults[name], name
            if name != "ctx":  # the list does not import MXNet
                assert parameter.annotation == Options.__annotations__[name], name


def test_every_option_is_explained():
    for name in Options._fields:
        assert f" {name}:" in mxq.quantize_model.__doc__ or f" {name}," in mxq.quantize_model.__doc__, name


def test_the_signature_is_what_help_shows():
    text = str(inspect.signature(mxq.quantize_model))
    assert "calib_mode: str = 'mse'" in text and "**" not in text, text


@parameterized.expand(sorted(PRESETS))
def test_presets(preset):
    chosen = Options.of({"preset": preset, **dict.fromkeys(BY_PRESET)})
    for name in BY_PRESET:
        assert getattr(chosen, name) == PRESETS[preset].get(name, Options._field_defaults[name])


def test_what_is_given_beside_a_preset_counts():
    assert Options.of({"preset": "best", "activation_bits": 8}).activation_bits == 8


def test_an_option_that_does_not_exist():
    refused(lambda: mxq.quantize_net(None, calibmode="mse"), "no option 'calibmode'", "calib_mode")


def test_the_package_says_that_it_has_types():
    assert os.path.exists(os.path.join(os.path.dirname(mxq.__file__), "py.typed"))
