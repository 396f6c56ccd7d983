"""mxq.data: the pixels, types and shapes that integer image iterators hand out, and the options they refuse."""

import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

import mxq.data
from mxq.errors import ConfigError

SHAPE = (3, 9, 7)
COUNT = 10
IMAGES = np.random.RandomState(3).randint(0, 256, (COUNT, 9, 7, 3)).astype(np.uint8)  # BGR, HWC
IMAGES[0, 0, 0] = 0
IMAGES[0, 0, 1] = 255
PIXELS = IMAGES[..., ::-1].transpose(0, 3, 1, 2)  # RGB, CHW
_folder = tempfile.TemporaryDirectory()


def record_file(images=IMAGES, name="images"):
    path = os.path.join(_folder.name, name + ".rec")
    if not os.path.exists(path):
        writer = mx.recordio.MXRecordIO(path, "w")
        for index, image in enumerate(images):
            header = (0, float(index), index, 0)
            writer.write(mx.recordio.pack_img(header, image, img_fmt=".png"))  # lossless: pixels are known exactly
        writer.close()
    return path


def iterator(kind=mxq.data.ImageRecordIter, **options):
    options = {"path_imgrec": record_file(), "data_shape": SHAPE, "batch_size": 4, "verbose": False, **options}
    return kind(**options)


def error(kind=mxq.data.ImageRecordIter, **options):
    try:
        iterator(kind, **options)
    except ConfigError as caught:
        return str(caught)
    raise AssertionError(f"no error for {options}")


def expected_int8(pixels, means):
    # round half away from zero, as std::round; then saturate
    means = np.array([np.copysign(np.floor(abs(m) + 0.5), m) for m in means]).reshape(3, 1, 1)
    return np.clip(pixels.astype(np.int64) - means, -128, 127).astype(np.int8)


@parameterized.expand(
    [
        ("whole", (124, 117, 104)),
        ("fractions", (123.68, 116.779, 103.939)),
        ("half", (122.5, 0.5, 1.5)),
        ("zero", (0, 0, 0)),
        ("saturating", (255, 0, 250)),
    ]
)
def test_int8_pixels_are_pixel_minus_rounded_mean_saturated(_, means):
    options = dict(zip(("mean_r", "mean_g", "mean_b"), means))
    data = iterator(dtype="int8", **options)
    assert data.provide_data[0].shape == (4,) + SHAPE
    assert data.provide_data[0].dtype == np.int8
    want = expected_int8(PIXELS, means)
    seen = 0
    for batch in data:
        images = batch.data[0]
        assert images.dtype == np.int8 and images.context == mx.cpu()
        labels = batch.label[0].asnumpy().astype(int)
        assert (images.asnumpy() == want[labels]).all()
        seen += len(labels) - batch.pad
    assert seen == COUNT


def test_uint8_pixels_are_raw():
    data = iterator(dtype="uint8")
    assert data.provide_data[0].dtype == np.uint8
    batches = list(data)
    assert [batch.pad for batch in batches] == [0, 0, 2]
    images = np.concatenate([batch.data[0].asnumpy() for batch in batches])
    assert images.dtype == np.uint8
    assert (images[:COUNT] == PIXELS).all()
    assert (images[COUNT:] == PIXELS[:2]).all()  # the last batch is filled up from the start


def test_float32_is_normalized():
    options = {"mean_r": 123.68, "mean_g": 116.0, "mean_b": 103.0, "std_r": 58.0, "std_g": 57.0, "std_b": 57.5}
    batch = iterator(**options).next()
    mean = np.float32([123.68, 116.0, 103.0]).reshape(3, 1, 1)
    std = np.float32([58.0, 57.0, 57.5]).reshape(3, 1, 1)
    # MXNet multiplies by the reciprocal: one float32 rounding away from the quotient
    np.testing.assert_allclose(batch.data[0].asnumpy(), (PIXELS[:4] - mean) / std, rtol=3e-7, atol=1e-7)


@parameterized.expand([("cpu", "uint8"), ("gpu", "uint8"), ("cpu", "int8"), ("gpu", "int8"), ("gpu", "float32")])
def test_batches_that_are_kept_keep_their_images(ctx, dtype):
    # MXNet's iterator hands out the buffers that it fills again: a list of its batches ends in repetitions.
    images = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1) * np.ones((1, 5, 5, 3), np.uint8)
    path = record_file(images, "sixty")
    data = iterator(path_imgrec=path, data_shape=(3, 5, 5), batch_size=1, dtype=dtype, ctx=ctx, prefetch_buffer=1)
    batches = list(data)
    assert [int(batch.data[0].asnumpy()[0, 0, 0, 0]) for batch in batches] == list(range(60))
    assert [int(batch.label[0].asscalar()) for batch in batches] == list(range(60))


