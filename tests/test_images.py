"""Images of folders, lists and RecordIO files as a network's input."""

import io
import os
import tempfile

import mxnet as mx
import numpy as np
from PIL import Image

import mxq
from mxq.data.decode import decode
from mxq.data.files import Images, read_examples
from mxq.errors import ConfigError
from tests.refusals import refused
from tests.test_datafiles import write_records


def save(path, height, width, seed=0, **options):
    """A picture of noise; returns its pixels (height, width, 3), RGB."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def whole(images):
    """All batches as one array."""
    return np.concatenate([batch[0] if isinstance(batch, tuple) else batch for batch in images])


def test_a_flat_folder_in_order_of_names_and_other_files_left_alone():
    with tempfile.TemporaryDirectory() as folder:
        a = [save(os.path.join(folder, name), 6, 5, seed) for seed, name in enumerate(("b.PNG", "a.bmp", "c/d.tiff"))]
        for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
            open(os.path.join(folder, name), "wb").close()
        images = mxq.data.images(folder, shape=(3, 6, 5), resize=0)
        assert [os.path.basename(name.strip("'")) for name in images.names] == ["a.bmp", "b.PNG", "d.tiff"]
        assert images.labels is None and len(images) == 3
        expected = np.stack([a[1], a[0], a[2]]).transpose(0, 3, 1, 2)
        assert np.array_equal(whole(images), expected.astype(np.float32))
        assert np.array_equal(np.stack(images.pictures), expected)
        again = mxq.data.images(folder, shape=(3, 6, 5), resize=0, dtype="uint8", bgr=True, batch_size=2)
        assert [batch.shape[0] for batch in again] == [2, 1]
        assert whole(again).dtype == np.uint8 and np.array_equal(whole(again), expected[:, ::-1])


def test_mean_and_std_are_in_the_order_of_the_network():
    with tempfile.TemporaryDirectory() as folder:
        pixels = save(os.path.join(folder, "a.png"), 4, 4).astype(np.float32)
        given = {"shape": (3, 4, 4), "mean": (104, 117, 123), "std": (1, 2, 4), "bgr": True}
        found = whole(mxq.data.images(folder, **given))[0]
        for channel, (mean, std) in enumerate(((104, 1), (117, 2), (123, 4))):
            assert np.array_equal(found[channel], (pixels[:, :, 2 - channel] - mean) / std)


def test_class_folders_by_order_by_number_and_by_name():
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(("n02", "n01", "n10")):
            for index in range(2):
                save(os.path.join(folder, "words", name, f"{index}.png"), 4, 4, number)
                save(os.path.join(folder, "numbers", str(10 * number), f"{index}.png"), 4, 4, number)
        words = os.path.join(folder, "words")
        found = mxq.data.images(words, shape=(3, 4, 4))
        assert found.labels.tolist() == [0, 0, 1, 1, 2, 2] and found.folders == ("n01", "n02", "n10")
        batches = list(mxq.data.images(words, shape=(3, 4, 4), batch_size=4))
        assert [labels.tolist() for _, labels in batches] == [[0, 0, 1, 1], [2, 2]]
        found = mxq.data.images(os.path.join(folder, "numbers"), shape=(3, 4, 4))
        assert found.labels.tolist() == [0, 0, 10, 10, 20, 20] and not found.folders
        names = ["n10 cat, tabby", "n01", "n03", "n02 dog"]
        found = mxq.data.images(words, shape=(3, 4, 4), class_names=names)
        assert found.labels.tolist() == [1, 1, 3, 3, 0, 0] and not found.folders
        refused(
            lambda: mxq.data.images(words, shape=(3, 4, 4), class_names=names[:3]),
            "'n02'",
            "3 classes",
            error=ConfigError,
        )


def test_some_images_lie_at_equal_distances():
    with tempfile.TemporaryDirectory() as folder:
        for number in range(10):
            save(os.path.join(folder, str(number // 5), f"{number}.png"), 4, 4, number)
        found = mxq.data.images(folder, shape=(3, 4, 4), num_examples=4)
        assert found.labels.tolist() == [0, 0, 1, 1] and len(found) == 4


def test_lists_of_paths_of_classes_and_of_im2rec():
    with tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            save(os.path.join(folder, "a b", f"{number}.png"), 4, 4, number)
        for text, labels in (
            ("a b/2.png\na b/0.png\n", None),
            ("a b/2.png 7\n\na b/0.png 3\n", [7, 3]),
            ("5\t7.000000\ta b/2.png\n6\t3.000000\ta b/0.png\n", [7, 3]),
        ):
            path = os.path.join(folder, "some.lst")
            with open(path, "w") as file:
                file.write(text)
            for images in (
                mxq.data.images(path, shape=(3, 4, 4)),
                mxq.data.images(folder, list_file=path, shape=(3, 4, 4)),
            ):
                assert [name[-6:-1] for name in images.names] == ["2.png", "0.png"]
                assert (images.labels if labels is None else images.labels.tolist()) == labels
        with open(path, "w") as file:
            file.write("a b/2.png\na b/9.png")
        refused(lambda: mxq.data.images(path, shape=(3, 4, 4)), "line 2", "a b/9.png", error=ConfigError)
        with open(path, "w") as file:
            file.write("a b/2.png 1\na b/0.png")
        refused(lambda: mxq.data.images(path, shape=(3, 4, 4)), "some of its lines", error=ConfigError)


def test_the_centre_after_the_shorter_side():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.png")
        pixels = save(path, 10, 12)
        near = whole(mxq.data.images(folder, shape=(3, 8, 8)))[0]  # a quarter longer: cropped
        assert np.array_equal(near, pixels[1:9, 2:10].transpose(2, 0, 1))
        save(path, 64, 80)
        content = open(path, "rb").read()
        for resize, side, interpolation in ((None, 32, 1), (28, 28, 3), (40, 40, 1)):
            found = whole(mxq.data.images(folder, shape=(3, 28, 28), resize=resize))[0]
            size = (round(80 * side / 64), side)
            resized = mx.image.imresize(mx.image.imdecode(content), *size, interp=interpolation).asnumpy()
            top, left = (side - 28) // 2, (size[0] - 28) // 2
            assert np.array_equal(found, resized[top : top + 28, left : left + 28].transpose(2, 0, 1)), resize
        whole_picture = whole(mxq.data.images(folder, shape=(3, 20, 30), resize="stretch"))[0]
        resized = mx.image.imresize(mx.image.imdecode(content), 30, 20).asnumpy()
        assert np.array_equal(whole_picture, resized.transpose(2, 0, 1))
        assert whole(mxq.data.images(folder, shape=(3, 24, 60)))[0].shape == (3, 24, 60)  # no square is covered
        assert whole(mxq.data.images(folder, shape=(3, 300, 90)))[0].shape == (3, 300, 90)


def test_sizes_of_their_own_make_batches_of_their_own():
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate(((4, 6), (4, 6), (6, 4))):
            save(os.path.join(folder, f"{number}.png"), *size)
        assert [batch.shape for batch in mxq.data.images(folder)] == [(2, 3, 4, 6), (1, 3, 6, 4)]


def test_grey_images_and_formats_that_mxnet_does_not_know():
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(os.path.join(folder, "a.png"))
        assert np.array_equal(whole(mxq.data.images(folder, shape=(1, 4, 4)))[0, 0], np.arange(16).reshape(4, 4))
        colour = whole(mxq.data.images(folder, shape=(3, 4, 4)))[0]
        assert np.array_equal(colour, np.arange(16).reshape(1, 4, 4).repeat(3, axis=0))
    for kind in ("WEBP", "PPM", "GIF"):
        content = io.BytesIO()
        pixels = np.full((4, 5, 3), (200, 100, 50), np.uint8)
        Image.fromarray(pixels).save(content, kind, **({"lossless": True} if kind == "WEBP" else {}))
        found = decode(content.getvalue(), kind)
        assert found.shape == (4, 5, 3) and np.abs(found.astype(int) - pixels).max() <= 3, kind  # GIF has a palette


def test_images_that_are_none_are_named():
    jpeg, png = io.BytesIO(), io.BytesIO()
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 40, 3)).astype(np.uint8))
    picture.save(jpeg, "JPEG"), picture.save(png, "PNG")
    for content, said in (
        (b"", "empty"),
        (b"<html>404</html>", "no image"),
        (jpeg.getvalue()[:1000], "cut off"),
        (png.getvalue()[:1000], "cut off"),
        (jpeg.getvalue()[:2], "no image"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            save(os.path.join(folder, "a.png"), 40, 40)
            with open(os.path.join(folder, "b.jpg"), "wb") as file:
                file.write(content)
            refused(lambda folder=folder: whole(mxq.data.images(folder, shape=(3, 40, 40))), "b.jpg", said)
    with tempfile.TemporaryDirectory() as folder:
        save(os.path.join(folder, "small.png"), 20, 40)
        refused(lambda: whole(mxq.data.images(folder, shape=(3, 30, 30), resize=0)), "small.png", "40x20", "stretch")


def test_what_is_no_folder_of_images():
    with tempfile.TemporaryDirectory() as folder:
        refused(lambda: mxq.data.images(folder, shape=(3, 4, 4)), folder, "empty", error=ConfigError)
        open(os.path.join(folder, "x.csv"), "w").close()
        refused(lambda: mxq.data.images(folder, shape=(3, 4, 4)), "x.csv", ".jpg", error=ConfigError)
        refused(lambda: mxq.data.images(folder + "/no", shape=(3, 4, 4)), "does not exist", error=ConfigError)
        save(os.path.join(folder, "a.png"), 4, 4)
        for options, said in (
            ({"shape": (2, 4, 4)}, "1 or 3 channels"),
            ({"shape": (3, 4, 4), "mean": (1, 2)}, "--mean"),
            ({"shape": (3, 4, 4), "std": 0}, "above 0"),
            ({"shape": (1, 4, 4), "bgr": True}, "bgr"),
            ({"shape": (3, 4, 4), "dtype": "int8"}, "dtype 'int8'"),
            ({"shape": (3, 4, 4), "dtype": "uint8", "mean": 3}, "mean is for float32"),
            ({"resize": 8}, "shape"),
            ({"shape": (3, 4, 4), "resize": "crop"}, "'stretch'"),
            ({"shape": (3, 4, 4), "num_examples": 0}, "num_examples=0"),
        ):
            refused(lambda options=options: mxq.data.images(folder, **options), said, error=ConfigError)


def test_records_are_those_of_mxnets_iterator():
    with tempfile.TemporaryDirectory() as folder:
        path, pixels = write_records(folder, n=7, size=12)
        images = mxq.data.images(path, shape=(3, 8, 8), dtype="uint8")
        source = mxq.data.ImageRecordIter(path_imgrec=path, data_shape=(3, 8, 8), batch_size=7, dtype="uint8")
        batch = next(iter(source))
        ((data, labels),) = list(images)
        assert np.array_equal(data, batch.data[0].asnumpy()) and np.array_equal(labels, batch.label[0].asnumpy())
        assert np.array_equal(data, pixels[:, :, 2:10, 2:10])
        assert images.names[3] == f"record 3 of {path!r}"
        plain = mx.recordio.MXRecordIO(os.path.join(folder, "text.rec"), "w")
        plain.write(b"text")
        plain.close()
        refused(lambda: mxq.data.images(os.path.join(folder, "text.rec"), shape=(3, 8, 8)), "record 0", "im2rec")


def test_a_record_with_the_magic_number_inside_it():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.rec")
        writer = mx.recordio.MXRecordIO(path, "w")
        magic = b"\x0a\x23\xd7\xce"
        contents = [b"abcd" + magic + b"efg", magic, b"", b"last" + magic]
        for content in contents:
            writer.write(content)
        writer.close()
        from mxq.data.recordio import read_record, record_offsets

        assert [read_record(path, offset) for offset in record_offsets(path)] == contents


def test_examples_to_calibrate_with_and_others():
    with tempfile.TemporaryDirectory() as folder:
        for number in range(12):
            save(os.path.join(folder, f"{number:02}.png"), 4, 4, number)
        images = Images((3, 4, 4))
        first, second, others = read_examples(folder, 12, images).split(8, 4)
        assert others and first.total == 8
        assert [name[-7:-1] for name in second.data.names] == ["00.png", "03.png", "06.png", "09.png"]
        assert not set(first.data.names) & set(second.data.names)
        first, second, others = read_examples(folder, 9, images).split(8, 4)
        assert not others and first.total == 8 and set(second.data.names) <= set(first.data.names)
        path = os.path.join(folder, "a.npy")
        np.save(path, np.arange(12)[:, None])
        first, second, others = read_examples(path, 12, Images()).split(8, 4)
        assert others and first.data[:, 0].tolist() == list(range(8)) and second.data[:, 0].tolist() == [8, 9, 10, 11]


def test_labels_of_a_file_and_of_arrays():
    with tempfile.TemporaryDirectory() as folder:
        for number in range(4):
            save(os.path.join(folder, f"{number}.png"), 4, 4, number)
        labels = os.path.join(folder, "labels.txt")
        with open(labels, "w") as file:
            file.write("4\n5\n6\n7\n")
        found = read_examples(folder, 2, Images((3, 4, 4)), labels_file=labels)
        assert found.labels.tolist() == [4, 6]
        path = os.path.join(folder, "a.npy")
        np.save(path, np.zeros((4, 2), np.float32))
        assert read_examples(path, 3, Images(), labels_file=labels).labels.tolist() == [4, 5, 6]
        np.save(path, np.zeros((5, 2), np.float32))
        refused(lambda: read_examples(path, 3, Images(), labels_file=labels), "4 labels", "5 examples")
        named = os.path.join(folder, "a.npz")
        np.savez(named, data=np.zeros((3, 2)), label=np.array([1, 0, 2]))
        found = read_examples(named, 2, Images())
        assert found.labels.tolist() == [1, 0] and found.total == 2
        assert read_examples(f"{named}:label", None, Images()).data.tolist() == [1, 0, 2]
        refused(lambda: read_examples(f"{named}:dat", None, Images()), "'dat'", "nearest: data", error=ConfigError)


def test_options_for_images_are_refused_for_arrays():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.npy")
        np.save(path, np.full((2, 3, 2, 2), 10, np.uint8))
        assert np.array_equal(read_examples(path, None, Images(None, [4], [2])).data, np.full((2, 3, 2, 2), 3, "f"))
        refused(lambda: read_examples(path, None, Images(None, None, None, True)), "--bgr", "arrays")
        refused(lambda: read_examples(path, None, Images((3, 2, 2), resize=8)), "--resize", "arrays")
