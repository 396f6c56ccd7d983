"""``python -m mxq benchmark``: how long saved networks take, in turns."""

import json
import os
import subprocess
import sys
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import MXQError
from ..evaluation import Network, columns, measure_speed
from ..evaluation.layers import LayerTime, beside_float, float_layers
from ..evaluation.speed import ROUNDS, SECONDS
from . import arguments, profile, shapes
from .arguments import Result, UsageError


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "benchmark",
        help="time saved networks, float or int8, in turns on made-up data",
        description="Networks take turns, so that what else the machine does hits all alike. Float networks are fused "
        "by MXNet, as its executors do. Ratios are those of the first network's time to each other's, the median of "
        "the rounds and their quartiles.",
    )
    command.add_argument("words", nargs="*", metavar="NETWORK [PARAMS]", help="networks")
    command.usage = f"{command.prog} NETWORK [PARAMS] [NETWORK [PARAMS] ...] --shape C,H,W [options]"
    shapes.add_shapes(command)
    command.add_argument("--batch-sizes", type=arguments.counts, default=[1], metavar="1,8", help="(default: 1)")
    command.add_argument(
        "--threads",
        type=arguments.counts,
        metavar="1,2",
        help="so many threads for all operators, MXNet's too, each in a process of its own (default: as it comes)",
    )
    command.add_argument("--rounds", type=arguments.count, default=ROUNDS, help=f"turns of each (default: {ROUNDS})")
    command.add_argument("--seconds", type=float, default=SECONDS, help=f"of a turn (default: {SECONDS})")
    command.add_argument(
        "--layers",
        action="store_true",
        help="also where the time of each int8 network goes, beside the first float one",
    )
    arguments.add_json(command)
    command.set_defaults(run=_benchmark)


def _benchmark(args) -> Result:
    if not args.words:
        raise UsageError("expected one network or more")
    files = arguments.networks_in(args.words)
    if args.threads:
        rows = [row for threads in args.threads for row in _elsewhere(args, threads)]
    else:
        networks = [Network.open(*pair) for pair in files]
        rows = [row for size in args.batch_sizes for row in _measured(networks, size, args)]
    found: Dict[str, Any] = {"rounds": args.rounds, "seconds": args.seconds, "rows": rows}
    text = _text(rows)
    if args.layers:
        found["layers"], more = _layers(files, args)
        text += more
    return Result(found, text)


def _layers(files: Sequence[Tuple[str, Optional[str]]], args) -> Tuple[Dict[str, Any], str]:
    """Where the time of each int8 network goes, for programs and for people."""
    found: Dict[str, Any] = {}
    text = ""
    networks = [Network.open(*pair) for pair in files]
    size = args.batch_sizes[0]
    floats = next(((pair, network) for pair, network in zip(files, networks) if not network.int8), None)
    layers = None
    for network in networks:
        if not network.int8:
            continue
        wanted = shapes.shapes_for(network, size, args)
        times = profile.recorded(network, wanted)
        found[network.name] = profile.document(times)
        told = str(times)
        if floats is not None:
            if layers is None:
                layers = float_layers(*floats[0], shapes.shapes_for(floats[1], size, args))
            rows = beside_float(times, layers, floats[1].graph)
            found[network.name]["beside_float"] = [row._asdict() for row in rows]
            told = _layer_table(rows)
        text += f"\n\n{network.name}, batch of {size}:\n{told}"
    return found, text


def _layer_table(rows: Sequence[LayerTime]) -> str:
    table: List[tuple] = [("name", "float, us", "int8, us", "speed-up", "operator")]
    for row in rows:
        times = ["" if us is None else f"{us:.0f}" for us in (row.float_us, row.int8_us)]
        ratio = f"{row.float_us / row.int8_us:.2f}x" if row.float_us and row.int8_us else ""
        table.append((row.name, *times, ratio, row.op))
    before, after = (sum(times) for times in zip(*((row.float_us or 0.0, row.int8_us or 0.0) for row in rows)))
    table.append(("together", f"{before:.0f}", f"{after:.0f}", f"{before / after:.2f}x" if after else "", ""))
    notes = (
        "float: layers as MXNet fuses them, one after the other; without a time: a conversion that float does not need"
    )
    return f"{columns(table)}\n{notes}"


def _measured(networks: Sequence[Network], size: int, args) -> List[Mapping[str, Any]]:
    """A row for each network at one batch size, in this process."""
    from ..native import num_threads

    bound = [network.bound(shapes.shapes_for(network, size, args)) for network in networks]
    speeds = measure_speed([one.step for one in bound], args.rounds, args.seconds)
    return [
        {
            "network": network.name,
            "int8": network.int8,
            "batch_size": size,
            "threads": num_threads(),
            "as_it_comes": True,
            **speed._asdict(),
            "note": one.note,
        }
        for network, one, speed in zip(networks, bound, speeds)
    ]


def _elsewhere(args, threads: int) -> List[Mapping[str, Any]]:
    """The rows of a process with so many threads: MXNet counts them when it is loaded."""
    command = [sys.executable, "-m", "mxq", "benchmark", *args.words]
    command += ["--batch-sizes", ",".join(map(str, args.batch_sizes)), "--rounds", str(args.rounds)]
    command += ["--seconds", str(args.seconds)]
    if args.shape:
        command += ["--shape", ",".join(map(str, args.shape))]
    for name, shape in args.data_shape:
        command += ["--data-shape", f"{name}={','.join(map(str, shape))}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise MXQError(f"with {threads} threads: {lines[-1] if lines else f'exit status {done.returncode}'}")
    return [{**row, "as_it_comes": False} for row in json.loads(done.stdout)["rows"]]


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    table: List[tuple] = [("network", "", "batch", "threads", "ms", "examples/s", "speed-up")]
    for row in rows:
        kind = "int8" if row["int8"] else "float"
        ratio = f"{row['ratio']:.2f}x ({row['low']:.2f}-{row['high']:.2f})"
        per_second = f"{1e3 * row['batch_size'] / row['ms']:.0f}"
        table.append((row["network"], kind, row["batch_size"], row["threads"], f"{row['ms']:.2f}", per_second, ratio))
    notes = dict.fromkeys(f"note: {row['network']} is {row['note']}" for row in rows if row["note"])
    if any(row["as_it_comes"] for row in rows):
        notes[
            "threads: those of mxq's operators; MXNet's own use half of the processors unless --threads says otherwise"
        ] = None
    return "\n".join([columns(table), *notes])
