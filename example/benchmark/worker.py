"""A process that holds one engine and does what it is told, a line of JSON at a time, on standard input.

    python worker.py ENGINE [making]

Every request is answered with one line of JSON. What libraries print goes to standard error.

    {"do": "versions"}                                              {"versions": {...}, "imported": seconds}
    {"do": "prepare", "network": {...}, "folder": f, "examples": n} {"seconds": s}
    {"do": "load", "network": {...}, "folder": f, "batch": b, "threads": t}
                                                                    {"load": s, "first": s, memory}
    {"do": "turn", "seconds": s}                                    {"median": s, "mean": s, "p99": s} of a batch
    {"do": "layers", "network": {...}, "folder": f}                 {"rows": [...]}, see layers.py
    {"do": "peak"}                                                  {"gmacs": g} of the quickest int8 convolution
    {"do": "predict", "output": file.npz, "images": n}              {"seconds": s} all outputs for n evaluation images
    {"do": "outputs", "output": file.npz}                           {} all outputs for the images it was loaded with
    {"do": "kernels"}                          {"int8": n, "others": n} layers with weights by kernel
    {"do": "quit"}

An error comes back as {"error": "what", "trace": "where"}.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.dirname(os.path.dirname(HERE))]

import numpy as np  # noqa: E402
import pixels  # noqa: E402
from engines import ENGINES  # noqa: E402

import measure  # noqa: E402


def memory() -> dict:
    """Resident memory of this process in bytes, now and at its highest."""
    found = {}
    with open("/proc/self/status") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM"):
                found[{"VmRSS": "rss", "VmHWM": "peak"}[key]] = 1024 * int(value.split()[0])
    return found


class Worker:
    """The requests, one method each."""

    def __init__(self, engine: str, making: bool = False):
        start = time.perf_counter()
        self.engine = ENGINES[engine]
        self.module = importlib.import_module(self.engine.made_by if making else self.engine.module)
        self.imported = time.perf_counter() - start
        self.runner = None
        self.network = None

    def versions(self) -> dict:
        return {"versions": self.module.versions(), "imported": self.imported}

    def prepare(self, network: dict, folder: str, examples: int) -> dict:
        """Makes the engine's files of a float network; decoding the images is not counted."""
        images = pixels.normalized(network, "calib", examples)
        start = time.perf_counter()
        self.module.prepare(network, folder, images, self.engine.options)
        return {"seconds": time.perf_counter() - start}

    def load(self, network: dict, folder: str, batch: int, threads: int) -> dict:
        self.runner = None
        gc.collect()
        self.network = network
        images = pixels.normalized(network, "calib", min(batch, network["calib_images"]))
        images = np.resize(images, (batch, *images.shape[1:]))
        before = memory()
        start = time.perf_counter()
        self.runner = self.module.Runner(network, folder, batch, threads, self.engine.options)
        loaded = time.perf_counter()
        self.runner.put(images)
        self.runner.step()
        first = time.perf_counter()
        after = memory()
        return {"load": loaded - start, "first": first - start, "before": before, "after": after}

    def layers(self, network: dict, folder: str) -> dict:
        """Times of single layers of the engine's files; MXNet's engines only."""
        import layers

        images = pixels.normalized(network, "calib", 1)
        measured = layers.of_float if self.engine.bits == 32 else layers.of_int8
        return {"rows": measured(os.path.join(folder, "model"), images)}

    def peak(self) -> dict:
        import layers

        return {"gmacs": layers.int8_peak()}

    def turn(self, seconds: float) -> dict:
        times = measure.turn(self.runner.step, seconds, least=1)
        found = {"median": np.median(times), "mean": np.mean(times), "p99": np.percentile(times, 99)}
        return {name: float(value) / self.runner.batches_per_step for name, value in found.items()}

    def outputs(self, output: str) -> dict:
        np.savez(output, *self.runner.outputs())
        return {}

    def kernels(self) -> dict:
        return self.runner.kernels()

    def predict(self, output: str, images: int) -> dict:
        """Runs the evaluation images through the network; writes all outputs, or for .npy the first."""
        start = time.perf_counter()
        batch = self.runner.batch
        rows = []
        for first in range(0, images, batch):
            data = pixels.normalized(self.network, "val", min(batch, images - first), first)
            self.runner.put(np.resize(data, (batch, *data.shape[1:])))
            rows.append([array[: len(data)] for array in self.runner.outputs()])
        arrays = [np.concatenate(parts) for parts in zip(*rows)]
        if output.endswith(".npz"):
            np.savez(output, *arrays)
        else:
            np.save(output, arrays[0])
        return {"seconds": time.perf_counter() - start}


def told(error: Exception) -> str:
    """What an exception says; of MXNet's, which begin with a stack of C++, the end."""
    text = str(error)
    return text.strip().splitlines()[-1] if text.startswith("Traceback") else text


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        if what == "quit":
            break
        try:
            worker = worker or Worker(sys.argv[1], making="making" in sys.argv[2:])
            answer = getattr(worker, what)(**request)
        except Exception as error:  # whatever a library raises must reach the one who asked
            answer = {"error": f"{type(error).__name__}: {told(error)}", "trace": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
