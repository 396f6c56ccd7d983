"""Real networks from saved files: accuracy, size, and what stays float. Skipped where they are absent."""

import os
import subprocess
import sys
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq

from . import realdata

#: network -> SQNR of the logits in dB that a few images must reach; over all images it is 2 to 4 dB more.
LEAST = {"squeezenet1.1": 33.0, "mobilenet0.75": 21.0, "resnet18": 33.0}

_SCORE = """
import sys
import mxnet as mx, numpy as np
import mxq
prefix, images, out = sys.argv[1:]
net = mx.gluon.SymbolBlock.imports(prefix + "-symbol.json", ["data"], prefix + "-0000.params")
net.hybridize(static_alloc=True, static_shape=True)
np.save(out, net(mx.nd.array(np.load(images))).asnumpy())
"""


def _logits(symbol, args, aux, images):
    executor = symbol.simple_bind(mx.cpu(), data=images.shape, grad_req="null")
    executor.copy_params_from(args, aux, allow_extra_params=True)
    return executor.forward(is_train=False, data=mx.nd.array(images))[0].asnumpy()


@parameterized.expand([(name,) for name in LEAST])
def test_close_to_float_from_files_in_a_new_process(name):
    realdata.need()
    calibration = [data for data, _ in realdata.images(name, "calib", 64, batch_size=16)]
    images = next(realdata.images(name, "val", 40, batch_size=40))[0]
    expected = _logits(*realdata.load(name), images)
    model = mxq.quantize_model(*realdata.files(name), calibration)
    floats = [node for node in model.report.floats() if node.op != "Flatten"]  # which moves the logits, in float
    assert not floats, floats
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "int8")
        model.save(prefix)
        ratio = os.path.getsize(f"{prefix}-0000.params") / os.path.getsize(realdata.files(name)[1])
        assert ratio <= 0.27, ratio
        paths = [prefix, os.path.join(folder, "images.npy"), os.path.join(folder, "logits.npy")]
        np.save(paths[1], images)
        subprocess.run([sys.executable, "-c", _SCORE, *paths], check=True, cwd=realdata.REPO)
        logits = np.load(paths[2])
    noise = np.square(np.float64(expected) - logits).sum()
    sqnr = 10 * np.log10(np.square(np.float64(expected)).sum() / noise)
    assert sqnr >= LEAST[name], sqnr
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.9
