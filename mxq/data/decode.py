"""Bytes of an image file as pixels."""

import io

import numpy as np

from ..errors import ConfigError

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def decode(content: bytes, name: str, *, color: bool = True) -> np.ndarray:
    """uint8 (height, width, channels), 3 channels in RGB order or 1 grey one.

    MXNet's own OpenCV decodes JPEG, PNG, BMP and TIFF; what it does not know goes to the packages cv2 or Pillow where
    one is installed. Files that are cut off are refused: decoders fill in grey, without a word.

    Raises:
        ConfigError: the content is no image, or not a whole one; says `name`.
    """
    if not content:
        raise ConfigError(f"image {name} is empty")
    if (content.startswith(_JPEG) and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN)) or (
        content.startswith(_PNG) and b"IEND" not in content[-64:]
    ):
        raise ConfigError(f"image {name} is cut off after {len(content)} bytes: copy it again")
    for decoder in (_by_mxnet, _by_cv2, _by_pillow):
        found = decoder(content, color)
        if found is not None:
            return found
    hint = "" if _has("cv2") or _has("PIL") else "; more formats with `pip install pillow` (mxq[images])"
    raise ConfigError(f"{name} is no image that can be read{hint}")


def _by_mxnet(content: bytes, color: bool):
    import mxnet as mx

    try:
        return mx.image.imdecode(content, flag=int(color), to_rgb=int(color)).asnumpy()
    except mx.MXNetError:
        return None


def _by_cv2(content: bytes, color: bool):
    try:
        import cv2
    except ImportError:
        return None
    found = cv2.imdecode(np.frombuffer(content, np.uint8), int(color))
    return None if found is None else found[:, :, ::-1] if color else found[:, :, None]


def _by_pillow(content: bytes, color: bool):
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return None
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))  # as OpenCV does
        array = np.asarray(image.convert("RGB" if color else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return array if color else array[:, :, None]


def _has(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None