def test_reset_starts_again():
    data = iterator(dtype="uint8", batch_size=5)
    first = [batch.data[0].asnumpy() for batch in data]
    data.reset()
    second = [batch.data[0].asnumpy() for batch in data]
    assert len(first) == len(second) == 2
    assert (np.concatenate(first) == np.concatenate(second)).all()


@parameterized.expand([(mxq.data.ImageRecordInt8Iter, np.int8), (mxq.data.ImageRecordUInt8Iter, np.uint8)])
def test_named_iterators(kind, dtype):
    data = iterator(kind, data_name="image", label_name="class")
    assert data.provide_data[0].name == "image" and data.provide_data[0].dtype == dtype
    assert data.provide_label[0].name == "class"
    want = PIXELS[:4] if dtype == np.uint8 else expected_int8(PIXELS[:4], (0, 0, 0))
    assert (data.next().data[0].asnumpy() == want).all()
    assert "float32" in error(kind, dtype="float32")


def test_dtype_may_be_a_numpy_type():
    assert iterator(dtype=np.uint8).provide_data[0].dtype == np.uint8


@parameterized.expand(
    [
        ("int8", "std_r", 58.0),
        ("int8", "std_b", 2),
        ("int8", "scale", 0.017),
        ("int8", "max_random_contrast", 0.2),
        ("uint8", "std_g", 58.0),
        ("uint8", "scale", 1 / 255),
        ("uint8", "mean_r", 123.68),
        ("uint8", "mean_img", "mean.bin"),
        ("uint8", "max_random_illumination", 3),
    ]
)
def test_options_without_effect_are_refused(dtype, option, value):
    message = error(dtype=dtype, **{option: value})
    assert option in message and dtype in message and "quantize_model(mean=" in message


@parameterized.expand([("int8",), ("uint8",)])
def test_neutral_values_are_accepted(dtype):
    data = iterator(dtype=dtype, std_r=1, std_g=1.0, std_b=1, scale=1, mean_r=0)
    assert data.provide_data[0].dtype == np.dtype(dtype)


def test_unknown_option_names_the_nearest():
    assert "mean_r" in error(mean_red=3) and "unknown option 'mean_red'" in error(mean_red=3)


@parameterized.expand([("float16",), ("int32",), ("half",)])
def test_other_dtypes_are_refused(dtype):
    assert dtype in error(dtype=dtype) and "uint8" in error(dtype=dtype)


def test_uninitialized_tail_is_refused():
    assert "round_batch=True" in error(round_batch=False)


def test_int8_mean_image_must_exist():
    assert "nowhere.bin" in error(dtype="int8", mean_img="nowhere.bin")


def test_gluon_loader_keeps_uint8():
    dataset = mx.gluon.data.ArrayDataset(mx.nd.array(IMAGES, dtype="uint8"), np.arange(COUNT))
    dataset = dataset.transform_first(lambda image: image.transpose((2, 0, 1)))
    images, _ = next(iter(mx.gluon.data.DataLoader(dataset, batch_size=4)))
    assert images.dtype == np.uint8
    assert (images.asnumpy() == IMAGES.transpose(0, 3, 1, 2)[:4]).all()


def test_integers_reach_a_module_unchanged():
    data = iterator(dtype="uint8")
    module = mx.mod.Module(mx.sym.identity(mx.sym.var("data")), label_names=None)
    module.bind(data.provide_data, for_training=False)
    module.init_params()
    module.forward(data.next(), is_train=False)
    output = module.get_outputs()[0]
    assert output.dtype == np.uint8
    assert (output.asnumpy() == PIXELS[:4]).all()


def test_a_file_that_is_missing_or_cut_off_is_refused():
    """MXNet ends the process at the end of such a file."""
    assert "'/no/such.rec' does not exist" in error(path_imgrec="/no/such.rec")
    with open(record_file(), "rb") as whole, open(os.path.join(_folder.name, "cut.rec"), "wb") as cut:
        cut.write(whole.read()[:-8])
    assert "is cut off" in error(path_imgrec=cut.name, dtype="uint8")
