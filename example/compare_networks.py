"""Quantizes the networks of a data folder and compares each with its float original: accuracy, size and speed.

    python example/compare_networks.py [--data FOLDER] [--quick] [--json FILE] [--png FILE]

The folder holds models/NAME-symbol.json and NAME-0000.params and images/{calib,val}.rec with .idx, for the networks
that tests/realdata.py knows how to preprocess. The int8 networks are saved and loaded again before they are scored.
"""

import argparse
import gc
import json
import logging
import os
import sys
import tempfile
import time

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

import mxnet as mx
import numpy as np

import mxq

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import bound  # noqa: E402

import measure  # noqa: E402
from tests import realdata  # noqa: E402

BATCH = 20  # images scored at a time; a divisor of the number of images, or the last batch is filled up
QUICK_IMAGES = 300
COLUMNS = (
    ("network", "{network}"),
    ("top-1 float", "{top1_float:.2f}"),
    ("int8", "{top1_int8:.2f}"),
    ("top-5 float", "{top5_float:.2f}"),
    ("int8", "{top5_int8:.2f}"),
    ("agree %", "{agreement:.2f}"),
    ("SQNR dB", "{sqnr:.1f}"),
    ("MB float", "{mb_float:.1f}"),
    ("int8", "{mb_int8:.1f}"),
    ("ms float", "{ms_float:.2f}"),
    ("int8", "{ms_int8:.2f}"),
    ("speed-up (range)", "{speedup:.2f}x ({speedup_lowest:.2f}-{speedup_highest:.2f})"),
)


def compare(network: str, folder: str, options: argparse.Namespace) -> dict:
    """Quantizes one network into `folder` and measures it; returns a row of the table."""
    symbol_file, params_file = realdata.files(network)
    calibration = [data for data, _ in realdata.images(network, "calib", options.calib_images)]
    start = time.time()
    quantized = mxq.quantize_model(
        symbol_file,
        params_file,
        calibration,
        calib_mode=options.calib_mode,
        quantized_dtype=options.quantized_dtype,
    )
    seconds = time.time() - start
    prefix = os.path.join(folder, network)
    quantized.save(prefix)
    if options.report:
        print(quantized.report)
    del calibration, quantized
    gc.collect()

    models = realdata.load(network), mx.model.load_checkpoint(prefix, 0)
    size = realdata.NETWORKS[network].size
    floats, integers = (bound.Bound(*model, (BATCH, 3, size, size)) for model in models)
    accuracy = measure.Accuracy()
    for data, labels in realdata.images(network, "val", options.images, batch_size=BATCH):
        accuracy.update(labels, floats(data), integers(data))
    del floats, integers
    gc.collect()

    shape = (options.batch_size, 3, size, size)
    pair = [bound.Bound(*model, shape) for model in models]
    for network_bound in pair:  # speed is measured on images, not on zeros
        network_bound(np.resize(data, shape))
    speed = measure.interleaved(pair[0].step, pair[1].step, options.rounds, options.seconds)
    return {
        "network": network,
        "images": accuracy.images,
        "top1_float": accuracy.percent(0, 1),
        "top1_int8": accuracy.percent(1, 1),
        "top5_float": accuracy.percent(0, 5),
        "top5_int8": accuracy.percent(1, 5),
        "agreement": accuracy.agreement,
        "sqnr": accuracy.sqnr,
        "mb_float": measure.megabytes(params_file),
        "mb_int8": measure.megabytes(f"{prefix}-0000.params"),
        "batch_size": options.batch_size,
        "ms_float": speed.first_ms,
        "ms_int8": speed.second_ms,
        "speedup": speed.ratio,
        "speedup_lowest": speed.lowest,
        "speedup_highest": speed.highest,
        "quantize_seconds": seconds,
    }


