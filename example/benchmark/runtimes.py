"""Measures mxq's int8 networks in other runtimes, beside what these runtimes' own quantizers make of the same networks.

    python example/benchmark/runtimes.py [--networks N ...] [--images N] [--page FILE]

Every file comes from one calibration with the same images, and is scored on the same others: classes and logits beside
float and beside mxq's int8 in MXNet, kernels as the runtime chose them, and time beside the runtime's own quantizer, in
turns. Every row is kept in the JSON file: a run that was ended goes on where it was.
"""

import argparse
import functools
import os
import sys
import time
from typing import Dict, List, Tuple

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.dirname(os.path.dirname(HERE))]

import accuracy  # noqa: E402
import command_line  # noqa: E402
import numpy as np  # noqa: E402
import runtimes_page  # noqa: E402
import speed  # noqa: E402
from engines import ENGINES  # noqa: E402
from processes import REFERENCE, EngineError, Prepared, Process, batch_of  # noqa: E402
from results import Results  # noqa: E402

import measure  # noqa: E402
from tests import realdata  # noqa: E402

#: The network of 8 bits in MXNet, which the files hold too.
INT8 = "mxq-8bit"
IN_MXNET = (INT8, "mxq", "mxq-best")
#: mxq's file in a runtime -> what it competes with there.
OWN: Dict[str, Tuple[str, ...]] = {
    "mxq-ort": ("ort", "ort-percentile", "ort-float"),
    "mxq-openvino": ("mxq-openvino-best", "openvino", "openvino-performance", "openvino-float"),
    "mxq-ncnn": (),
}


def score(engine: str, network: dict, prepared: Prepared, images: int) -> dict:
    """A row: how far an engine is from float and from mxq's int8, and its kernels."""
    outputs = accuracy.predictions(engine, network, prepared, images)
    floats, integers = (accuracy.predictions(e, network, prepared, images) for e in (REFERENCE, INT8))
    beside = []
    for wanted in (floats, integers):
        counted = measure.Accuracy()
        counted.update(np.zeros(images), wanted, outputs)
        beside.append({"agreement": counted.agreement, "sqnr": counted.sqnr})
    found = {"images": images, "float": beside[0], "int8": beside[1], "seconds": prepared(engine, network)["seconds"]}
    if ENGINES[engine].module != "engine_mxnet":
        with Process(engine, prepared.threads, prepared.log(engine)) as process:
            process.load(network, prepared(engine, network)["folder"], batch_of(engine, network, 1))
            found["kernels"] = process.ask("kernels")
    return found


def run(options) -> Results:
    prepared = Prepared(options.work, options.calib_images, options.threads)
    known = [*IN_MXNET, *(e for ours, own in OWN.items() for e in (ours, *own))]
    engines = command_line.usable(known, prepared)
    about = command_line.about(engines, prepared, options.threads, calib_images=options.calib_images)
    results = Results(options.json, about, fresh=options.fresh)
    began = time.time()
    for network in command_line.networks_of(options):
        about["networks"].append({key: network[key] for key in ("name", "label")})
        images = min(options.images, network["val_images"])
        for engine in engines:
            conditions = command_line.conditions(engine, prepared, images)
            key = f"{network['name']}/{engine}"
            try:
                found = results.measured(key, conditions, functools.partial(score, engine, network, prepared, images))
            except EngineError as error:
                print(f"skipped {network['name']}: {error}", flush=True)
                continue
            print(f"[{time.time() - began:.0f} s] {key}: {runtimes_page.line(found)}", flush=True)
        for ours, own in OWN.items():
            there = [e for e in (ours, *own) if results.get(f"{network['name']}/{e}")]
            if ours in there and len(there) > 1:
                conditions = {"engines": there, "versions": [prepared.versions(e) for e in there]}
                conditions["rounds"] = [options.rounds, options.seconds]
                measuring = functools.partial(compete, there, network, prepared, options)
                results.measured(f"{network['name']}/{ours}/speed", conditions, measuring)
    results.save()
    return results


def compete(engines: List[str], network: dict, prepared: Prepared, options) -> dict:
    """Milliseconds for one image, by engine and round."""
    with speed.Players(options.threads, 1, prepared, priority=True) as players:
        return speed.play(engines, network, 1, players, options)


def main(arguments: List[str] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(realdata.NETWORKS), default=list(realdata.NETWORKS))
    parser.add_argument("--images", type=int, default=sys.maxsize, help="images to score (default: all)")
    parser.add_argument("--calib-images", type=int, default=256, help="images to calibrate with (default %(default)s)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn (default %(default)s)")
    command_line.add_options(parser)
    options = parser.parse_args(arguments)
    command_line.settle(options, "runtimes.json")
    if not (realdata.models_dir() and realdata.images_dir()):
        parser.error("runtimes needs a folder with models/ and images/ (--data, MXQ_DATA)")
    results = run(options)
    print("\n" + runtimes_page.summary(results))
    if options.page:
        runtimes_page.write(results, options.page)
        print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
