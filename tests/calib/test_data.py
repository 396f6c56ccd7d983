import logging

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.calib import batches
from mxq.data.batches import first_examples, of_integers
from mxq.errors import CalibrationError, ConfigError

from ..refusals import refused

X = np.arange(7 * 3 * 4, dtype=np.float32).reshape(7, 3, 4)
Z = np.arange(7 * 2, dtype=np.float32).reshape(7, 2) + 0.5
Y = np.arange(7, dtype=np.float32)


def joined(data, names=("data",), **options):
    """All examples by input name, and the sizes of the batches."""
    found = list(batches(data, list(names), **options))
    for arrays, n in found:
        assert list(arrays) == list(names)
        assert all(isinstance(a, mx.nd.NDArray) and a.shape[0] == n for a in arrays.values())
    whole = {name: np.concatenate([b.arrays[name].asnumpy() for b in found]) for name in names}
    return whole, [b.n_valid for b in found]


def raises(function, *parts, error=CalibrationError):
    try:
        function()
    except error as caught:
        assert all(part in str(caught) for part in parts), str(caught)
        return
    raise AssertionError(f"no {error.__name__}")


class Loader:
    """Any iterable of batches, as often as wanted."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return iter([self.make(slice(i, i + 3)) for i in range(0, 7, 3)])


def data_loader(*arrays):
    return mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(*arrays), batch_size=3)


ONE_INPUT = {
    "numpy": lambda: X,
    "float64": lambda: X.astype(np.float64),
    "float16": lambda: X.astype(np.float16),
    "NDArray": lambda: mx.nd.array(X),
    "mx.np": lambda: mx.np.array(X),
    "dict": lambda: {"data": X, "softmax_label": Y},
    "tuple": lambda: (X,),
    "data and labels": lambda: (X, Y),
    "NDArrayIter": lambda: mx.io.NDArrayIter(X, batch_size=3),
    "NDArrayIter with labels": lambda: mx.io.NDArrayIter(X, Y, batch_size=3),
    "NDArrayIter of another name": lambda: mx.io.NDArrayIter({"image": X}, {"label": Y}, batch_size=3),
    "PrefetchingIter": lambda: mx.io.PrefetchingIter(mx.io.NDArrayIter(X, Y, batch_size=3)),
    "DataLoader": lambda: data_loader(X),
    "DataLoader with labels": lambda: data_loader(X, Y),
    "Dataset": lambda: mx.gluon.data.ArrayDataset(X, Y),
    "list of arrays": lambda: [X[:3], X[3:]],
    "list of NDArrays": lambda: [mx.nd.array(X[:3]), mx.nd.array(X[3:])],
    "list of (data, label)": lambda: [(X[:3], Y[:3]), (X[3:], Y[3:])],
    "list of [data, label]": lambda: [[X[:3], Y[:3]], [X[3:], Y[3:]]],
    "list of dicts": lambda: [{"data": X[:3]}, {"data": X[3:]}],
    "list of DataBatch": lambda: [mx.io.DataBatch([mx.nd.array(X)], [mx.nd.array(Y)])],
    "DataBatch with padding": lambda: [mx.io.DataBatch([mx.nd.array(np.append(X, X[:1], 0))], pad=1)],
    "a DataBatch": lambda: mx.io.DataBatch([mx.nd.array(X)]),
    "iterable": lambda: Loader(lambda s: (X[s], Y[s])),
    "generator": lambda: (X[i : i + 1] for i in range(7)),
}


@parameterized.expand([(name,) for name in ONE_INPUT])
def test_one_input(name):
    arrays, sizes = joined(ONE_INPUT[name](), batch_size=3)
    assert arrays["data"].dtype == np.float32
    assert arrays["data"].tolist() == X.tolist()
    assert sum(sizes) == 7


TWO_INPUTS = {
    "dict": lambda: {"b": Z, "a": X, "label": Y},
    "tuple": lambda: (X, Z),
    "tuple with labels": lambda: (X, Z, Y),
    "list": lambda: [X, Z],
    "NDArrayIter": lambda: mx.io.NDArrayIter({"b": Z, "a": X}, Y, batch_size=3),
    "NDArrayIter of other names": lambda: mx.io.NDArrayIter({"in0": X, "in1": Z}, batch_size=3),
    "DataLoader": lambda: data_loader(X, Z),
    "DataLoader with labels": lambda: data_loader(X, Z, Y),
    "list of tuples": lambda: [(X[:3], Z[:3]), (X[3:], Z[3:])],
    "dicts": lambda: Loader(lambda s: {"b": Z[s], "a": X[s]}),
}


@parameterized.expand([(name,) for name in TWO_INPUTS])
def test_two_inputs(name):
    arrays, sizes = joined(TWO_INPUTS[name](), names=("a", "b"), batch_size=3)
    assert arrays["a"].tolist() == X.tolist() and arrays["b"].tolist() == Z.tolist()
    assert sum(sizes) == 7


@parameterized.expand([("uint8",), ("int8",), ("int32",), ("int64",)])
def test_integers_stay_integers(dtype):
    arrays, _ = joined(X.astype(dtype))
    assert arrays["data"].dtype == dtype and arrays["data"].tolist() == X.tolist()


@parameterized.expand([(name, n) for name in ("numpy", "NDArrayIter", "DataLoader", "generator") for n in (1, 3, 5, 7)])
def test_exactly_so_many_examples(name, n):
    arrays, sizes = joined(ONE_INPUT[name](), batch_size=3, num_examples=n)
    assert arrays["data"].tolist() == X[:n].tolist() and sum(sizes) == n


def test_padding_is_no_data():
    """MXNet counts padded examples as data."""
    _, sizes = joined(mx.io.NDArrayIter(X, batch_size=4, last_batch_handle="pad"))
    assert sizes == [4, 3]


def test_a_data_iter_is_reset_before_and_after():
    """MXNet starts where the iterator happens to be."""
    data = mx.io.NDArrayIter(X, batch_size=3)
    next(data)
    for _ in range(2):
        assert joined(data)[0]["data"].tolist() == X.tolist()
    assert sum(1 for _ in batches(data, ["data"], num_examples=2)) == 1
    assert next(data).data[0].asnumpy().tolist() == X[:3].tolist()


def test_other_iterables_with_reset_are_reset():
    class Source(Loader):
        resets = 0

        def reset(self):
            self.resets += 1

    source = Source(lambda s: X[s])
    assert joined(source)[0]["data"].tolist() == X.tolist()
    assert source.resets == 2


def test_streaming_reads_no_further_than_needed():
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield X[:2]

    assert joined(source(), num_examples=5)[1] == [2, 2, 1]
    assert len(read) == 3


def test_fewer_examples_than_asked_for_are_reported():
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("mxq.data.batches")
    logger.addHandler(handler)
    try:
        joined(X, num_examples=9)
    finally:
        logger.removeHandler(handler)
    assert records == ["calibration data holds 7 examples, 9 were asked for"]


def test_sparse_batches():
    arrays, _ = joined(mx.io.NDArrayIter(mx.nd.array(Z).tostype("csr"), batch_size=7, last_batch_handle="discard"))
    assert arrays["data"].tolist() == Z.tolist()


def test_shapes_may_be_known_in_part():
    joined(X, data_shapes={"data": (32, 3, 4)})
    joined(X, data_shapes={"data": (0, -1, 4), "other": (1,)})


def used_up():
    generator = (X[i : i + 1] for i in range(7))
    joined(generator)
    return generator


NAN = X.copy()
NAN[4, 1, 2] = np.nan
INF = X.copy()
INF[5, 0, 0] = -np.inf

BAD_DATA = {
    "none": (lambda: None, ["NoneType", "accepted are"]),
    "text": (lambda: "images/", ["path 'images/'", "mxq.data.images("]),
    "number": (lambda: 3, ["int", "accepted are"]),
    "empty array": (lambda: X[:0], ["empty"]),
    "empty list": (lambda: [], ["empty"]),
    "empty batch only": (lambda: [X[:0]], ["empty"]),
    "empty axis": (lambda: X[:, :0], ["(7, 0, 4)", "axis is empty"]),
    "used up generator": (used_up, ["empty", "second time"]),
    "NaN": (lambda: NAN, ["'data'", "example 4", "nan"]),
    "infinity": (lambda: INF, ["'data'", "example 5", "-inf"]),
    "NaN in a DataLoader": (lambda: data_loader(NAN, Y), ["example 4"]),
    "too large for float32": (lambda: X.astype(np.float64) * 1e300, ["'data'", "example 0", "inf"]),
    "objects": (lambda: np.array([["a", None]], dtype=object), ["object", "accepted are", "float32"]),
    "strings": (lambda: np.array([["a"], ["b"]]), ["<U1", "accepted are"]),
    "complex": (lambda: X.astype(np.complex64), ["complex64"]),
    "no axis": (lambda: np.float32(3), ["batch", "()"]),
    "batches of text": (lambda: ["a", "b"], ["str"]),
    "batches of lists of text": (lambda: [["a"]], ["str", "NDArrays"]),
    "dict without the input": (lambda: {"image": X}, ["lacks input 'data'", "image"]),
    "dicts without the input": (lambda: [{"image": X}], ["batch 0", "'data'", "image"]),
    "empty batch": (lambda: [()], ["0 item"]),
    "shapes that change": (lambda: [X, X[:, :2]], ["batch 1", "(7, 2, 4)", "(batch, 3, 4)"]),
    "rank that changes": (lambda: [X, Y], ["batch 1", "(7,)"]),
    "batches in a tuple": (lambda: (X[:3], X[3:]), ["tuple", "list if these are batches"]),
}


@parameterized.expand([(name,) for name in BAD_DATA])
def test_bad_data(name):
    make, parts = BAD_DATA[name]
    raises(lambda: joined(make()), *parts)


def test_integers_are_never_nan():
    assert joined(np.zeros((2, 3), np.int64))[1] == [2]


def test_two_inputs_of_different_length():
    raises(lambda: joined((X, Z[:5]), names=("a", "b")), "a (7, 3, 4)", "b (5, 2)")


def test_too_few_inputs():
    raises(lambda: joined([(X,)], names=("a", "b")), "1 item", "2 inputs: a, b")
    raises(lambda: joined(X, names=("a", "b")), "1 item", "2 inputs: a, b")
    raises(lambda: joined(mx.io.NDArrayIter(X, batch_size=3), names=("a", "b")), "1 item")


@parameterized.expand([((32, 3, 5),), ((32, 3),), ((32, 3, 4, 1),)])
def test_wrong_shape(shape):
    raises(lambda: joined(X, data_shapes={"data": shape}), "(7, 3, 4)", "the network expects (batch, 3")


def test_data_in_one_piece_is_cut_into_batches_of_32():
    assert [batch.n_valid for batch in batches(np.zeros((70, 3), np.float32), ["data"])] == [32, 32, 6]


@parameterized.expand([(n, v) for n in ("num_examples", "batch_size") for v in (0, -3, 2.5, True)])
def test_wrong_option(name, value):
    raises(lambda: batches(X, ["data"], **{name: value}), f"{name}={value}", error=ConfigError)


def test_no_input():
    raises(lambda: batches(X, []), "no data input")


def test_the_first_examples_and_all_of_them_again():
    array = np.arange(15, dtype=np.float32).reshape(5, 3)
    for enough, whole, sizes in ((3, False, [2, 1]), (3, True, [2, 2]), (4, False, [2, 2]), (9, False, [2, 2, 1])):
        first, every = first_examples(batches(array, ["data"], batch_size=2), enough, whole=whole)
        assert [batch.n_valid for batch in first] == sizes
        seen = np.concatenate([batch.arrays["data"].asnumpy() for batch in first])
        assert np.array_equal(seen, array[: sum(sizes)])
        assert np.array_equal(np.concatenate([batch.arrays["data"].asnumpy() for batch in every]), array)


@parameterized.expand([("uint8", 0, 255), ("int8", -128, 127)])
def test_integers_of_a_type_from_end_to_end(dtype, least, most):
    for given in (np.float32([[least, most]]), np.int32([[least, most]])):
        (found,) = of_integers(batches(given, ["x"]), "x", dtype)
        array = found.arrays["x"].asnumpy()
        assert array.dtype == dtype and array.tolist() == [[least, most]]
    for value in (least - 1, most + 1, 0.5):
        given = np.float32([[0, least, value]])
        parts = (f"value {np.float32(value)}", f"{dtype!r}", f"the integers {least} to {most}")
        refused(
            lambda given=given: list(of_integers(batches(given, ["x"]), "x", dtype)), *parts, error=CalibrationError
        )


def test_the_shape_that_is_wanted_says_what_may_be_anything():
    given = np.zeros((2, 3, 5), np.float32)
    for wanted, told in (((4, 0, 6), "(batch, any, 6)"), ((4, 7, -1), "(batch, 7, any)")):
        find = lambda wanted=wanted: list(batches(given, ["x"], data_shapes={"x": wanted}))  # noqa: E731
        refused(find, "(2, 3, 5)", f"the network expects {told}", error=CalibrationError)
