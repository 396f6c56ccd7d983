"""A small network with real statistics (tests/digits) holds the constants that were tuned on large ones.

Each is set to other values here, and the difference in the network's SQNR is what was measured. So whoever changes one
sees what it was worth: the numbers below are to be measured again then, on the large networks too.
"""

import os
from unittest import mock

import numpy as np
from parameterized import parameterized

import mxq
from mxq.arithmetic import rounding
from mxq.calib import samples, thresholds
from mxq.equalization import rounding_noise
from mxq.network.files import load_params, load_symbol
from mxq.network.params import split_params

from .networks import forward

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits")
IMAGES = np.load(os.path.join(HERE, "images.npy"))[:, None].astype(np.float32) / 16
CALIBRATION, HELD_OUT = IMAGES[:128], IMAGES[128:]
SYM = load_symbol(os.path.join(HERE, "net-symbol.json"))
PARAMS = split_params(load_params(os.path.join(HERE, "net-0000.params")))
EXPECTED = forward((SYM, *PARAMS), {"data": HELD_OUT})[0].astype(np.float64)
#: dB. The last digits of the float network differ between processors, and with them a few rounded weights.
TOLERANCE = 0.06


def sqnr(**options):
    """Without headroom, whose share of the noise follows from all the rest."""
    options = dict(range_headroom=0, precision_budget=0, preflight=False, progress=False, **options)
    model = mxq.quantize_model(SYM, PARAMS, CALIBRATION, **options)
    noise = np.square(forward(model, {"data": HELD_OUT})[0] - EXPECTED).sum()
    return 10 * np.log10(np.square(EXPECTED).sum() / noise)


@parameterized.expand(
    [
        ("default", 45.98, {}),
        ("minmax", 45.58, dict(calib_mode="minmax")),
        ("entropy", 41.79, dict(calib_mode="entropy")),
        ("nearest", 43.59, dict(weight_rounding="nearest")),
        ("not_equalized", 45.31, dict(equalize=False)),
        ("eleven_bits", 49.78, dict(activation_bits=11)),
    ]
)
def test_options_are_worth_what_they_were(_, expected, options):
    found = sqnr(**options)
    assert abs(found - expected) < TOLERANCE, found


def other(place, name, value):
    return mock.patch.object(place, name, value)


def clip_weight(value):
    return mock.patch.dict(thresholds.mse.__kwdefaults__, clip_weight=value)


@parameterized.expand(
    [
        ("errors_of_clipping_count_once", 45.06, clip_weight(1.0), {}),
        ("every_tensor_has_values_enough", 41.71, other(thresholds, "FEWEST_VALUES", 256), dict(calib_mode="entropy")),
        ("one_position_an_image", 44.62, other(samples, "POSITIONS", 1), {}),
        ("four_positions_an_image", 45.36, other(samples, "POSITIONS", 4), {}),
        ("tenfold_damping", 46.44, other(rounding, "DAMPING", 0.1), {}),
        ("noise_of_weights_counts_a_third", 45.06, other(rounding_noise, "WEIGHT_NOISE", 0.1), {}),
        ("noise_of_weights_counts_tenfold", 45.76, other(rounding_noise, "WEIGHT_NOISE", 3.0), {}),
    ]
)
def test_constants_are_worth_what_they_were(_, expected, changed, options):
    with changed:
        found = sqnr(**options)
    assert abs(found - expected) < TOLERANCE, found
