import os
import tempfile

import mxnet as mx
import numpy as np
from parameterized import parameterized

from mxq.data.recordio import MAGIC, check_recordio
from mxq.errors import ConfigError

from .refusals import refused

_folder = tempfile.TemporaryDirectory()
MAGIC_BYTES = np.uint32(MAGIC).tobytes()


def path_of(content, name="file.rec"):
    path = os.path.join(_folder.name, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def records(contents):
    """A file's content, and where its records end."""
    path, index = os.path.join(_folder.name, "written.rec"), os.path.join(_folder.name, "written.idx")
    writer = mx.recordio.MXIndexedRecordIO(index, path, "w")
    begins = []
    for content in contents:
        begins.append(writer.tell())
        writer.write(content)
    writer.close()
    with open(path, "rb") as file:
        whole = file.read()
    return whole, [*begins[1:], len(whole)]


SMALL = [b"", b"a", b"four", b"longer" * 7, MAGIC_BYTES, b"abcd" + MAGIC_BYTES * 2 + b"xy", b"last one"]


def test_whole_files_pass():
    content, _ = records(SMALL)
    check_recordio(path_of(content))
    check_recordio(path_of(content, "a.rec") + ";" + path_of(content, "b.rec"))
    check_recordio("s3://bucket/not/looked/at.rec")


def test_a_cut_anywhere_but_between_records_is_refused():
    content, ends = records([b"first", b"second", b"the third record", b""])
    for size in range(1, len(content)):
        path = path_of(content[:size])
        if size in ends:
            check_recordio(path)
        else:
            refused(lambda p=path: check_recordio(p), path, error=ConfigError)


@parameterized.expand([(1 << 20,), ((1 << 20) + 4,), (9 << 20,)])
def test_a_record_larger_than_what_is_read_at_once(length):
    content, _ = records([b"small", bytes(length)])
    check_recordio(path_of(content))
    refused(lambda: check_recordio(path_of(content[:-4])), "cut off", f"{len(content)}", f"{len(content) - 4} bytes")


@parameterized.expand([("empty", b"", "is empty"), ("text", b"n01440764/10026.JPEG\n", "is no RecordIO file")])
def test_other_files(name, content, words):
    refused(lambda: check_recordio(path_of(content, name)), name, words, error=ConfigError)


def test_no_file():
    refused(lambda: check_recordio("/no/such.rec"), "/no/such.rec", "does not exist", error=ConfigError)


def test_damage_in_the_middle_is_found():
    content, ends = records([b"first", b"second one", MAGIC_BYTES + b"third" + MAGIC_BYTES, b"fourth", b"fifth"])
    begins = [0, *ends[:-1]]
    check_recordio(path_of(content))
    for begin in begins[1:]:
        for at in range(4):  # of the magic number
            damaged = bytearray(content)
            damaged[begin + at] ^= 0x40
            refused(lambda d=damaged: check_recordio(path_of(bytes(d))), "damaged", f"byte {begin} ", error=ConfigError)
    for begin in begins:
        for at in range(5, 8):  # of the length; another length may be that of two records
            damaged = bytearray(content)
            damaged[begin + at] ^= 0x10
            refused(lambda d=damaged: check_recordio(path_of(bytes(d))), "RecordIO file", error=ConfigError)


def test_parts_without_their_record():
    (whole, _), (parts, _) = records([b"whole"]), records([MAGIC_BYTES + b"in parts"])
    first = parts[:8]
    check_recordio(path_of(whole + parts))
    refused(lambda: check_recordio(path_of(whole + first)), "damaged", "between the parts", error=ConfigError)
    refused(lambda: check_recordio(path_of(parts[8:] + whole)), "damaged", "cannot be first", error=ConfigError)
    refused(lambda: check_recordio(path_of(first + whole)), "damaged", "cannot follow", error=ConfigError)
