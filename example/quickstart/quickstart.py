"""Trains a small convolutional network on scikit-learn's digits, quantizes it to int8 and compares the two.

    python example/quickstart/quickstart.py [--output FOLDER]

Takes well under a minute on two cores. The int8 network is saved, then loaded and scored by predict.py in a process of
its own, which knows nothing of the training.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

import mxq

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import bound  # noqa: E402

import measure  # noqa: E402
from predict import SIDE, digits  # noqa: E402


class Residual(nn.HybridBlock):
    """Two convolutions beside an identity, as in a ResNet."""

    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential()
            self.body.add(
                nn.Conv2D(channels, 3, padding=1, use_bias=False),
                nn.BatchNorm(),
                nn.Activation("relu"),
                nn.Conv2D(channels, 3, padding=1, use_bias=False),
                nn.BatchNorm(),
            )

    def hybrid_forward(self, F, x):
        return F.relu(x + self.body(x))


def network() -> nn.HybridBlock:
    """conv-bn-relu, two residual blocks, pooling and a dense layer."""
    net = nn.HybridSequential(prefix="digits_")
    with net.name_scope():
        for channels in (32, 64):
            net.add(nn.Conv2D(channels, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
            net.add(nn.MaxPool2D(2), Residual(channels))
        net.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def train(net: nn.HybridBlock, images: np.ndarray, labels: np.ndarray, *, epochs: int) -> None:
    """Fits the network with Adam."""
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True)
    dataset = gluon.data.ArrayDataset(images, labels)
    batches = gluon.data.DataLoader(dataset, batch_size=32, shuffle=True, last_batch="discard")
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.003})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    for epoch in range(epochs):
        trainer.set_learning_rate(0.003 * (1 - epoch / epochs))
        for data, label in batches:
            with autograd.record():
                error = loss(net(data), label)
            error.backward()
            trainer.step(len(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="folder for both networks (default: a temporary one)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the speed comparison")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    mx.random.seed(7)
    np.random.seed(7)

    images, labels, test_images, test_labels = digits()
    print(f"digits: {len(images)} images to train on, {len(test_images)} to test with, 1x{SIDE}x{SIDE}")
    start = time.time()
    net = network()
    train(net, images, labels, epochs=options.epochs)
    mx.nd.waitall()
    print(f"trained in {time.time() - start:.1f} s")

    start = time.time()
    quantized = mxq.quantize_net(net, images[:256])
    print(f"quantized in {time.time() - start:.1f} s")

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or temporary
        os.makedirs(folder, exist_ok=True)
        prefixes = [os.path.join(folder, name) for name in ("digits-float", "digits-int8")]
        for block, prefix in zip((net, quantized), prefixes):
            block(mx.nd.array(test_images[:1]))
            block.export(prefix)
        # A deployment has the two saved files only.
        command = [sys.executable, os.path.join(HERE, "predict.py"), prefixes[1]]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        print(f"loaded in a new process: accuracy {json.loads(done.stdout)['accuracy']:.2f} %")
        compare(prefixes, test_images, test_labels, options.rounds)


def compare(prefixes, test_images: np.ndarray, test_labels: np.ndarray, rounds: int) -> None:
    """Prints accuracy, size and speed of the saved float and int8 networks."""
    loaded = [mx.model.load_checkpoint(prefix, 0) for prefix in prefixes]
    floats, integers = (bound.Bound(*model, (60, *test_images.shape[1:])) for model in loaded)
    accuracy = measure.Accuracy()
    for start in range(0, len(test_images), 60):
        part = slice(start, start + 60)
        accuracy.update(test_labels[part], floats(test_images[part]), integers(test_images[part]))
    speed = measure.interleaved(floats.step, integers.step, rounds)
    sizes = [measure.megabytes(f"{prefix}-0000.params") * 1e3 for prefix in prefixes]
    print()
    rows = [("", "float", "int8", "")]
    rows.append(("accuracy %", f"{accuracy.percent(0, 1):.2f}", f"{accuracy.percent(1, 1):.2f}", ""))
    rows.append(("same class %", "", f"{accuracy.agreement:.2f}", f"SQNR {accuracy.sqnr:.1f} dB"))
    rows.append(("parameters kB", f"{sizes[0]:.0f}", f"{sizes[1]:.0f}", f"{sizes[1] / sizes[0]:.2f} of float"))
    rows.append(("batch of 60, ms", f"{speed.first_ms:.2f}", f"{speed.second_ms:.2f}", f"speed-up {speed}"))
    print(measure.table(rows))
    print(f"speed: median of {rounds} interleaved rounds (range); float is MXNet's own fused network")


if __name__ == "__main__":
    main()
