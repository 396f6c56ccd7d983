"""Scores a saved network on the digits that were not trained on; prints JSON.

    python example/quickstart/predict.py PREFIX

This is all that a deployment does: import mxq, load the two files, run.
"""

import json
import os
import sys

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import mxnet as mx
import numpy as np
from sklearn.datasets import load_digits

import mxq  # noqa: F401  makes the int8 operators known to MXNet

SIDE = 32


def digits():
    """(training images, labels, test images, labels): float32 (N, 1, 32, 32) in 0..1, int; always the same split."""
    raw = load_digits()
    images = (raw.images / 16).astype(np.float32)[:, None]  # 8x8
    images = images.repeat(SIDE // 8, axis=2).repeat(SIDE // 8, axis=3)
    order = np.random.RandomState(0).permutation(len(images))
    images, labels = images[order], raw.target[order]
    return images[:1437], labels[:1437], images[1437:], labels[1437:]


def main() -> None:
    prefix = sys.argv[1]
    net = mx.gluon.SymbolBlock.imports(f"{prefix}-symbol.json", ["data"], f"{prefix}-0000.params")
    net.hybridize(static_alloc=True, static_shape=True)
    _, _, images, labels = digits()
    scores = net(mx.nd.array(images)).asnumpy()
    print(json.dumps({"images": len(labels), "accuracy": 100 * float((scores.argmax(1) == labels).mean())}))


if __name__ == "__main__":
    main()
