"""Layers one by one on a GPU: mxq's int8 operator, and convolutions of the same shape by PyTorch (cuDNN).

    python example/benchmark/gpu/layers.py --batches 1 32 256 --out results

Each time is that of a CUDA graph of many launches over several sets of arrays, so that neither launching nor a warm
cache counts. The int8 operator has bias, ReLU, sum and int8 output inside; *float16* and *float32* are the convolution
with bias alone, *fused* is cuDNN's float16 convolution with ReLU and sum. Every int8 result is compared with the plain
kernel first. `--tiles` measures every tile shape instead of the chosen one.
"""

import argparse
import json
import os
from typing import Any, Callable, List, Optional

import numpy as np
import torch
import torch.nn.functional as functional
from shapes import NETWORKS, Layer
from torch_device import Buffer, TorchDevice, bandwidth, int8_peak, load, microseconds

COLD_BYTES = 256 << 20  # more than the second-level cache
MOST_SETS = 24
LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "mxq", "lib", "libmxq_cuda.so")


def sets_of(layer: Layer, batch: int) -> int:
    return int(min(MOST_SETS, max(2, COLD_BYTES // layer.bytes(batch))))


class Int8:
    """A layer as an operator of the library, with several sets of arrays."""

    def __init__(self, library: Any, device: TorchDevice, layer: Layer, batch: int) -> None:
        self.library, self.device, self.layer, self.batch = library, device, layer, batch
        rng = np.random.RandomState(0)
        pad, size, out = layer.kernel // 2, layer.size, layer.out_size
        inner = layer.channels // layer.groups
        weight = rng.randint(-127, 128, (layer.filters, inner, layer.kernel, layer.kernel)).astype(np.int8)
        scale = np.full(layer.filters, 0.5 / (73 * 73 * np.sqrt(weight[0].size)), np.float32)
        bias = rng.randint(-999, 999, layer.filters).astype(np.int32)
        self.sets: List[List[Any]] = []
        for _ in range(sets_of(layer, batch)):
            data = torch.randint(-128, 128, (batch, size, size, layer.channels), dtype=torch.int8, device="cuda")
            arrays = [data, *(torch.from_numpy(a).cuda() for a in (weight, scale, bias))]
            if layer.residual:
                arrays.append(
                    torch.randint(-128, 128, (batch, out, out, layer.filters), dtype=torch.int8, device="cuda")
                )
            self.sets.append(arrays)
        self.attrs = dict(
            kernel=(layer.kernel,) * 2, stride=(layer.stride,) * 2, pad_begin=(pad, pad), pad_end=(pad, pad),
            num_filter=layer.filters, num_group=layer.groups, in_scale=1.0, out_scale=0.01, act="relu",
            sum="before_act" if layer.residual else "none", sum_scale=0.01, content_id="layer",  # keeps what it packed
        )  # fmt: skip

    def runs(self, backend: str) -> List[Callable[[], Any]]:
        node = self.library.operators["mxq_conv"].bind(dict(self.attrs, backend=backend))
        runs = []
        self.outputs = []
        for arrays in self.sets:
            types = [str(a.dtype).replace("torch.", "") for a in arrays]
            shapes = [tuple(a.shape) for a in arrays]
            inputs = [Buffer(a).array for a in arrays]
            out = self.device.empty("int8", node.infer_shapes(shapes)[1][0])
            state = node.create_state(self.device, types, shapes)
            self.outputs.append(out)
            runs.append(lambda state=state, inputs=inputs, out=out: state.forward(inputs, [out.array]))
        return runs

    def result(self, backend: str) -> torch.Tensor:
        self.runs(backend)[0]()
        torch.cuda.synchronize()
        return self.outputs[0].tensor

    def time(self, backend: str) -> float:
        return microseconds(self.runs(backend))


def float_time(layer: Layer, batch: int, dtype: torch.dtype, fused: bool = False) -> Optional[float]:
    """Microseconds of cuDNN's convolution of the shape, channels last; None where cuDNN has none."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    pad, count = layer.kernel // 2, max(2, sets_of(layer, batch) // 2)

    def like(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device="cuda", dtype=dtype).to(memory_format=torch.channels_last)

    weight = like(layer.filters, layer.channels // layer.groups, layer.kernel, layer.kernel)
    bias = torch.randn(layer.filters, device="cuda", dtype=dtype)
    data = [like(batch, layer.channels, layer.size, layer.size) for _ in range(count)]
    rest = ((layer.stride,) * 2, (pad, pad), (1, 1), layer.groups)
    if not fused:
        return microseconds([lambda x=x: functional.conv2d(x, weight, bias, *rest) for x in data])
    if layer.residual:
        others = [like(batch, layer.filters, layer.out_size, layer.out_size) for _ in range(count)]
        add = torch.cudnn_convolution_add_relu
        runs = [lambda x=x, z=z: add(x, weight, z, 1.0, bias, *rest) for x, z in zip(data, others)]
    else:
        runs = [lambda x=x: torch.cudnn_convolution_relu(x, weight, bias, *rest) for x in data]
    try:
        return microseconds(runs)
    except RuntimeError:
        return None


def measure(library: Any, layer: Layer, batch: int, tiles: List[str]) -> dict:
    int8 = Int8(library, TorchDevice(), layer, batch)
    row = {
        "layer": layer.name,
        "batch": batch,
        "count": layer.count,
        "macs": layer.macs(batch),
        "bytes": layer.bytes(batch),
    }
    row["equal"] = bool(torch.equal(int8.result("auto"), int8.result("direct")))
    row["int8"] = int8.time("auto")
    if tiles:
        row["tiles"] = {tile: int8.time(tile) for tile in tiles}
    del int8
    row["float32"] = float_time(layer, batch, torch.float32)
    row["float16"] = float_time(layer, batch, torch.float16)
    row["fused"] = float_time(layer, batch, torch.float16, fused=True)
    torch.cuda.empty_cache()
    return row


def page(rows: List[dict], peak: float, copy: float, name: str) -> str:
    lines = [
        f"{torch.cuda.get_device_name()}: int8 peak {peak * 2e-6:.0f} TOP/s (cuBLAS), copies {copy * 1e-6:.2f} TB/s\n",
        "| batch | layer | times | int8 µs | float16 | fused | float32 | float16 / int8 | of peak | of bandwidth |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        fused = f"{r['fused']:.1f}" if r["fused"] else ""
        lines.append(
            f"| {r['batch']} | {r['layer']} | {r['count']} | {r['int8']:.1f} | {r['float16']:.1f} | {fused} "
            f"| {r['float32']:.1f} | {r['float16'] / r['int8']:.2f} | {100 * r['macs'] / r['int8'] / peak:.0f} % "
            f"| {100 * r['bytes'] / r['int8'] / copy:.0f} % |" + ("" if r["equal"] else " **WRONG**")
        )
    for batch in sorted({r["batch"] for r in rows}):
        of = [r for r in rows if r["batch"] == batch]
        total = {key: sum(r["count"] * r[key] for r in of) for key in ("int8", "float16", "float32")}
        least = min(of, key=lambda r: r["float16"] / r["int8"])
        lines.append(
            f"\n{name}, batch {batch}, all layers: int8 {total['int8']:.0f} µs, float16 {total['float16']:.0f} µs "
            f"({total['float16'] / total['int8']:.2f}), float32 {total['float32']:.0f} µs; the least: {least['layer']} "
            f"({least['float16'] / least['int8']:.2f})"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), default=sorted(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--library", default=LIBRARY)
    parser.add_argument("--tiles", action="store_true", help="also every tile shape")
    parser.add_argument("--out", default="build/gpu", help="folder for layers-NETWORK.json and .md")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    library = load(options.library)
    peak, copy = int8_peak(), bandwidth()
    tiles = ["mma256x128", "mma128x128", "mma128x64", "mma64x128", "mma64x64"] if options.tiles else []
    wrong = 0
    for name in options.networks:
        rows = []
        for batch in options.batches:
            for layer in NETWORKS[name]:
                rows.append(measure(library, layer, batch, tiles if layer.groups == 1 else []))
                wrong += not rows[-1]["equal"]
            with open(
                os.path.join(options.out, f"layers-{name}.json"), "w"
            ) as file:  # after each batch: runs get cut off
                json.dump({"peak": peak, "copy": copy, "rows": rows}, file, indent=1)
            with open(os.path.join(options.out, f"layers-{name}.md"), "w") as file:
                file.write(page(rows, peak, copy, name))
        print(page(rows, peak, copy, name), flush=True)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
