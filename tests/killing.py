"""Kills what writes files, again and again, and looks at what is left: ``python -m tests.killing KIND TIMES SEED``.

One process imports everything and forks those that are killed, so that a hundred kills take a minute. It never runs a
network itself: threads that wait for work would be missing in its children. Half of them are killed at any time, the
others just before or behind a flush to disk or a move of a file.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time

import numpy as np

import mxq
from mxq.network.files import load_params, load_symbol, save_model
from mxq.network.params import split_params
from mxq.network.seal import check_pair
from tests import networks

DATA = np.random.RandomState(0).uniform(-1, 1, (24, 3, 13, 11)).astype(np.float32)


def in_child(work):
    """The process id of a fork that runs work()."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def finished(work):
    _, status = os.waitpid(in_child(work), 0)
    assert status == 0, f"status {status}"


def killed_at_a_step(number, behind):
    """This process dies at one of the next flushes or moves."""
    left = [number]

    def counted(function):
        def call(*args):
            left[0] -= 1
            if left[0] <= 0 and not behind:
                os.kill(os.getpid(), signal.SIGKILL)
            function(*args)
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        return call

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


class Save:
    """Three int8 networks of one float network are saved in turn under one name."""

    def __init__(self, folder):
        self.prefix = os.path.join(folder, "net")
        with tempfile.TemporaryDirectory() as beside:
            prefixes = [os.path.join(beside, str(gain)) for gain in (1, 3, 9)]
            finished(lambda: self._make(prefixes))
            files = [(load_symbol(f"{p}-symbol.json"), load_params(f"{p}-0000.params")) for p in prefixes]
        self.models = [(symbol, *split_params(params)) for symbol, params in files]
        save_model(self.prefix, *self.models[0])
        self.mixed = 0

    def _make(self, prefixes):
        net = networks.residual()
        for prefix in prefixes:
            gain = np.float32(os.path.basename(prefix))
            mxq.quantize_model(net[0], net[1:3], DATA * gain, preflight=False, progress=False).save(prefix)

    steps = 18

    def work(self):
        for model in self.models:
            save_model(self.prefix, *model)

    def look(self):
        with open(f"{self.prefix}-symbol.json") as file:
            text = file.read()
        symbols = [model[0].tojson() for model in self.models]
        assert text in symbols, "a symbol that nobody saved"
        args, _ = split_params(load_params(f"{self.prefix}-0000.params"))
        values = [i for i, model in enumerate(self.models) if _same(args, model[1])]
        assert len(values) == 1, "parameters that nobody saved"
        try:
            check_pair(text, args, "symbol", "params")
        except mxq.GraphError:
            self.mixed += 1
            assert text != symbols[values[0]]
        else:
            assert text == symbols[values[0]], "a mixture that loads"

    def end(self):
        save_model(self.prefix, *self.models[1])
        assert sorted(os.listdir(os.path.dirname(self.prefix))) == ["net-0000.params", "net-symbol.json"]
        return f"{self.mixed} of them between the two moves, all refused"


def _same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[name].asnumpy(), b[name].asnumpy()) for name in a)


class Collection:
    """Statistics are collected, with a checkpoint after every batch, and go on where the killed run stopped."""

    def __init__(self, folder):
        self.net, self.path = networks.plain(), os.path.join(folder, "net.npz")
        self.whole = os.path.join(folder, "whole.npz")
        finished(lambda: self._collect(self.whole, resume=False))
        self.resumed = 0

    def _collect(self, path, **options):
        batches = [DATA[i : i + 2] for i in range(0, len(DATA), 2)]
        mxq.collect_statistics(
            self.net[0], self.net[1:3], batches, path, checkpoint_seconds=0.0, sub_batch=2, progress=False, **options
        )

    steps = 40

    def work(self):
        if os.path.exists(self.path) and mxq.Statistics.load(self.path).num_examples == len(DATA):
            os.remove(self.path)  # begin again
        self._collect(self.path)

    def look(self):
        if os.path.exists(self.path):
            found = mxq.Statistics.load(self.path)
            assert 0 <= found.num_examples <= len(DATA) and found.num_examples % 2 == 0
            self.resumed += 0 < found.num_examples < len(DATA)

    def end(self):
        finished(lambda: self._collect(self.path))
        assert sorted(os.listdir(os.path.dirname(self.path))) == ["net.npz", "whole.npz"]
        files = [open(path, "rb").read() for path in (self.path, self.whole)]  # noqa: SIM115
        assert files[0] == files[1], "not what one run gives"
        return f"{self.resumed} of them left a part, the end is that of one run, byte for byte"


class Search:
    """Accuracy control with a state file."""

    def __init__(self, folder):
        self.net, self.state = networks.residual(), os.path.join(folder, "search.json")
        self.table, self.done = os.path.join(folder, "table.json"), os.path.join(folder, "done")
        finished(lambda: self._search(None).table.save(self.table))
        self.looked = 0

    def _search(self, state):
        options = {"calib_table": self.table} if os.path.exists(self.table) else {"calib_data": DATA}
        return mxq.quantize_model(
            self.net[0], self.net[1:3], eval_data=[DATA[:8]], metric="sqnr", min_metric=60.0, search_state=state,
            progress=False, preflight=False, **options,
        )  # fmt: skip

    steps = 60

    def work(self):
        if os.path.exists(self.done):
            for path in (self.state, f"{self.state}.outputs", self.done):
                os.remove(path)  # begin again
        self._search(self.state)
        with open(self.done, "w"):
            pass

    def look(self):
        if os.path.exists(self.state):
            with open(self.state) as file:
                self.looked += len(json.load(file)["scores"]) > 0

    def end(self):
        wanted, found = os.path.join(os.path.dirname(self.state), "wanted.json"), f"{self.state}.result"

        def run(state, path):
            with open(path, "w") as file:
                file.write(repr(self._search(state).accuracy[:-1]))

        finished(lambda: run(self.state, found))
        finished(lambda: run(None, wanted))
        texts = [open(path).read() for path in (found, wanted)]  # noqa: SIM115
        assert texts[0] == texts[1], texts
        assert not [name for name in os.listdir(os.path.dirname(found)) if name.endswith(".tmp")]
        return f"measurements were left {self.looked} times, the end is that of one run"


def main(kind, times, seed):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="mxq_killing_") as folder:
        task = {"save": Save, "collection": Collection, "search": Search}[kind](folder)
        begin = time.monotonic()
        finished(task.work)
        longest, killed = 1.2 * (time.monotonic() - begin), 0
        while killed < times:
            step, behind = rng.randint(1, task.steps), rng.random() < 0.5
            by_time = rng.random() < 0.5
            child = in_child(task.work if by_time else lambda: _dying(task, step, behind))  # noqa: B023
            if by_time:
                time.sleep(rng.uniform(0, longest))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            assert status in (0, signal.SIGKILL), f"status {status}"
            killed += status == signal.SIGKILL
            task.look()
        print(f"{kind}: {killed} kills, {task.end()}", flush=True)


def _dying(task, step, behind):
    killed_at_a_step(step, behind)
    task.work()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
