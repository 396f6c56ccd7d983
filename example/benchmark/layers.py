"""Times of single layers: of MXNet's fused float network, and of every operator of the int8 network.

MXNet's profiler tells when each operator of an executor began and ended, and mxq.profile what happened inside the
operators of mxq. Both want MXNet to run one operator after the other: ENVIRONMENT of mxq.evaluation.layers
belongs to the process that does it.
"""

from typing import Dict, List

import mxnet as mx
import numpy as np

import measure
import mxq.profile
from mxq.evaluation.layers import RUNS, traced
from mxq.network.bind import unfused

WARM_UP = 5
#: Convolutions that reach the processor's limit: (height and width, channels, filters, kernel), by batch of 1.
LARGE = ((28, 512, 512, 1), (56, 256, 256, 3), (28, 512, 512, 3), (56, 64, 256, 3))


def of_float(prefix: str, images: np.ndarray) -> List[dict]:
    """The layers of a float network as MXNet fuses them: name, op, microseconds, and the nodes each is made of."""
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, 0)
    return [layer._asdict() for layer in _traced(symbol.get_backend_symbol("MKLDNN"), arguments, auxiliary, images)]


def of_int8(prefix: str, images: np.ndarray) -> List[dict]:
    """The operators of an int8 network, those inside regions too: name, op, microseconds, macs."""
    recorded: Dict[str, List[float]] = {}
    found: Dict[str, dict] = {}

    def run(forward) -> None:
        with mxq.profile.record() as rows:
            forward()
        for row in rows:
            found[row.name] = {"name": row.name, "op": row.op, "macs": row.macs, "shape": row.shape}
            recorded.setdefault(row.name, []).append(row.microseconds)

    operators = _traced(*mx.model.load_checkpoint(prefix, 0), images, run)
    rows = [{**row, "us": float(np.median(recorded[name][-RUNS:]))} for name, row in found.items()]
    for node in operators:
        if not node.op.startswith("mxq_"):
            rows.append({"name": node.name, "op": node.op, "macs": 0, "us": node.us})
    return rows


def int8_peak(seconds: float = 0.5) -> float:
    """Billions of multiplications a second of the quickest large int8 convolution, each tried for `seconds`."""
    best = 0.0
    for side, channels, filters, kernel in LARGE:
        random = np.random.RandomState(0)
        data = mx.nd.array(random.randint(0, 256, (1, side, side, channels)), dtype="uint8")
        weight = mx.nd.array(random.randint(-127, 128, (filters, channels, kernel, kernel)), dtype="int8")
        options = {"kernel": (kernel, kernel), "pad_begin": (kernel // 2,) * 2, "pad_end": (kernel // 2,) * 2}
        options.update(num_filter=filters, no_bias=True, out_type="int8", in_scale=0.1, out_scale=100.0)
        scale = mx.nd.ones(filters)
        with mxq.profile.record() as times:
            measure.turn(lambda: mx.nd.mxq_conv(data, weight, scale, **options).wait_to_read(), seconds)  # noqa: B023
        best = max(best, times.rows[0].macs / times.rows[0].least / 1e3)
    return best


def _traced(symbol, arguments: dict, auxiliary: dict, images: np.ndarray, run=lambda forward: forward()) -> list:
    """The operators of a network with their times."""
    with unfused():
        executor = symbol.simple_bind(mx.cpu(), data=images.shape, grad_req="null")
    executor.copy_params_from(arguments, auxiliary)
    executor.forward(is_train=False, data=mx.nd.array(images))

    def forward() -> None:
        executor.forward(is_train=False)
        mx.nd.waitall()

    for _ in range(WARM_UP):
        forward()
    return traced(symbol, lambda: run(forward))
