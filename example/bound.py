"""A network bound once for one input shape, to be called with batches and timed."""

from typing import Dict, Tuple

import mxnet as mx
import numpy as np


class Bound:
    """A network bound for one input shape on the CPU; calling it with a batch returns the first output.

    MXNet 1.9.1 fuses a float network with its own MKLDNN backend when it binds one: float is measured at its best.
    """

    def __init__(self, symbol, arg_params: Dict, aux_params: Dict, shape: Tuple[int, ...], dtype: str = "float32"):
        self.shape = tuple(shape)
        self.dtype = dtype
        self._executor = symbol.simple_bind(mx.cpu(), data=self.shape, type_dict={"data": dtype}, grad_req="null")
        self._executor.copy_params_from(arg_params, aux_params, allow_extra_params=True)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        data = mx.nd.array(batch, dtype=self.dtype)
        short = self.shape[0] - data.shape[0]
        if short:  # the last batch is filled up
            data = mx.nd.concat(data, mx.nd.zeros((short, *self.shape[1:]), dtype=self.dtype), dim=0)
        return self._executor.forward(is_train=False, data=data)[0].asnumpy()[: len(batch)]

    def step(self) -> None:
        """One forward on the batch it was called with last, waited for."""
        self._executor.forward(is_train=False)[0].wait_to_read()
