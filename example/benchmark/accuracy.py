"""Measures how close each toolkit's int8 networks stay to float, on the same images.

    python example/benchmark/accuracy.py [--quick] [--networks N ...] [--engines E ...] [--owned FOLDER] [--page FILE]

Classifiers of ImageNet are scored by classes and logits; networks of an owned folder (owned.py) by the SQNR of each
output and by what they are for: pairs of faces, ages, boxes. An engine that cannot run one has a row that says why.

All engines calibrate with the same images and are scored on the same others, in the form that is saved and loaded
again. Every row is kept in the JSON file: a run that was ended goes on where it was, and a new version of one engine is
measured without the others.
"""

import argparse
import functools
import os
import sys
import time
from typing import List

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.dirname(os.path.dirname(HERE))]

import accuracy_page  # noqa: E402
import command_line  # noqa: E402
import numpy as np  # noqa: E402
import owned  # noqa: E402
import pixels  # noqa: E402
import tasks  # noqa: E402
from engines import ENGINES  # noqa: E402
from processes import REFERENCE, EngineError, Prepared, Process, batch_of, size_of  # noqa: E402
from results import Results  # noqa: E402

import measure  # noqa: E402
from tests import realdata  # noqa: E402

BATCH = 20
DEFAULT_ENGINES = (
    "mxq mxq-best contrib contrib-entropy ort ort-percentile openvino openvino-performance"  # float is always there
).split()
QUICK_ENGINES = "mxq contrib ort openvino".split()
QUICK_IMAGES = 300


def predictions(engine: str, network: dict, prepared: Prepared, images: int) -> np.ndarray:
    """Outputs of an engine for the first evaluation images; kept beside its files."""
    folder = prepared(engine, network)["folder"]
    path = os.path.join(folder, f"predicted-{images}.npy")
    if not os.path.exists(path):
        making = os.path.join(folder, "predicted-new.npy")
        with Process(engine, prepared.threads, prepared.log(engine)) as process:
            process.load(network, folder, batch_of(engine, network, BATCH))
            process.ask("predict", output=making, images=images)
        os.replace(making, path)
    return np.load(path)


def all_predictions(engine: str, network: dict, prepared: Prepared, images: int) -> List[np.ndarray]:
    """All outputs of an engine for the first evaluation images; kept beside its files."""
    folder = prepared(engine, network)["folder"]
    path = os.path.join(folder, f"predicted-{images}.npz")
    if not os.path.exists(path):
        making = os.path.join(folder, "predicted-new.npz")
        with Process(engine, prepared.threads, prepared.log(engine)) as process:
            process.load(network, folder, network["batch"])
            process.ask("predict", output=making, images=images)
        os.replace(making, path)
    with np.load(path) as file:
        return [file[key] for key in file.files]


def score_task(engine: str, network: dict, prepared: Prepared, images: int) -> dict:
    """A row of the table of owned networks; ``failed`` says why an engine cannot run this one."""
    exact = all_predictions(REFERENCE, network, prepared, images)
    try:
        found = all_predictions(engine, network, prepared, images)
    except EngineError as error:
        return {"images": images, "failed": str(error).partition(" (more in ")[0]}
    made, floats = (prepared(e, network) for e in (engine, REFERENCE))
    return {
        "images": images,
        "sqnr": tasks.sqnr(exact, found),
        "task": tasks.TASKS[network["task"]].measure(exact, found, **network["task_options"]),
        "size": size_of(made["folder"]) / size_of(floats["folder"]),
        "seconds": None if engine == REFERENCE else made["seconds"],
    }


def score(engine: str, network: dict, prepared: Prepared, images: int) -> dict:
    """A row of the table."""
    outputs = predictions(engine, network, prepared, images)
    counted = measure.Accuracy()
    counted.update(pixels.labels(network)[:images], predictions(REFERENCE, network, prepared, images), outputs)
    return {
        "images": counted.images,
        "top1": counted.percent(1, 1),
        "top5": counted.percent(1, 5),
        "agreement": counted.agreement,
        "changed": counted.changed,
        "lost": counted.lost,
        "won": counted.won,
        "sqnr": None if engine == REFERENCE else counted.sqnr,
        "seconds": None if engine == REFERENCE else prepared(engine, network)["seconds"],
    }


def run(options) -> Results:
    prepared = Prepared(options.work, options.calib_images, options.threads)
    engines = [REFERENCE, *(e for e in command_line.usable(options.engines, prepared) if e != REFERENCE)]
    more = {"calib_images": options.calib_images, "images": options.images}
    about = command_line.about(engines, prepared, options.threads, **more)
    results = Results(options.json, about, fresh=options.fresh)
    began = time.time()
    for network in command_line.networks_of(options):
        about["networks"].append({key: network.get(key) for key in ("name", "label", "task")})
        images = min(options.images, network["val_images"])
        for engine in engines:
            conditions = command_line.conditions(engine, prepared, images)
            measuring = functools.partial(score_task if "task" in network else score, engine, network, prepared, images)
            try:
                found = results.measured(f"{network['name']}/{engine}", conditions, measuring)
            except EngineError as error:
                print(f"skipped {error}", flush=True)
                continue
            print(f"[{time.time() - began:.0f} s] {accuracy_page.line(network, engine, found)}", flush=True)
    results.save()
    return results


def main(arguments: List[str] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    eight_bits = [name for name, engine in ENGINES.items() if engine.prepared is None]
    parser.add_argument("--networks", nargs="+", help="default: all that are there")
    parser.add_argument("--owned", help="folder of networks as owned.py has it (default: DATA/wild)")
    parser.add_argument("--engines", nargs="+", choices=eight_bits, help="default: all int8 engines")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_IMAGES} images, only quick calibrations")
    parser.add_argument("--images", type=int, help="images to score (default: all)")
    parser.add_argument("--calib-images", type=int, default=256, help="images to calibrate with (default %(default)s)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    command_line.add_options(parser)
    options = parser.parse_args(arguments)
    options.images = options.images or (QUICK_IMAGES if options.quick else sys.maxsize)
    options.engines = options.engines or (QUICK_ENGINES if options.quick else DEFAULT_ENGINES)
    command_line.settle(options, "accuracy-quick.json" if options.quick else "accuracy.json")
    classifiers = list(realdata.NETWORKS) if realdata.models_dir() and realdata.images_dir() else []
    options.owned = options.owned or os.path.join(realdata.data_dir() or "", "wild")
    known = classifiers + owned.names(options.owned)
    if not known:
        parser.error(
            "accuracy needs a folder with models/ and images/ (--data, MXQ_DATA), or networks of owned.py (--owned)"
        )
    options.networks = options.networks or known
    if not set(options.networks) <= set(known):
        parser.error(f"--networks: there are {', '.join(known)}")
    results = run(options)
    print("\n" + accuracy_page.summary(results))
    if options.page:
        accuracy_page.write(results, options.page)
        print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
