"""Images and arrays on their way into a network: iterators, files, and the batches that calibration reads.

>>> import mxq
>>> data = mxq.data.ImageRecordIter(  # doctest: +SKIP
...     path_imgrec="val.rec", data_shape=(3, 224, 224), batch_size=32, dtype="uint8"
... )
"""

from .image_set import ImageSet, images
from .iterators import DTYPES, ImageRecordInt8Iter, ImageRecordIter, ImageRecordUInt8Iter

__all__ = ["DTYPES", "ImageRecordInt8Iter", "ImageRecordIter", "ImageRecordUInt8Iter", "ImageSet", "images"]
