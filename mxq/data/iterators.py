"""Int8 and uint8 images for a quantized network, from RecordIO files.

>>> records = {"path_imgrec": "val.rec", "data_shape": (3, 224, 224)}
>>> data = ImageRecordIter(**records, batch_size=32, dtype="uint8")  # doctest: +SKIP
>>> data.provide_data  # doctest: +SKIP
[DataDesc[data,(32, 3, 224, 224),<class 'numpy.uint8'>,NCHW]]

Integer input of a quantized network stands for real numbers with scale 1:

=======  ==================================  ====================================================================
dtype    value of one pixel                  the network that takes it
=======  ==================================  ====================================================================
float32  (pixel - mean) / std * scale        any
int8     saturate(pixel - round(mean))       trained on pixels minus their mean: ``quantize_model(input_dtype='int8')``
uint8    pixel                               any: ``quantize_model(mean=..., std=..., input_dtype='uint8')`` folds the
                                             normalization into the network
=======  ==================================  ====================================================================

Images are NCHW, channels in RGB order, and stay integers on their way into the network. A Gluon ``DataLoader`` feeds
raw pixels in the same form with ``dataset.transform_first(lambda image: image.transpose((2, 0, 1)))``.
"""

import logging
import math
import os
import re
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

import mxnet as mx
import numpy as np

from ..errors import ConfigError, nearest
from .recordio import check_recordio

logger = logging.getLogger(__name__)

DTYPES = ("float32", "int8", "uint8")

_MEAN = {f"mean_{channel}": 0.0 for channel in "rgba"}
_REST = {**{f"std_{channel}": 1.0 for channel in "rgba"}, "scale": 1.0}
_REST.update(max_random_contrast=0.0, max_random_illumination=0.0)

# dtype -> the options that MXNet 1.9.1 accepts and then ignores for it, with the value that asks for nothing.
_IGNORED: Dict[str, Dict[str, Any]] = {"float32": {}, "int8": _REST, "uint8": {**_REST, **_MEAN, "mean_img": ""}}


def _known_options() -> FrozenSet[str]:
    # MXNet ignores an option it does not know; the names it documents are the ones it reads.
    documented = re.findall(r"^(\w+) : ", mx.io.ImageRecordIter.__doc__ or "", re.MULTILINE)
    return frozenset(documented) | {"data_name", "label_name"}


def _check(dtype: str, options: Dict[str, Any]) -> None:
    if dtype not in DTYPES:
        raise ConfigError(f"ImageRecordIter: dtype is {dtype!r}; accepted: {', '.join(DTYPES)}")
    known = _known_options()
    for name in options:
        if name not in known:
            raise ConfigError(f"ImageRecordIter: unknown option {name!r}{nearest(name, known)}")
    for name, neutral in _IGNORED[dtype].items():
        value = options.get(name)
        if value is None or value == neutral:
            continue
        raise ConfigError(
            f"ImageRecordIter: {name}={value!r} has no effect on {dtype} data (only {neutral!r} does nothing there). "
            f"Fold the normalization into the network with quantize_model(mean=..., std=..., input_dtype='uint8') and "
            f"read raw pixels with dtype='uint8', or read dtype='float32'"
        )
    if not _true(options.get("round_batch", True)):
        raise ConfigError(
            "ImageRecordIter: with round_batch=False MXNet leaves the end of the last batch uninitialized and reports "
            "pad=0; keep round_batch=True and leave out the last `batch.pad` results"
        )
    if dtype == "int8":
        mean_img = options.get("mean_img")
        if mean_img and not os.path.exists(mean_img):
            raise ConfigError(f"ImageRecordIter: mean_img {mean_img!r} does not exist; int8 data cannot make one")
        for name in _MEAN:
            value = float(options.get(name, 0.0))
            if value != int(value):
                rounded = int(math.copysign(math.floor(abs(value) + 0.5), value))
                logger.info("int8 data: %s=%s is rounded to %d", name, value, rounded)


def _true(value: Any) -> bool:
    return str(value).lower() in ("1", "true")


