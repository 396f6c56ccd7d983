"""Files and iterators as the unofficial functions of MXNet's module have them."""

import os
from typing import Dict, Tuple

import mxnet as mx

from ..errors import ConfigError
from ..network.files import load_params as load_params_file
from ..network.files import load_symbol
from ..network.params import split_params


def load_sym(sym, logger=None):
    """A Symbol from a path (relative to the working directory) or a Symbol."""
    if isinstance(sym, (str, os.PathLike)):
        if logger:
            logger.info("loading symbol from file %s", sym)
        return load_symbol(sym)
    if isinstance(sym, mx.sym.Symbol):
        return sym
    raise ConfigError(f"sym is a {type(sym).__name__}: give a Symbol or the path of a symbol file")


def load_params(params, logger=None) -> Tuple[Dict[str, mx.nd.NDArray], Dict[str, mx.nd.NDArray]]:
    """``(arg_params, aux_params)`` from a path or such a pair."""
    if isinstance(params, (str, os.PathLike)):
        if logger:
            logger.info("loading parameters from file %s", params)
        return split_params(load_params_file(params))
    if isinstance(params, (tuple, list)) and len(params) == 2:
        return params[0], params[1]
    raise ConfigError("params must be the path of a parameter file or a pair (arg_params, aux_params)")


class DataIterWrapper(mx.io.DataIter):
    """A DataIter over anything that can be iterated again, such as a Gluon DataLoader.

    The first item of a batch is ``data`` and what follows ``data0``, ``data1``; from three items on, all are numbered.
    Nothing is reshaped.
    """

    def __init__(self, calib_data):
        try:
            first = _items(next(iter(calib_data)))
        except TypeError as error:
            raise TypeError(f"calib_data is not a valid iterator: {error}") from error
        super().__init__(first[0].shape[0])
        self._data = calib_data
        names = [f"data{i}" for i in range(len(first))] if len(first) > 2 else ["data", "data0"]
        self.provide_data = [mx.io.DataDesc(name, item.shape) for name, item in zip(names, first)]
        self.provide_label = []
        self.reset()

    def reset(self) -> None:
        self._iterator = iter(self._data)

    def next(self) -> mx.io.DataBatch:
        return mx.io.DataBatch(data=_items(next(self._iterator)))


def _items(batch) -> list:
    return list(batch) if isinstance(batch, (list, tuple)) else [batch]


def as_data_iter(calib_data):
    """Returns ``(DataIter, its provide_data)``."""
    if not isinstance(calib_data, mx.io.DataIter):
        calib_data = DataIterWrapper(calib_data)
    return calib_data, calib_data.provide_data
