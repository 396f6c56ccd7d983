"""Whole int8 networks on a GPU, from their saved symbols and without MXNet.

    python example/benchmark/gpu/networks.py build/gpu/resnet50-int8 --batches 1 32

The outputs are compared with those of the same operators on the processor, integer for integer where they are
integers. Times are those of a CUDA graph of one forward, and of launching every operator anew.
"""

import argparse
import json
import os
import time
from typing import Any, List, Tuple

import numpy as np
import torch
from torch_device import REPEATS, TorchDevice, load, microseconds

from tests.host.devices import Cpu  # torch_device made the folder of the tests known
from tests.host.network import Network

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "mxq", "lib", "libmxq_cuda.so")


def results(network: Network) -> List[np.ndarray]:
    network.forward()
    network.device.synchronize()
    return [buffer.numpy() for buffer in network.outputs]


def measure(library: Any, prefix: str, shape: Tuple[int, ...]) -> dict:
    data = np.random.RandomState(0).randn(*shape).astype(np.float32)
    row = {"network": os.path.basename(prefix), "batch": shape[0]}
    network = Network(library, TorchDevice(), prefix, data)
    got = results(network)
    check = Network(library, Cpu(), prefix, data[:2])
    row["equal"] = all(np.array_equal(a[: len(b)], b) for a, b in zip(got, results(check)))
    row["graph"] = microseconds([network.forward])
    launched = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        network.forward()
        torch.cuda.synchronize()
        launched.append((time.perf_counter() - begin) * 1e6)
    row["launched"] = float(np.median(launched))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="+", help="PREFIX of PREFIX-symbol.json and PREFIX-0000.params")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--shape", nargs="+", type=int, default=[3, 224, 224], help="of one example")
    parser.add_argument("--library", default=LIBRARY)
    parser.add_argument("--out", default="build/gpu", help="folder for networks.json")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    library = load(options.library)
    rows = []
    for prefix in options.prefixes:
        for batch in options.batches:
            row = measure(library, prefix, (batch, *options.shape))
            rows.append(row)
            verdict = f"{'' if row['equal'] else 'NOT '}equal to the processor"
            times = f"graph {row['graph']:.0f} µs, launched {row['launched']:.0f} µs"
            print(f"{row['network']}, batch {batch}: {times}, {verdict}", flush=True)
            with open(os.path.join(options.out, "networks.json"), "w") as file:
                json.dump(rows, file, indent=1)
    raise SystemExit(0 if all(row["equal"] for row in rows) else 1)


if __name__ == "__main__":
    main()