class ImageRecordIter(mx.io.DataIter):
    """Reads batches of images from a RecordIO file as float32, int8 or uint8.

    >>> data = ImageRecordIter(  # doctest: +SKIP
    ...     path_imgrec="calib.rec", data_shape=(3, 224, 224), batch_size=32, dtype="int8", mean_r=124, mean_g=117,
    ...     mean_b=104)
    >>> quantized = mxq.quantize_model(sym, params, data, input_dtype="int8")  # doctest: +SKIP

    It takes every option of ``mx.io.ImageRecordIter`` by name (resize, shuffle, preprocess_threads, ...) and differs in
    three ways. An option that would be ignored, because MXNet does not know it or because it does not apply to the
    dtype, is an error. A batch belongs to the caller: MXNet's own iterator writes later images into the arrays of
    batches it has handed out. ``round_batch=False`` is refused: MXNet then returns uninitialized memory as images.

    Args:
        path_imgrec: the .rec file.
        data_shape: (channels, height, width) of one image.
        batch_size: images in a batch. The last batch is filled up from the start; `pad` says by how many, and the next
            epoch starts behind them.
        dtype: 'float32', 'int8' or 'uint8'; the module docstring has the value of a pixel for each. The mean of int8
            data is rounded half away from zero, and the difference saturates at -128 and 127.
        options: MXNet's options.

    Yields ``mx.io.DataBatch`` with data (N, C, H, W) of `dtype` and labels float32 on the CPU.

    Raises:
        ConfigError: an unknown or ineffective option, or a file that is missing, cut off or no RecordIO file.
    """

    def __init__(
        self,
        *,
        path_imgrec: str,
        data_shape: Tuple[int, int, int],
        batch_size: int,
        dtype: str = "float32",
        **options: Any,
    ):
        dtype = str(dtype) if isinstance(dtype, str) else np.dtype(dtype).name
        _check(dtype, options)
        check_recordio(os.fspath(path_imgrec))
        super().__init__(batch_size)
        options.setdefault("verbose", False)  # MXNet says how many threads decode
        self._source = mx.io.ImageRecordIter(
            path_imgrec=path_imgrec, data_shape=tuple(data_shape), batch_size=batch_size, dtype=dtype, **options
        )
        self.provide_data = self._source.provide_data
        self.provide_label = self._source.provide_label
        self._batch: Optional[mx.io.DataBatch] = None

    def reset(self) -> None:
        self._source.reset()
        self._batch = None

    def iter_next(self) -> bool:
        try:
            batch = self._source.next()
        except StopIteration:
            self._batch = None
            return False
        # The source reuses its buffers without telling the engine: the copies must be done before its next batch.
        own = [[array.copyto(mx.cpu()) for array in arrays] for arrays in (batch.data, batch.label)]
        for arrays in own:
            for array in arrays:
                array.wait_to_read()
        self._batch = mx.io.DataBatch(own[0], own[1], batch.pad, batch.index)
        return True

    def getdata(self) -> List[mx.nd.NDArray]:
        return self._batch.data

    def getlabel(self) -> List[mx.nd.NDArray]:
        return self._batch.label

    def getpad(self) -> int:
        return self._batch.pad

    def getindex(self) -> Optional[np.ndarray]:
        return self._batch.index


class ImageRecordInt8Iter(ImageRecordIter):
    """:class:`ImageRecordIter` with dtype 'int8', under the name that MXNet has for it."""

    def __init__(self, **options: Any):
        _fixed("int8", options)
        super().__init__(dtype="int8", **options)


class ImageRecordUInt8Iter(ImageRecordIter):
    """:class:`ImageRecordIter` with dtype 'uint8', under the name that MXNet has for it."""

    def __init__(self, **options: Any):
        _fixed("uint8", options)
        super().__init__(dtype="uint8", **options)


def _fixed(dtype: str, options: Dict[str, Any]) -> None:
    given = options.pop("dtype", None) or dtype
    if np.dtype(given).name != dtype:
        raise ConfigError(f"the iterator reads {dtype}, dtype={given!r} was given; use ImageRecordIter(dtype=...)")
