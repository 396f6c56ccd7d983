"""Examples from files: arrays and images."""

import os
import tempfile

import mxnet as mx
import numpy as np

from mxq.data.files import Images, read_examples
from mxq.errors import ConfigError
from tests.refusals import refused


def write_records(folder, n=5, size=12):
    """A RecordIO file of lossless images; returns its path and the RGB images, channels first."""
    path = os.path.join(folder, "images.rec")
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (n, size, size, 3)).astype(np.uint8)
    writer = mx.recordio.MXIndexedRecordIO(path[:-4] + ".idx", path, "w")
    for index, image in enumerate(images):
        header = mx.recordio.IRHeader(0, float(index % 3), index, 0)
        writer.write_idx(index, mx.recordio.pack_img(header, image[:, :, ::-1], img_fmt=".png", quality=3))
    writer.close()
    return path, images.transpose(0, 3, 1, 2)


def test_one_array_and_arrays_by_name():
    with tempfile.TemporaryDirectory() as folder:
        array = np.arange(12, dtype=np.float32).reshape(6, 2)
        np.save(os.path.join(folder, "a.npy"), array)
        np.savez(os.path.join(folder, "a.npz"), left=array, right=array + 1)
        found = read_examples(os.path.join(folder, "a.npy"), 4, Images())
        assert np.array_equal(found.data, array[:4]) and found.labels is None and found.images is None
        found = read_examples(os.path.join(folder, "a.npz"), None, Images())
        assert np.array_equal(found.data["right"], array + 1) and set(found.data) == {"left", "right"}


def test_images_are_cropped_and_normalized_in_the_order_of_the_network():
    with tempfile.TemporaryDirectory() as folder:
        path, images = write_records(folder)
        given = Images((3, 8, 8), mean=(10.0, 20.0, 30.0), std=(2.0,), bgr=True)
        found = read_examples(path, 4, given)
        cropped = images[:4, :, 2:10, 2:10]
        expected = (cropped[:, ::-1].astype(np.float32) - np.float32([10, 20, 30]).reshape(3, 1, 1)) / 2
        for _ in range(2):  # as often as somebody reads
            assert np.allclose(np.concatenate([data for data, _ in found.data]), expected)
        assert np.array_equal(np.stack(found.images), cropped) and found.labels.tolist() == [0, 1, 2, 0]
        assert len(read_examples(path, None, given).images) == 5


def test_refused_files():
    with tempfile.TemporaryDirectory() as folder:
        path, _ = write_records(folder)
        refused(lambda: read_examples("x.csv", None, Images()), "x.csv", ".npy", error=ConfigError)
        refused(lambda: read_examples(path, None, Images()), "--shape", error=ConfigError)
        wrong = Images((3, 8, 8), mean=(1.0, 2.0))
        refused(lambda: read_examples(path, None, wrong), "--mean", error=ConfigError)
        broken = os.path.join(folder, "b.npy")
        for content in (b"", b"nothing"):
            with open(broken, "wb") as file:
                file.write(content)
            refused(lambda: read_examples(broken, None, Images()), broken, error=ConfigError)
        refused(lambda: read_examples(broken + "x.npy", None, Images()), "x.npy", error=ConfigError)
