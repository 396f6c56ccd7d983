"""collect_statistics over the workers of a Dask cluster: an optional extra, ``pip install mxq[dask]``."""

from typing import Callable, List, Sequence

from .calib.statistics import Statistics
from .collection import collect_statistics
from .errors import ConfigError


def collect_statistics_dask(
    sym, params, shards: Sequence, load: Callable[[object], object], *, client=None, **options
) -> Statistics:
    """Runs `mxq.collect_statistics` for every shard of the data where Dask puts it, and merges.

    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> from mxq.collection_dask import collect_statistics_dask  # doctest: +SKIP
    >>> stats = collect_statistics_dask(
    ...     "net-symbol.json", "net-0000.params", ["a.npy", "b.npy"], numpy.load, client=Client("scheduler:8786")
    ... )  # doctest: +SKIP
    >>> model = mxq.quantize_model("net-symbol.json", "net-0000.params", statistics=stats)  # doctest: +SKIP

    Workers need mxq, MXNet and the network's files under the same paths. Merging is exact: the result is that of one
    pass over all shards, in any order, on processors with the same instruction set. Dask repeats a shard whose worker
    is lost.

    Args:
        sym, params: paths of the symbol and the parameter file.
        shards: one item per part of the data, small and picklable, such as a path.
        load: called on a worker with a shard; returns data as collect_statistics takes it. Picklable.
        client: dask.distributed.Client; the current one by default.
        options: as for collect_statistics, but for `path`, `resume` and `ctx`.

    Returns:
        Statistics of all shards.

    Raises:
        ConfigError: dask is not installed, there is no client, no shard, or an option that is not accepted.
    """
    try:
        from dask import distributed
    except ImportError as error:
        raise ConfigError(
            f"collect_statistics_dask needs dask.distributed ({error}): pip install 'mxq[dask]'"
        ) from error
    for name, value in (("sym", sym), ("params", params)):
        if not isinstance(value, str):
            raise ConfigError(f"{name} is a {type(value).__name__}: give the path of a file that every worker can read")
    for name in ("path", "resume", "checkpoint_seconds", "ctx"):
        if name in options:
            raise ConfigError(f"collect_statistics_dask has no option {name!r}: Dask repeats what is lost")
    if not shards:
        raise ConfigError("no shards: give one item per part of the data")
    if client is None:
        try:
            client = distributed.get_client()
        except ValueError as error:
            raise ConfigError("no Dask client: give client=dask.distributed.Client(...)") from error
    pending: List = [client.submit(_collect, sym, params, shard, load, options, pure=False) for shard in shards]
    while len(pending) > 1:  # in pairs, where the statistics are
        pairs = [pending[i : i + 2] for i in range(0, len(pending), 2)]
        pending = [client.submit(_merge, *pair, pure=False) if len(pair) > 1 else pair[0] for pair in pairs]
    return pending[0].result()


def _collect(sym, params, shard, load, options) -> Statistics:
    return collect_statistics(sym, params, load(shard), **options)


def _merge(first: Statistics, second: Statistics) -> Statistics:
    merged = first.copy()  # Dask may hand the same object to another task
    merged.merge(second)
    return merged
