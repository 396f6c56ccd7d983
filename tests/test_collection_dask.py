"""Statistics from the workers of a local Dask cluster."""

import os
import tempfile
import unittest

import mxnet as mx
import numpy as np

import mxq
from mxq.collection_dask import collect_statistics_dask

from .refusals import refused
from .test_collection import ARGS, AUX, DATA, SYM, assert_same, whole


def _need():
    try:
        from dask import distributed
    except ImportError:
        raise unittest.SkipTest("dask.distributed is not installed: pip install 'mxq[dask]'") from None
    return distributed


def _shards(folder):
    """The network's files, and five shards of the data."""
    prefix = os.path.join(folder, "net")
    mx.model.save_checkpoint(prefix, 0, SYM, ARGS, AUX)
    paths = [os.path.join(folder, f"{i}.npy") for i in range(5)]
    for path, part in zip(paths, np.array_split(DATA, 5)):
        np.save(path, part)
    return f"{prefix}-symbol.json", f"{prefix}-0000.params", paths


def test_a_local_cluster_gives_what_one_pass_gives():
    distributed = _need()
    with tempfile.TemporaryDirectory() as folder:
        sym, params, paths = _shards(folder)
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        )
        with cluster, distributed.Client(cluster) as client:
            statistics = collect_statistics_dask(sym, params, paths, np.load, client=client, progress=False)
            missing = os.path.join(folder, "none.npy")
            refused(
                lambda: collect_statistics_dask(sym, params, [missing], np.load, client=client),
                "none.npy", error=FileNotFoundError,
            )  # fmt: skip
    assert_same(statistics, whole())


def test_wrong_arguments():
    _need()
    error = mxq.ConfigError
    refused(lambda: collect_statistics_dask(SYM, "p", [1], np.load), "sym is a Symbol", error=error)
    refused(lambda: collect_statistics_dask("s", "p", [], np.load), "no shards", error=error)
    refused(lambda: collect_statistics_dask("s", "p", [1], np.load, path="x"), "'path'", error=error)
    refused(lambda: collect_statistics_dask("s", "p", [1], np.load), "no Dask client", error=error)
