"""Small Gluon networks with seeded parameters, and how far two results are apart."""

import mxnet as mx
import numpy as np
from mxnet.gluon import nn


def sqnr(reference: np.ndarray, value: np.ndarray) -> float:
    """Signal to quantization noise in dB."""
    noise = float(np.square(np.float64(reference) - value).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float(np.square(np.float64(reference)).sum()) / noise)


def images(shape, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(0, 1, shape).astype(np.float32)


def initialized(net, seed: int = 0):
    """He weights, BatchNorm statistics that are neither zero nor one where shapes are known already."""
    mx.random.seed(seed)
    net.initialize(mx.init.MSRAPrelu(slope=0.0))
    return net


def randomized(net, seed: int = 0):
    """Draws every parameter of a network that has run once."""
    rng = np.random.RandomState(seed)
    for name, parameter in sorted(net.collect_params().items()):
        if name.endswith(("gamma", "var")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
        elif name.endswith(("beta", "mean", "bias")):
            parameter.set_data(mx.nd.array(rng.normal(0, 0.2, parameter.shape)))
    return net


class Residual(mx.gluon.HybridBlock):
    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            self.body.add(
                nn.Conv2D(channels, 3, padding=1, use_bias=False),
                nn.BatchNorm(),
                nn.Activation("relu"),
                nn.Conv2D(channels, 3, padding=1, use_bias=False),
                nn.BatchNorm(),
            )

    def hybrid_forward(self, F, x):
        return F.Activation(self.body(x) + x, act_type="relu")


class TwoInputs(mx.gluon.HybridBlock):
    """Two images, nested outputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.left = nn.Conv2D(6, 3, activation="relu")
            self.right = nn.Conv2D(6, 3, activation="relu")
            self.out = nn.Dense(4)

    def hybrid_forward(self, F, x, y):
        a, b = self.left(x), self.right(y)
        return self.out(F.concat(a, b, dim=1)), [a, (b, F.split(a, num_outputs=2, axis=1))]


class Shaped(mx.gluon.HybridBlock):
    """Looks at a shape, which a symbol does not have."""

    def hybrid_forward(self, F, x):
        return x.reshape((x.shape[0], -1))


class OptionalInput(mx.gluon.HybridBlock):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv = nn.Conv2D(4, 3)

    def hybrid_forward(self, F, x, scale=None):
        x = self.conv(x)
        return x if scale is None else F.broadcast_mul(x, scale)


def classifier(classes: int = 5, prefix: str = "classifier_"):
    """conv-bn-relu, residual, pooling, dense: any image size."""
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        net.add(
            nn.Conv2D(6, 3, padding=1),
            nn.BatchNorm(),
            nn.Activation("relu"),
            Residual(6),
            nn.MaxPool2D(2),
            nn.Conv2D(9, 3),
            nn.LeakyReLU(0.1),
            nn.GlobalAvgPool2D(),
            nn.Dropout(0.5),
            nn.Dense(classes),
        )
    return net


def trained(shape=(2, 3, 12, 10), **kwargs):
    """A classifier with parameters, as after training."""
    net = initialized(classifier(**kwargs))
    net(mx.nd.zeros(shape))
    return randomized(net)
