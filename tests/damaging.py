"""Files with one thing changed, for tests of what reads them: it works, or an MXQError names the file and the field.

MXQ_FUZZ multiplies the number of random changes.
"""

import copy
import os

from mxq.errors import MXQError

MORE = int(os.environ.get("MXQ_FUZZ", "1"))
#: What stands where something else should.
MARKUP = '"><script>'
STRANGE = [
    None, True, -1, 0, 3, 1e400, float("nan"), 10**400, 2**63, -(2**70), 0.5, 1e300, -1e300, "inf", "-inf", MARKUP, "",
    "x", "9" * 5000, "nan", "\ud800", [], [1], [[]], ["a", "b", "c"], {}, {"min": 1}, {"": {}},
]  # fmt: skip
NESTED = "[" * 100_000


def places(document, path=()):
    """Where something stands in a document: keys, one after the other."""
    below = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in below:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(document, path, value):
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def damaged_anywhere(rng, whole, kept=1):
    """Up to three bytes of a file changed; whole, or, once in ``kept + 1`` times, cut off."""
    damaged = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged[: rng.choice([len(damaged)] * kept + [rng.randrange(len(damaged))])])


def loads_or_explains(load, path, *parts):
    try:
        load(path)
    except MXQError as error:
        assert all(part in str(error) for part in (path, *parts)), f"{error}: no {parts}"
        return False
    return True


def put(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
