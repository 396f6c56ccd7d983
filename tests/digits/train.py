"""Trains the network of this folder on scikit-learn's digits: ``python -m tests.digits.train``.

The files beside it are what came out once. They are kept, because training gives other numbers on other processors.
"""

import os

import mxnet as mx
import numpy as np
from sklearn.datasets import load_digits

from mxq.network.files import save_model

HERE = os.path.dirname(os.path.abspath(__file__))


def layer(x, name, channels, relu=True, **attrs):
    """Convolution and BatchNorm, and ReLU."""
    attrs = {"kernel": (3, 3), "pad": (1, 1), "no_bias": True, **attrs}
    x = mx.sym.Convolution(x, num_filter=channels, name=name, **attrs)
    x = mx.sym.BatchNorm(x, fix_gamma=False, momentum=0.9, eps=1e-5, name=f"{name}_bn")
    return mx.sym.Activation(x, act_type="relu", name=f"{name}_relu") if relu else x


def network():
    """A first layer, a depthwise one, a residual block, a sigmoid gate and a dense layer."""
    x = layer(mx.sym.var("data"), "first", 16)
    x = layer(x, "depthwise", 16, num_group=16)
    x = layer(x, "pointwise", 24, kernel=(1, 1), pad=(0, 0))
    y = layer(layer(x, "block1", 24), "block2", 24, relu=False)
    x = mx.sym.Activation(x + y, act_type="relu", name="sum_relu")
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool")
    x = layer(x, "last", 24)
    gate = mx.sym.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1), name="squeeze")
    gate = mx.sym.sigmoid(mx.sym.Convolution(gate, num_filter=24, kernel=(1, 1), name="excite"), name="gate")
    x = mx.sym.Pooling(mx.sym.broadcast_mul(x, gate, name="gated"), global_pool=True, pool_type="avg", kernel=(1, 1))
    return mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=10, name="fc")


def main():
    digits = load_digits()
    images, labels = digits.images.astype(np.float32)[:, None] / 16, digits.target.astype(np.float32)
    mx.random.seed(0)
    np.random.seed(0)
    module = mx.mod.Module(mx.sym.SoftmaxOutput(network(), name="softmax"))
    data = mx.io.NDArrayIter(images[256:], labels[256:], 64, shuffle=True)
    module.fit(data, num_epoch=15, optimizer="adam", optimizer_params={"learning_rate": 2e-3, "wd": 1e-4})
    score = module.score(mx.io.NDArrayIter(images[:256], labels[:256], 64), "acc")
    save_model(os.path.join(HERE, "net"), network(), *module.get_params())
    np.save(os.path.join(HERE, "images.npy"), digits.images[:256].astype(np.uint8))
    print(score)


if __name__ == "__main__":
    main()