def draw(rows: list, path: str, caption: str) -> None:
    """Bars of accuracy, size and speed to an image file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [row["network"] for row in rows]
    places = np.arange(len(rows))
    figure, (top1, size, speed) = pyplot.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    for axes, title, keys in (
        (top1, "top-1 accuracy, %", ("top1_float", "top1_int8")),
        (size, "parameter file, MB", ("mb_float", "mb_int8")),
    ):
        for shift, key, color, label in ((-0.2, keys[0], "#9aa5b1", "float"), (0.2, keys[1], "#1f77b4", "int8")):
            bars = axes.bar(places + shift, [row[key] for row in rows], 0.4, color=color, label=label)
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.set_title(title)
        axes.margins(y=0.15)
    size.legend()
    ratios = np.array([[row["speedup"], row["speedup_lowest"], row["speedup_highest"]] for row in rows]).T
    spread = np.abs(ratios[1:] - ratios[0])
    bars = speed.bar(places, ratios[0], 0.6, yerr=spread, capsize=4, color="#1f77b4")
    speed.bar_label(bars, labels=[f"{ratio:.2f}x" for ratio in ratios[0]], fontsize=8, padding=2)
    speed.axhline(1, color="#9aa5b1", linestyle="--", linewidth=1)
    speed.margins(y=0.15)
    speed.set_title(f"speed-up over float, batch {rows[0]['batch_size']}")
    for axes in (top1, size, speed):
        axes.set_xticks(places, names, rotation=20, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(caption, fontsize=9)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with models/ and images/ (default: $MXQ_DATA, ../shared/data)")
    parser.add_argument("--networks", nargs="+", choices=list(realdata.NETWORKS), default=list(realdata.NETWORKS))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_IMAGES} images and few rounds: minutes")
    parser.add_argument("--images", type=int, help=f"images to score (default: all; --quick: {QUICK_IMAGES})")
    parser.add_argument("--calib-images", type=int, help="images to calibrate with (default: all)")
    parser.add_argument("--calib-mode", default="mse", help="mse, entropy, percentile, minmax or none")
    parser.add_argument("--quantized-dtype", default="auto", choices=["auto", "int8", "uint8"])
    parser.add_argument("--batch-size", type=int, default=1, help="batch of the speed comparison (default %(default)s)")
    parser.add_argument("--rounds", type=int, help="rounds of the speed comparison (default 15, with --quick 7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (default %(default)s)")
    parser.add_argument("--report", action="store_true", help="say for every node whether it became int8, and why not")
    parser.add_argument("--output", help="folder to keep the int8 networks in")
    parser.add_argument("--json", help="write the measurements to this file")
    parser.add_argument("--png", help="draw the measurements into this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.data:
        os.environ["MXQ_DATA"] = options.data
    if not (realdata.models_dir() and realdata.images_dir()):
        parser.error("there is no folder with models/ and images/; name one with --data or MXQ_DATA")
    options.images = options.images or (QUICK_IMAGES if options.quick else None)
    options.rounds = options.rounds or (7 if options.quick else 15)

    machine = measure.machine(mxq.native.info()["cpu"]["threads"])
    print(machine)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or temporary
        os.makedirs(folder, exist_ok=True)
        for network in options.networks:
            rows.append(compare(network, folder, options))
            row = rows[-1]
            print(f"{network}: quantized in {row['quantize_seconds']:.1f} s, {row['images']} images scored", flush=True)
    print()
    cells = [tuple(form.format(**row) for _, form in COLUMNS) for row in rows]
    print(measure.table([tuple(name for name, _ in COLUMNS), *cells]))
    print(
        f"\n{rows[0]['images']} images; ms and speed-up at batch {options.batch_size}: medians of {options.rounds} "
        "interleaved rounds (range); float is MXNet 1.9.1's own fused network"
    )
    if options.json:
        command = " ".join(sys.argv)
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "command": command, "mxq": mxq.__version__, "rows": rows}, file, indent=1)
    if options.png:
        draw(rows, options.png, machine)


if __name__ == "__main__":
    main()
